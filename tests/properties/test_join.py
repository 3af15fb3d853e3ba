"""The join against a dict and two loops: any interleaving of the two logs, any sweeps, any restores."""

import os
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.join import NO_LABEL, JoinLimits, JoinStore
from tests.changed_rows import all_changed
from tests.cold_blocks import MemoryBlocks

EXAMPLES = int(os.environ.get("DRIFTLINE_TEST_EXAMPLES", "200"))
LATENESS = 3
LIMITS = JoinLimits(horizon_ms=12, early_ms=5, memory_bytes=1 << 16)


@dataclass
class Event:
    key: int
    group: int
    time: int
    value: int
    effective: int = 0
    labels: list["Event"] = field(default_factory=list)


def with_effective_times(events: list[Event]) -> list[Event]:
    """An event's effective time: its own, but not before its partition's watermark at its place in the log."""
    newest = -(10**9)
    for event in events:
        newest = max(newest, event.time)
        event.effective = max(event.time, newest - LATENESS)
    return events


def truth(predictions: list[Event], labels: list[Event]) -> tuple[dict[Any, Any], list[int], set[int]]:
    """Per accepted prediction (labels that could join, the winner's value and time); duplicates; unmatched labels."""
    accepted: dict[tuple[int, int], list[Event]] = defaultdict(list)
    duplicates = []
    for index, event in enumerate(predictions):
        earlier = accepted[event.key, event.group]
        if any(event.effective <= other.time + LIMITS.horizon_ms for other in earlier):
            duplicates.append(index)
        else:
            earlier.append(event)
    result, matched = {}, set()
    for (key, group), events in accepted.items():
        for event in events:
            fitting = [
                (label.time, -number, label.value)
                for number, label in enumerate(labels)
                if label.key == key
                and label.effective <= event.time + LIMITS.horizon_ms
                and event.effective <= label.effective + LIMITS.early_ms
            ]
            matched |= {-number for _, number, _ in fitting}
            winner = max(fitting) if fitting else (None, None, None)
            result[key, group, event.time] = (len(fitting), winner[2], winner[0])
    return result, duplicates, set(range(len(labels))) - matched


def one(value: int, kind: Any) -> Any:
    return np.array([value], kind)


class Run:
    """The store fed event by event; keeps what it said about every prediction."""

    def __init__(self, make: Callable[[], JoinStore]) -> None:
        self.make = make
        self.store = make()
        self.log: list[Any] = []
        self.final = -(10**9)
        self.result: dict[Any, list[Any]] = {}
        self.duplicates: list[int] = []
        self.unmatched = 0
        self.predictions_seen = self.labels_seen = 0

    def note(self, joined: Any) -> None:
        for i in range(len(joined)):
            place = (int(joined.predicted[i]), int(joined.group[i]), int(joined.timestamp_ms[i]))
            entry = self.result[place]
            assert entry[1] == (None if joined.old_kind[i] == NO_LABEL else joined.old_value[i])
            entry[0] += int(joined.labels[i])
            entry[1] = int(joined.new_value[i])
            assert entry[2] == (None if joined.old_kind[i] == NO_LABEL else joined.old_label_ms[i])
            entry[2] = int(joined.new_label_ms[i])

    def predict(self, event: Event) -> None:
        key = np.array([[event.key * 7919, event.key]], np.uint64)
        # The value carries the key, so that a joined row tells whose it is.
        duplicate, joined = self.store.insert_predictions(
            key,
            one(event.time, np.int64),
            one(event.effective, np.int64),
            one(event.group, np.int32),
            one(0, np.int32),
            one(event.key, np.int64),
        )
        if duplicate[0]:
            self.duplicates.append(self.predictions_seen)
        else:
            self.result[event.key, event.group, event.time] = [0, None, None]
        self.predictions_seen += 1
        self.note(joined)

    def label(self, event: Event) -> None:
        key = np.array([[event.key * 7919, event.key]], np.uint64)
        joined, lost = self.store.insert_labels(
            key,
            one(event.time, np.int64),
            one(event.effective, np.int64),
            one(0, np.int32),
            one(0, np.uint8),
            one(event.value, np.int64),
            sequence=one(self.labels_seen, np.int64),
            final_ms=self.final,
        )
        assert not len(lost)
        self.labels_seen += 1
        self.note(joined)

    def sweep(self, watermark: int) -> None:
        self.final = max(self.final, watermark)
        self.unmatched += len(self.store.sweep(self.final).model)
        self.log.append(all_changed(self.store))

    def restart(self) -> None:
        self.log.append(all_changed(self.store))
        self.store = self.make()
        self.store.restore(self.log)
        self.store.sweep(self.final)


