"""Trends over final windows: each counts once, in any run, and only those that do not overlap."""

import random
from typing import Any

import numpy as np
import orjson
import pytest

from pipeline.core.events import Group, Task
from pipeline.core.window import WindowSize
from pipeline.processors.ageing import Ageing
from tests.processors.monitor_bench import GROUP, Bench, S
from tests.processors.schema import check


def finals(bench: Bench) -> list[Any]:
    return [event for event in bench.events() if event["final"]]


def run(seed: int) -> list[Any]:
    """The same counts, in batches and with crashes that differ by seed."""
    rng = random.Random(seed)
    bench = Bench()
    found = []
    for second in range(0, 40, 2):
        wrong = second // 4 + second % 6 // 2
        bench.count(second, predictions=30, right=20 - wrong, wrong=wrong)
        if rng.random() < 0.5:
            bench.progress(second)
            found += finals(bench)
            if rng.random() < 0.5:
                bench.crash()
    bench.progress(100)
    return found + finals(bench)


def test_a_version_that_gets_worse_has_a_falling_trend_that_is_surely_falling() -> None:
    events = run(0)
    for event in events:
        check("window_metrics.v1", event)
    assert [event["ageing"]["accuracy"]["windows"] for event in events] == list(range(1, 21))
    assert events[1]["reasons"]["ageing.accuracy.slope_per_day"] == "too_few_windows"
    last = events[-1]["ageing"]["accuracy"]
    days = [event["window_start_ms"] / 86_400_000 for event in events]
    values = [event["quality"]["accuracy"] for event in events]
    weights = [event["counts"]["labelled"] for event in events]
    assert last["slope_per_day"] == pytest.approx(np.polyfit(days, values, 1, w=np.sqrt(weights))[0], rel=1e-6)
    assert last["low"] < last["slope_per_day"] < last["high"] < 0
    assert "mae" not in events[-1]["ageing"]


@pytest.mark.parametrize("seed", range(1, 5))
def test_crashes_and_the_order_of_publication_change_nothing(seed: int) -> None:
    said = [[(event["window_start_ms"], event["ageing"]) for event in run(number)] for number in (0, seed)]
    assert said[0] == said[1]


def test_a_window_that_is_not_final_and_a_segment_have_no_trend() -> None:
    bench = Bench()
    bench.count(0, predictions=5, right=5)
    bench.count(0, segment="a=1", predictions=5, right=5)
    bench.progress(2)
    assert [event["ageing"] for event in bench.events()] == [{}, {}]
    bench.progress(22)
    ageing = {event["segment"]: event["ageing"] for event in bench.events()}
    assert set(ageing[""]) == {"accuracy", "f1", "f1_macro"}
    assert ageing["a=1"] == {}


def test_versions_have_trends_of_their_own_and_windows_without_labels_none() -> None:
    bench = Bench()
    other = Group("fraud", "2", Task.BINARY)
    for second in (0, 2, 4):
        bench.count(second, predictions=5, right=4, wrong=1)
        bench.count(second, other, predictions=5, right=second)
    bench.progress(100)
    last = {event["model_version"]: event["ageing"] for event in finals(bench)}
    assert {version: one["accuracy"]["windows"] for version, one in last.items()} == {"1": 3, "2": 2}


def test_of_windows_that_overlap_only_some_count() -> None:
    ageing = Ageing(["mae"], [WindowSize(4 * S, 2 * S), WindowSize(6 * S, 4 * S)])
    for name, starts, counted in (("4s/2s", range(-2, 20, 2), [0, 4, 8, 12, 16]), ("6s/4s", range(-4, 20, 4), [0, 12])):
        for start in starts:
            ageing.add((GROUP, name), start * S, {"mae": 1.0}, 3)
        assert ageing.report((GROUP, name), 0.95).values["ageing"]["mae"]["windows"] == len(counted)


def test_a_size_or_metric_that_is_not_configured_any_more_is_forgotten() -> None:
    before = Ageing(["mae", "rmse"], [WindowSize(S, S), WindowSize(2 * S, 2 * S)])
    for name in ("1s", "2s"):
        before.add((GROUP, name), 0, {"mae": 1.0, "rmse": 2.0}, 3)
    log = dict(before.changelog())
    after = Ageing(["mae"], [WindowSize(2 * S, 2 * S)])
    for key, value in log.items():
        after.restore(orjson.loads(key)[1:], value)
    log |= dict(after.changelog())
    assert [orjson.loads(key)[-1] for key, value in log.items() if value is not None] == ["2s"]
    assert set(after.report((GROUP, "2s"), 0.95).values["ageing"]) == {"mae"}
