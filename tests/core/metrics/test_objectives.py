import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.accumulate.buckets import RELATIVE_ERROR, nearest_edge
from pipeline.core.accumulate.confusion import Confusion
from pipeline.core.accumulate.residuals import Residuals, fold_residuals
from pipeline.core.accumulate.sets import Sets
from pipeline.core.events import Cells, Float64s, Group, LabelChanges, Task
from pipeline.core.kernels.latency import BUCKET_SHIFT
from pipeline.core.metrics.objectives import Objective, report_objective
from pipeline.core.window import WindowSize
from tests.core.accumulate.test_latency import fold

H = 3_600_000
FAST = [WindowSize(H, H // 12), WindowSize(6 * H, H // 2)]


def objective(**condition: Any) -> Objective:
    return Objective("o", 0.99, 720 * H, tuple(FAST), **condition)


def edge_of(threshold: float) -> float:
    return float((np.array([nearest_edge(threshold)], np.int64) << BUCKET_SHIFT).view(np.float64)[0])


@given(st.floats(1e-18, 1e18))
def test_the_threshold_is_held_as_closely_as_promised(threshold: float) -> None:
    assert edge_of(threshold) == pytest.approx(threshold, rel=RELATIVE_ERROR * (1 + 1e-9))


@given(st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=60), st.floats(1e-3, 1e6))
def test_latencies_are_good_below_the_threshold(values: list[float], threshold: float) -> None:
    good, total = objective(latency_ms=threshold).count({"latency": fold(np.array(values))[0]})
    assert (good, total) == (sum(value < edge_of(threshold) for value in values), len(values))


def test_round_thresholds_are_held_exactly() -> None:
    values: Float64s = np.linspace(1, 500, 4_000)
    for threshold in (50.0, 100.0, 125.0, 200.0, 250.0, 400.0):
        good, _ = objective(latency_ms=threshold).count({"latency": fold(values)[0]})
        assert good == (values < threshold).sum()


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.sampled_from([1, -1])), min_size=1))
def test_numbers_are_good_below_the_threshold_and_corrections_are_taken_back(
    rows: list[tuple[float, float, int]],
) -> None:
    guess, truth, sign = zip(*rows, strict=True)
    count = len(rows)
    changes = LabelChanges(np.array(guess).view(np.int64), np.array(truth).view(np.int64), np.array(sign, np.int64), [])
    zeros = np.zeros(count, np.int32)
    where = Cells(
        np.arange(count, dtype=np.int32), zeros, zeros[:1], [""], np.zeros(1, np.int64),
        [Group("m", "1", Task.REGRESSION)],
    )  # fmt: skip
    states = {"residuals": fold_residuals(changes, where).get(0, Residuals())}
    close = [s * (abs(a - b) < edge_of(3.0)) for a, b, s in rows]
    assert objective(absolute_error=3.0).count(states) == (sum(close), sum(sign))


def test_classes_and_sets_are_good_when_they_are_right() -> None:
    confusion = Confusion()
    confusion.counts = {("a", "a"): 5, ("a", "b"): 2, ("b", "b"): -1}
    assert objective(correct=True).count({"confusion": confusion, "sets": Sets()}) == (4, 6)
    assert objective(correct=True).count({"sets": Sets(7, 3)}) == (3, 7)
    assert objective(correct=True).count({}) == objective(latency_ms=1.0).count({}) == (0, 0)


def test_burn_rates_are_the_workbooks() -> None:
    """All of an hour's events bad burn 1 / 720 of a month's budget for each unit of the rate."""
    one = objective(latency_ms=1.0)
    past = dict.fromkeys(one.lengths_ms, (90, 100)) | {H // 12: (100, 100), 6 * H: (0, 100)}
    report = report_objective(one, (3, 4), past)
    found = report.values["objectives"]["o"]
    assert report.reasons == {}
    assert (found["good"], found["total"], found["good_ratio"]) == (3, 4, 0.75)
    rates = {name: round(rate, 9) for name, rate in found["burn_rate"].items()}
    assert rates == {"1h": 10.0, "5m": 0.0, "1h/5m": 0.0, "6h": 100.0, "30m": 10.0, "6h/30m": 10.0}
    assert found["error_budget_left"] == pytest.approx(-9.0, rel=1e-12)


def test_without_events_there_is_no_rate() -> None:
    one = objective(latency_ms=1.0)
    report = report_objective(one, (0, 0), dict.fromkeys(one.lengths_ms, (0, 0)) | {H: (1, 2)})
    found = report.values["objectives"]["o"]
    assert (found["good_ratio"], found["error_budget_left"]) == (None, None)
    assert (found["burn_rate"]["1h/5m"], found["burn_rate"]["5m"]) == (None, None)
    assert math.isclose(found["burn_rate"]["1h"], 50.0)
    nulls = {
        "good_ratio",
        "error_budget_left",
        *(f"burn_rate.{name}" for name in ("5m", "1h/5m", "6h", "30m", "6h/30m")),
    }
    assert report.reasons == dict.fromkeys((f"objectives.o.{name}" for name in nulls), "no_events")


def test_what_it_is_about() -> None:
    one = Objective("o", 0.9, H, (FAST[0],), model="m", segment="a=1", correct=True)
    assert one.is_about(Group("m", "1", Task.BINARY), "a=1")
    assert not one.is_about(Group("m", "1", Task.BINARY), "")
    assert not one.is_about(Group("n", "1", Task.BINARY), "a=1")
    assert not one.is_about(Group("m", "", Task.BINARY), "a=1")