events = st.lists(
    st.builds(
        Event,
        key=st.integers(0, 3),
        group=st.integers(0, 2),
        time=st.integers(0, 60),
        value=st.integers(0, 5),
    ),
    max_size=25,
)


def in_memory() -> JoinStore:
    return JoinStore(LIMITS)


def on_disk() -> JoinStore:
    """Every event finds all that came before outside of memory, but labels that wait."""
    return JoinStore(replace(LIMITS, memory_bytes=1), MemoryBlocks())


def on_both() -> JoinStore:
    """A few rows stay in memory, whichever they are."""
    return JoinStore(replace(LIMITS, memory_bytes=(256 + 2 + 6) * 162), MemoryBlocks())


@pytest.mark.parametrize("make", [in_memory, on_disk, on_both])
@settings(max_examples=EXAMPLES, deadline=None)
@given(events, events, st.data())
def test_any_interleaving_gives_what_two_loops_give(
    make: Callable[[], JoinStore], predictions: list[Event], labels: list[Event], data: st.DataObject
) -> None:
    # Mostly rising times, as logs have them, with disorder beyond the lateness now and then.
    for stream in (predictions, labels):
        stream.sort(key=lambda event: event.time + 6 * (event.value % 3))
        with_effective_times(stream)
    # What is past its horizon before it is read is refused earlier, by the joiner.
    predictions = [event for event in predictions if event.time + LIMITS.horizon_ms >= event.effective]
    expected, duplicates, unmatched = truth(predictions, labels)

    run = Run(make)
    newest = [-(10**9), -(10**9)]
    queues = [list(predictions), list(labels)]
    while queues[0] or queues[1]:
        side = data.draw(st.sampled_from([side for side in (0, 1) if queues[side]]))
        event = queues[side].pop(0)
        newest[side] = max(newest[side], event.time)
        (run.predict if side == 0 else run.label)(event)
        action = data.draw(st.sampled_from(["none", "none", "sweep", "restart"]))
        if action != "none":
            run.sweep(min(newest) - LATENESS)
        if action == "restart":
            run.restart()
    run.sweep(10**6)

    assert {place: tuple(entry) for place, entry in run.result.items()} == expected
    assert run.duplicates == duplicates
    assert run.unmatched == len(unmatched)
    assert len(all_changed(run.store)) == 0


def test_batches_give_what_single_rows_give() -> None:
    rng = np.random.default_rng(5)
    count = 5_000
    key = rng.integers(0, 3_000, count).astype(np.uint64)
    keys = np.stack([key * np.uint64(2654435761), key], axis=1)
    times = np.sort(rng.integers(0, 100_000, count))
    zeros32, zeros64 = np.zeros(count, np.int32), np.zeros(count, np.int64)
    limits = JoinLimits(horizon_ms=10**6, early_ms=10**6)

    def run(step: int) -> tuple[int, int]:
        store = JoinStore(limits)
        doubled = labelled = 0
        for start in range(0, count, step):
            part = slice(start, start + step)
            duplicate, _ = store.insert_predictions(
                keys[part], times[part], times[part], zeros32[part], zeros32[part], zeros64[part]
            )
            doubled += int(duplicate.sum())
        for start in range(0, count, step):
            part = slice(start, start + step)
            joined, _ = store.insert_labels(
                keys[part],
                times[part],
                times[part],
                zeros32[part],
                zeros32[part].astype(np.uint8),
                zeros64[part],
                sequence=np.arange(count)[part],
                final_ms=0,
            )
            labelled += int((joined.old_kind == NO_LABEL).sum())
        return doubled, labelled

    distinct = len(set(key.tolist()))
    assert run(1_000) == run(7) == (count - distinct, distinct)
