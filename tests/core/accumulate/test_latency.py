import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.accumulate.buckets import RELATIVE_ERROR
from pipeline.core.accumulate.latency import Latency, fold_latency
from pipeline.core.events import Cells, Float64s, Group, Predictions, Task

GROUP = Group("m", "1", Task.BINARY)


def fold(values: Float64s) -> dict[int, Latency]:
    count = len(values)
    zeros = np.zeros(count, np.int32)
    times = np.zeros(count, np.int64)
    predictions = Predictions(
        times, zeros, np.zeros((count, 2), np.uint64), times, zeros, times, values, values, zeros, [GROUP], [], [()]
    )
    rows = np.arange(count, dtype=np.int32)
    return fold_latency(predictions, Cells(rows, zeros, np.zeros(1, np.int32), [""], times[:1], [GROUP]), {})


def one(values: list[float]) -> Latency:
    return fold(np.array(values, np.float64))[0]


@given(
    values=st.lists(st.floats(2**-20, 2**32, exclude_max=True), min_size=1, max_size=60),
    share=st.sampled_from([0, 0.5, 0.95, 0.99, 1]),
)
@settings(max_examples=150, deadline=None)
def test_quantiles_are_within_the_promised_error(values: list[float], share: float) -> None:
    true = float(np.quantile(values, share, method="lower"))
    found = one(values).quantile(share)
    assert found == pytest.approx(true, rel=RELATIVE_ERROR * (1 + 1e-9))
    assert found <= max(values)


def test_quantiles_of_many_values() -> None:
    values = np.random.default_rng(5).lognormal(2, 1, 50_000)
    state = fold(values)[0]
    for share in (0.5, 0.95, 0.99):
        assert state.quantile(share) == pytest.approx(np.quantile(values, share), rel=RELATIVE_ERROR + 1e-3)
    assert state.greatest == values.max()
    assert state.count == 50_000


def test_values_outside_the_buckets_stay_counted() -> None:
    state = one([-5.0, -0.0, 0.0, 1e-9])
    assert (state.count, state.quantile(0.99), state.greatest) == (4, 0.0, 1e-9)
    assert one([-5.0]).quantile(0.5) == -5.0
    assert one([1e300, 1e301]).quantile(0.5) == 1e301


def test_the_sketch_is_bounded() -> None:
    state = one(np.geomspace(1e-300, 1e300, 200_000).tolist())
    assert len(state.buckets) == 52 * 64 + 2


def test_no_latencies_no_state_and_no_quantile() -> None:
    assert fold(np.array([np.nan])) == {}
    with pytest.raises(ValueError, match="no latencies"):
        Latency().quantile(0.5)


def test_a_zero_has_one_sign_whichever_came_first() -> None:
    assert repr(one([-0.0, 0.0]).greatest) == repr(one([0.0, -0.0]).greatest) == repr(one([-0.0]).greatest) == "0.0"
