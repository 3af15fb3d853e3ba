"""Errors estimated without labels, beside plain loops and the labels themselves."""

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pytest

from pipeline.core.accumulate.binned_errors import BinnedErrors, fold_binned_errors
from pipeline.core.accumulate.errors import fold_errors
from pipeline.core.accumulate.key_counts import KeyCounts
from pipeline.core.accumulate.predicted_values import fold_predicted_values
from pipeline.core.events import Cells, Float64s, Group, Json, LabelChanges, Predictions, Task
from pipeline.core.family import Context
from pipeline.core.metrics.errors import report_errors
from pipeline.core.metrics.expected_errors import EXPECTED, learn_errors, report_expected_errors

GROUP = Group("m", "1", Task.REGRESSION)
CONTEXT = Context("m", "1", Task.REGRESSION, "", 60_000, False, None, 0.2, 0.1)  # noqa: FBT003 - final
NO_LABELS: Json = {
    "quality": dict.fromkeys(EXPECTED),
    "reasons": {f"quality.{name}": "no_labels" for name in EXPECTED},
}


def cells(count: int, segments: Sequence[str] = ("",)) -> Cells:
    number = len(segments)
    row = np.repeat(np.arange(count, dtype=np.int32), number)
    cell = np.tile(np.arange(number, dtype=np.int32), count)
    return Cells(row, cell, np.zeros(number, np.int32), segments, np.zeros(number, np.int64), [GROUP])


def fold(values: Float64s) -> KeyCounts:
    count = len(values)
    zeros, times, none = np.zeros(count, np.int32), np.zeros(count, np.int64), np.full(count, np.nan)
    rows = Predictions(
        times, zeros, np.zeros((count, 2), np.uint64), times, zeros, values.view(np.int64), none, none, zeros,
        [GROUP], [], [()],
    )  # fmt: skip
    return fold_predicted_values(rows, cells(count), {}).get(0, KeyCounts())


def changes(predicted: Float64s, label: Float64s) -> LabelChanges:
    return LabelChanges(predicted.view(np.int64), label.view(np.int64), np.ones(len(label), np.int64), [])


def labelled(predicted: Float64s, label: Float64s) -> BinnedErrors:
    return fold_binned_errors(changes(predicted, label), cells(len(label)))[0]


def said(predicted: Float64s, label: Float64s) -> Json:
    """What labels say of a window."""
    report = report_errors(fold_errors(changes(predicted, label), cells(len(label)))[0], CONTEXT)
    return {"quality": report.values["quality"], "reasons": dict(report.reasons)}


def bin_of(value: float) -> int:
    """Eight bins to an octave on either side of zero, by logarithm and remainder instead of bits."""
    if abs(value) < 2.0**-64:
        return 0
    mantissa, exponent = math.frexp(abs(value))
    number = 1 + (exponent - 1 + 64) * 8 + int((2 * mantissa - 1) * 8)
    return int(math.copysign(min(number, 128 * 8 + 1), value))


def by_hand(past: tuple[Float64s, Float64s], values: Float64s) -> tuple[float, float, float]:
    """The expected |e| and e^2 of predictions, and the share of those unlike all past ones, row by row."""
    errors = defaultdict(list)
    for guess, truth in zip(*(column.tolist() for column in past), strict=True):
        errors[bin_of(guess)].append(abs(guess - truth))
    pools: list[list[int]] = [[]]
    for place in sorted(errors):
        if sum(len(errors[one]) for one in pools[-1]) >= 100:
            pools.append([])
        pools[-1].append(place)
    if len(pools) > 1 and sum(len(errors[one]) for one in pools[-1]) < 100:
        last = pools.pop()
        pools[-1] += last
    expected = {}
    for pool in pools:
        rows = [error for place in pool for error in errors[place]]
        for place in pool:
            expected[place] = math.fsum(rows) / len(rows), math.fsum(error**2 for error in rows) / len(rows)
    places = [bin_of(value) for value in values.tolist()]
    nearest = [min(sorted(expected), key=lambda past, own=place: abs(past - own)) for place in places]  # type: ignore[misc]
    unseen = sum(place not in expected for place in places)
    sizes, squares = (math.fsum(expected[place][at] for place in nearest) / len(places) for at in (0, 1))
    return sizes, squares, unseen / len(places)


def made(seed: int, rows: int, *, mean: float = 3.0) -> tuple[Float64s, Float64s]:
    """Predictions, some of them below zero, and labels that are off by a fifth of them."""
    generator = np.random.default_rng(seed)
    predicted = generator.lognormal(mean, 0.7, rows) * np.where(generator.random(rows) < 0.1, -1, 1)
    return predicted, predicted * (1 + 0.2 * generator.normal(size=rows))


