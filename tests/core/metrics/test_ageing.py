import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import linregress, t

from pipeline.core.metrics.ageing import Trend, report_ageing

DAY = 86_400_000
START = 1_700_000_000_000

windows = st.lists(
    st.tuples(st.integers(0, 10_000), st.floats(-1e6, 1e6), st.integers(1, 10**6)),
    min_size=3,
    max_size=30,
    unique_by=lambda one: one[0],
)


def trend_of(rows: list[tuple[int, float, int]]) -> Trend:
    trend = Trend()
    for start, value, weight in rows:
        trend.add(START + start * 60_000, value, weight)
    return trend


@pytest.mark.parametrize("seed", range(5))
def test_slope_and_interval_are_those_of_weighted_least_squares(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(3, 200))
    start = np.sort(rng.choice(20_000, count, replace=False))
    weight = rng.integers(1, 5_000, count)
    value = 0.9 - 1e-6 * start + rng.normal(0, 1, count) / np.sqrt(weight)
    found = report_ageing(
        {"f1": trend_of(list(zip(start.tolist(), value.tolist(), weight.tolist(), strict=True)))}, 0.9
    )
    days = (start - start.mean()) * 60_000 / DAY
    (slope, _), covariance = np.polyfit(days, value, 1, w=np.sqrt(weight), cov=True)
    reach = t.ppf(0.95, count - 2) * math.sqrt(covariance[0, 0])
    one = found.values["ageing"]["f1"]
    assert one["windows"] == count
    assert one["slope_per_day"] == pytest.approx(slope, rel=1e-8)
    assert (one["low"], one["high"]) == pytest.approx((slope - reach, slope + reach), rel=1e-8)


def test_with_equal_weights_it_is_the_ordinary_regression() -> None:
    value = [0.9, 0.88, 0.91, 0.86, 0.85, 0.86]
    found = report_ageing({"accuracy": trend_of([(1_440 * day, one, 7) for day, one in enumerate(value)])}, 0.95)
    fit = linregress(range(6), value)
    one = found.values["ageing"]["accuracy"]
    assert one["slope_per_day"] == pytest.approx(fit.slope, rel=1e-12)
    assert one["high"] - one["slope_per_day"] == pytest.approx(t.ppf(0.975, 4) * fit.stderr, rel=1e-9)


@given(windows, st.data())
def test_order_and_sharding_change_no_bit(rows: list[tuple[int, float, int]], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(rows))
    cut = data.draw(st.integers(0, len(rows)))
    merged, other = trend_of(shuffled[:cut]), trend_of(shuffled[cut:])
    merged.merge(Trend.from_wire(other.to_wire()))
    assert merged.to_wire() == trend_of(rows).to_wire()
    assert report_ageing({"m": merged}, 0.95) == report_ageing({"m": trend_of(rows)}, 0.95)


@given(windows, st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6))
def test_windows_on_a_line_have_its_slope_and_no_interval(
    rows: list[tuple[int, float, int]], slope: int, offset: int
) -> None:
    on_line = [(start, float(slope * start + offset), weight) for start, _, weight in rows]
    report = report_ageing({"mae": trend_of(on_line)}, 0.95)
    assert report.values["ageing"]["mae"] == {
        "slope_per_day": slope * 1_440.0, "low": None, "high": None, "windows": len(rows),
    }  # fmt: skip
    assert report.reasons == {"ageing.mae.low": "no_variance", "ageing.mae.high": "no_variance"}


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_windows_have_no_trend(count: int) -> None:
    report = report_ageing({"f1": trend_of([(day, 0.5 + day, 3) for day in range(count)])}, 0.95)
    assert report.values["ageing"]["f1"] == {"slope_per_day": None, "low": None, "high": None, "windows": count}
    assert set(report.reasons.values()) == {"too_few_windows"}
    assert len(report.reasons) == 3


def test_what_is_beyond_the_doubles_is_null() -> None:
    steep = trend_of([(0, 1e308, 1), (1, -1e308, 1), (2, 3.0, 1)])
    report = report_ageing({"rmse": steep}, 0.95)
    assert set(report.values["ageing"]["rmse"].values()) == {None, 3}
    assert set(report.reasons.values()) == {"overflow"}


@given(st.lists(st.floats(-1e300, 1e300), min_size=3, max_size=6), st.floats(0.5, 0.999))
def test_nothing_is_infinite_and_every_null_has_a_reason(values: list[float], level: float) -> None:
    report = report_ageing({"m": trend_of([(1_000 * place, one, 2) for place, one in enumerate(values)])}, level)
    found = report.values["ageing"]["m"]
    assert all(value is None or math.isfinite(value) for value in found.values())
    assert {f"ageing.m.{name}" for name, value in found.items() if value is None} == set(report.reasons)
