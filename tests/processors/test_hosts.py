"""Host windows: published once when they close, whatever crashes; forgotten when no window wants them."""

import random
from typing import Any

import orjson
import pytest

from pipeline.core.accumulate.exact_sum import ExactSum
from pipeline.core.accumulate.hosts import Readings
from pipeline.core.window import WindowSize
from pipeline.processors import hosts
from pipeline.processors.hosts import MAX_METRICS, HostPanes

SIZES = [WindowSize(20, 20), WindowSize(30, 10)]
PANE_MS = 10


def reading(value: float, time_ms: int = 0) -> Readings:
    return Readings(1, ExactSum(int(value)), value, value, (time_ms, value))


def panes() -> HostPanes:
    return HostPanes(SIZES, PANE_MS)


def due(state: HostPanes, watermark_ms: int) -> list[Any]:
    found = [
        (str(size), start_ms, {metric: report["mean"] for metric, report in metrics.items()})
        for _, size, start_ms, metrics in state.due(watermark_ms)
    ]
    state.drop_old(watermark_ms)
    return found


def test_a_window_is_told_once_when_it_closes() -> None:
    """
    ::

        0    10   20   30   40
        |-4--|-6--|              panes
        |---------|              20ms
        |--------------|         30ms/10ms, and those that begin before 0
    """
    state = panes()
    state.merge("a", 0, {"cpu": reading(4)})
    state.merge("a", 10, {"cpu": reading(6)})
    assert due(state, 9) == []
    assert due(state, 10) == [("30ms/10ms", -20, {"cpu": 4})]
    assert due(state, 20) == [("20ms", 0, {"cpu": 5}), ("30ms/10ms", -10, {"cpu": 5})]
    assert due(state, 40) == [("30ms/10ms", 0, {"cpu": 5}), ("30ms/10ms", 10, {"cpu": 6})]
    assert due(state, 1_000) == []


def test_publishing_leaves_the_panes_as_they_are() -> None:
    state = panes()
    state.merge("a", 0, {"cpu": reading(4)})
    state.merge("a", 10, {"cpu": reading(6)})
    due(state, 20)
    state.merge("a", 10, {"cpu": reading(8)})
    assert {start: metrics for _, start, metrics in due(state, 30)}[0] == {"cpu": 6}


def test_hosts_keep_apart() -> None:
    state = panes()
    state.merge("a", 0, {"cpu": reading(4)})
    state.merge("b", 0, {"gpu": reading(5)})
    assert {host for host, *_ in state.due(100)} == {"a", "b"}


def test_a_host_that_invents_names_fills_no_memory() -> None:
    one, other = panes(), panes()
    names = [f"metric-{number:05}" for number in range(3 * MAX_METRICS)]
    for start in range(0, len(names), 500):
        one.merge("a", 0, {name: reading(1) for name in names[start : start + 500]})
        other.merge("a", 0, {name: reading(1) for name in names[::-1][start : start + 500]})
    kept = [sorted(state._panes["a", 0]) for state in (one, other)]
    assert kept == [names[:MAX_METRICS]] * 2
    assert one.limited > 0


def test_hosts_without_end_fill_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "MAX_PANES", 3)
    state = panes()
    for number in range(5):
        state.merge(f"host-{number}", 0, {"cpu": reading(1)})
    state.merge("host-0", 0, {"cpu": reading(2)})
    assert [host for host, _ in state._panes] == ["host-0", "host-1", "host-2"]
    assert state.limited == 2
    due(state, 1_000)
    state.merge("host-4", 2_000, {"cpu": reading(1)})
    assert [host for host, _ in state._panes] == ["host-4"], "room again"


def test_the_changelog_restores_the_live_state_at_every_commit_and_ends_empty() -> None:
    rng = random.Random(2)
    live, watermark = panes(), 0
    log: dict[bytes, bytes | None] = {}
    for step in range(200):
        start = (watermark // PANE_MS + rng.randrange(4)) * PANE_MS
        metrics = {rng.choice(["cpu", "gpu", "x" * 100]): reading(rng.randrange(9), step) for _ in range(3)}
        live.merge(rng.choice("ab"), start, metrics)
        if rng.random() < 0.5:
            watermark += rng.randrange(25)
            told = due(live, watermark)
            log |= dict(live.changelog())
            restored = panes()
            for key, value in log.items():
                kind, *name = orjson.loads(key)
                assert kind == "host"
                restored.restore(name, value)
            restored.finish_restore(watermark)
            assert told is not None
            assert wire(restored) == wire(live)
            assert sorted(restored._closing) == sorted(live._closing)
            if rng.random() < 0.3:
                live = restored
    due(live, watermark + 1_000)
    log |= dict(live.changelog())
    assert set(log.values()) == {None}
    assert not live._panes
    assert not live._open


def wire(state: HostPanes) -> Any:
    return {key: {name: one.to_wire() for name, one in sorted(pane.items())} for key, pane in state._panes.items()}


def test_a_pane_too_wide_for_a_record_goes_in_pieces() -> None:
    state = panes()
    state.merge("a", 0, {"\U0001f600" * 124 + f"{number:04}": reading(number) for number in range(MAX_METRICS)})
    entries = list(state.changelog())
    assert len(entries) > 1
    assert max(len(value or b"") for _, value in entries) < 800_000
    again = panes()
    for key, value in entries:
        again.restore(orjson.loads(key)[1:], value)
    again.finish_restore(-1_000)
    assert wire(again) == wire(state)
