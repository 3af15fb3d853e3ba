"""Objectives over what a monitor partition sees: the counts are those of a plain loop, whatever order, crash or age."""

import random
from typing import Any

import orjson
import pytest

from pipeline.core.accumulate.confusion import Confusion
from pipeline.core.errors import ConfigError
from pipeline.core.events import Group, Task
from pipeline.core.metrics.objectives import Objective
from pipeline.core.window import WindowSize
from pipeline.processors import objectives as module
from pipeline.processors.objectives import Objectives
from tests.processors.monitor_bench import Bench, S
from tests.processors.schema import check

GROUP = Group("fraud", "1", Task.BINARY)
RIGHT: dict[str, Any] = {
    "name": "right", "correct": True, "target": 0.9, "period": "60s", "burn_rates": ["20s/4s", "8s"]
}  # fmt: skip


def states(right: int, wrong: int) -> dict[str, Any]:
    confusion = Confusion()
    confusion.counts = {outcome: n for outcome, n in {("1", "1"): right, ("1", "0"): wrong}.items() if n}
    return {"confusion": confusion}


def test_windows_say_how_fast_the_budget_burns_through_crashes() -> None:
    rule = {"name": "burns", "metric": "objectives.right.burn_rate.20s/4s", "above": 2.9}
    bench = Bench(objectives=[RIGHT], rules=[rule])
    alerts = []
    events = {}
    for second in range(0, 60, 2):
        bad = 40 <= second < 52
        bench.count(second, predictions=10, right=0 if bad else 10, wrong=10 if bad else 0)
        bench.progress(second + 2, final=0)
        outputs = bench.flush()
        bench.crash()
        alerts += [orjson.loads(one.value or b"") for one in outputs if one.topic == "alerts"]
        for one in outputs:
            if one.topic == "window-metrics":
                event = orjson.loads(one.value or b"")
                check("window_metrics.v1", event)
                events[event["window_start_ms"] // S] = event["objectives"]["right"]
    assert events[38]["error_budget_left"] == 1.0
    assert events[50]["burn_rate"]["4s"] == pytest.approx(10.0)
    assert events[50]["burn_rate"]["20s"] == events[50]["burn_rate"]["20s/4s"] == pytest.approx(6.0)
    assert events[54]["burn_rate"]["20s/4s"] == events[54]["burn_rate"]["4s"] == 0.0
    assert events[54]["burn_rate"]["20s"] == pytest.approx(6.0)
    assert events[58]["error_budget_left"] == pytest.approx(1 - 60 / 300 / 0.1)
    assert (events[58]["good"], events[58]["total"], events[58]["good_ratio"]) == (10, 10, 1.0)
    # It fires when the long and the short length burn, and is over soon after the trouble.
    assert [(one["state"], one["window_start_ms"] // S) for one in alerts] == [("firing", 44), ("resolved", 54)]


@pytest.mark.parametrize("seed", range(8))
def test_tallies_are_those_of_a_plain_loop(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Late counts, corrections and restores, with lengths on both sides of where coarse buckets begin."""
    monkeypatch.setattr(module, "FINE_PANES", 4)
    rng = random.Random(seed)
    one = Objective("o", 0.5, 30, (WindowSize(20, 4), WindowSize(3, 3)), correct=True)
    settings = {"pane_ms": 1, "horizon_ms": 10, "longest_ms": 4}
    live = Objectives([one], **settings)
    log: dict[bytes, bytes | None] = {}
    seen: list[tuple[int, int, int]] = []
    coarse = 8  # a fourth of the longest length, in panes
    for now in range(0, 120, 2):
        for _ in range(rng.randrange(4)):
            start = max(0, now - rng.randrange(9))
            good, bad = rng.choice([(1, 0), (0, 1), (3, 2), (-1, 1)])
            live.count(GROUP, "", start, states(good, bad))
            seen.append((start, good, good + bad))
        live.drop_old(now)
        log |= dict(live.changelog())
        if rng.random() < 0.3:
            live = Objectives([one], **settings)
            for key, value in log.items():
                live.restore(orjson.loads(key)[1:], value)
        end = now - rng.randrange(10)
        for length in one.lengths_ms:
            first = end - length if length <= 4 else (end - length) // coarse * coarse
            expected = [(good, total) for start, good, total in seen if first <= start < end]
            sums = tuple(sum(column) for column in zip(*expected, strict=True)) if expected else (0, 0)
            assert live._tally(one, GROUP, end, length) == sums
    assert live.size() < 50
    live.drop_old(10_000)
    log |= dict(live.changelog())
    assert live.size() == 0
    assert not any(log.values())


def test_counts_of_what_is_not_configured_any_more_are_deleted() -> None:
    old, new = (
        Objective("o", 0.5, 30, (WindowSize(3, 3),), correct=True),
        Objective("o", 0.5, 30, (WindowSize(3, 3),), latency_ms=5.0),
    )
    before = Objectives([old], 1, 10, 4)
    before.count(GROUP, "", 0, states(1, 1))
    log = dict(before.changelog())
    assert any(log.values())
    after = Objectives([new], 1, 10, 4)
    for key, value in log.items():
        after.restore(orjson.loads(key)[1:], value)
    log |= dict(after.changelog())
    assert not any(log.values())
    assert after.size() == 0


def test_versions_and_segments_have_budgets_of_their_own() -> None:
    bench = Bench(objectives=[RIGHT, {**RIGHT, "name": "of-de", "segment": "country=DE", "model": "fraud"}])
    bench.count(0, predictions=10, right=10)
    bench.count(0, segment="country=DE", predictions=4, right=1, wrong=3)
    bench.count(0, Group("fraud", "2", Task.BINARY), predictions=10, wrong=10)
    bench.progress(2)
    found = {(event["model_version"], event["segment"]): event["objectives"] for event in bench.events()}
    ratios = {who: {name: one["good_ratio"] for name, one in each.items()} for who, each in found.items()}
    assert ratios == {("1", ""): {"right": 1.0}, ("1", "country=DE"): {"of-de": 0.25}, ("2", ""): {"right": 0.0}}


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"objectives": [{**RIGHT, "latency_ms": 5}]}, "objectives[0]"),
    ({"objectives": [{key: RIGHT[key] for key in ("name", "target")}]}, "objectives[0]"),
    ({"objectives": [RIGHT, RIGHT]}, "objectives[1].name"),
    ({"objectives": [{**RIGHT, "period": "61s"}]}, "objectives[0].period"),
    ({"objectives": [{**RIGHT, "burn_rates": ["20s/5s"]}]}, "objectives[0].burn_rates"),
    ({"objectives": [{**RIGHT, "target": 1}]}, "objectives[0].target"),
    (
        {"objectives": [RIGHT], "rules": [{"name": "r", "metric": "objectives.wrong.good", "above": 1}]},
        "rules[0].metric",
    ),
]


@pytest.mark.parametrize(("sections", "place"), FAULTS, ids=range(len(FAULTS)))
def test_faults_of_the_configuration_are_told(sections: dict[str, Any], place: str) -> None:
    with pytest.raises(ConfigError) as error:
        Bench(**sections)
    assert [fault.place for fault in error.value.faults] == [place]