@pytest.mark.parametrize("rows", [1, 99, 250, 5_000])
def test_what_is_expected_is_what_past_rows_say(rows: int) -> None:
    past, (values, _) = made(1, rows), made(2, 400)
    values = np.concatenate((values[values > 10], past[0][:400], [0.0, -0.0]))
    found = report_expected_errors(fold(values), learn_errors(labelled(*past)), NO_LABELS).values["estimated"]
    sizes, squares, unseen = by_hand(past, values)
    assert found["unseen_share"] == unseen
    if unseen <= 0.1:
        assert found["mae"] == pytest.approx(sizes, rel=1e-12)
        assert found["mse"] == pytest.approx(squares, rel=1e-12)
        assert found["rmse"] == pytest.approx(math.sqrt(squares), rel=1e-12)
    assert (found["mae"] is not None) == (rows > 99)


def test_bins_are_what_logarithms_say() -> None:
    generator = np.random.default_rng(3)
    values = np.ldexp(generator.uniform(-1, 1, 2_000), generator.integers(-80, 80, 2_000))
    values = np.concatenate((values, [0.0, -0.0, 1.0, -1.0, 2.0**-64, 2.0**64, 1.7e308, -1.7e308, 5e-324]))
    keys, counts = fold(values).arrays
    theirs: dict[int, int] = defaultdict(int)
    for value in values.tolist():
        theirs[bin_of(value)] += 1
    zero = next(iter(fold(np.zeros(1)).arrays[0].tolist()))
    assert {key - zero: count for key, count in zip(keys.tolist(), counts.tolist(), strict=True)} == theirs


def test_the_estimate_follows_the_mix_of_predictions() -> None:
    past = made(5, 20_000)
    learned, naive = learn_errors(labelled(*past)), float(np.abs(past[0] - past[1]).mean())
    for mean in (2.0, 2.5, 3.0, 3.5):
        window = made(6, 5_000, mean=mean)
        event = said(*window)
        found = report_expected_errors(fold(window[0]), learned, event).values["estimated"]
        real = event["quality"]
        for name in EXPECTED:
            assert found["error"][name] == found[name] - real[name]
        assert abs(found["error"]["mae"]) < 0.07 * real["mae"], mean
        assert abs(found["error"]["rmse"]) < 0.1 * real["rmse"], mean
        if mean != 3.0:
            assert abs(found["error"]["mae"]) < 0.2 * abs(naive - real["mae"]), mean


def test_segments_are_not_learned_from() -> None:
    past = made(1, 50)
    states = fold_binned_errors(changes(*past), cells(50, ("country=DE", "", "country=FR")))
    assert list(states) == [1]
    assert states[1].to_wire() == labelled(*past).to_wire()
    assert fold_binned_errors(changes(*past), cells(50, ("country=DE",))) == {}


def test_errors_beyond_measure_teach_nothing() -> None:
    predicted = np.array([1.0, 1.0, 1.7e308, 2.0])
    label = np.array([1.5, 2.0**64 + 2.0**20, -1.7e308, 2.0])
    rows = labelled(predicted, label)
    assert rows.counts.tolist() == [1, 1]
    assert learn_errors(rows).sizes.tolist() == [0.25, 0.25]
    assert fold_binned_errors(changes(predicted[1:3], label[1:3]), cells(2)) == {}


def test_a_state_fits_into_a_record_whatever_comes() -> None:
    generator = np.random.default_rng(1)
    predicted, error = (np.ldexp(generator.uniform(-1, 1, 40_000), generator.integers(-90, 90, 40_000)) for _ in "ab")
    rows = labelled(predicted, predicted - error)
    assert len(rows.bins) > 2_000
    assert len(str(rows.to_wire())) < 300_000


# --- nothing to say --------------------------------------------------------------------------------------------------


def test_without_predictions_there_is_no_estimate() -> None:
    report = report_expected_errors(KeyCounts(), None, NO_LABELS)
    assert report.values == {"estimated": {}}
    assert report.reasons == {"estimated": "no_predictions"}


def test_without_past_rows_all_is_null() -> None:
    report = report_expected_errors(fold(np.ones(3)), None, said(np.ones(3), np.zeros(3)))
    assert set(report.reasons.values()) == {"no_past_errors"}
    nothing = dict.fromkeys(EXPECTED)
    assert report.values["estimated"] == {**nothing, "unseen_share": None, "error": nothing}


def test_predictions_unlike_all_past_ones_have_no_estimate() -> None:
    learned = learn_errors(labelled(np.ones(20), np.zeros(20)))
    for strangers, code in ((2, None), (3, "unseen_predictions")):
        values = np.concatenate((np.ones(18), np.full(strangers, 1e6)))
        report = report_expected_errors(fold(values), learned, said(values, values))
        found = report.values["estimated"]
        assert found["unseen_share"] == strangers / len(values)
        assert report.reasons.get("estimated.mae") == report.reasons.get("estimated.error.rmse") == code
        assert found["mae"] == (1.0 if code is None else None)


def test_without_labels_there_is_no_error() -> None:
    report = report_expected_errors(fold(np.ones(3)), learn_errors(labelled(np.ones(2), np.zeros(2))), NO_LABELS)
    assert report.values["estimated"] == {
        "mae": 1.0, "mse": 1.0, "rmse": 1.0, "unseen_share": 0.0, "error": dict.fromkeys(EXPECTED),
    }  # fmt: skip
    assert report.reasons == {f"estimated.error.{name}": "no_labels" for name in EXPECTED}
