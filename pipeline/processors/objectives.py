"""What objectives need of the past: good and all events by pane, for as long as a period.

Every change of a pane is counted as it comes, so the tallies are those of the panes themselves, whatever the order. A
length of up to ``FINE_PANES`` panes is exact. A longer one is summed from coarse buckets, a thousandth of the longest
length each, and from panes after the last whole one; it begins with the bucket that its first moment lies in.

The changelog has ``objective, name, condition, model, version, task, length, start`` for each pane and each coarse
bucket, with ``[good, total]``; deleted when no window that can still be published looks back as far.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence

import orjson

from pipeline.core.events import Group, Json, Task
from pipeline.core.family import Report, State
from pipeline.core.metrics.objectives import Objective, Tally, report_objective

FINE_PANES = 1_000
"""Lengths of up to so many panes are summed pane by pane, and no more coarse buckets are summed."""

Bucket = tuple[int, int]
"""Length and start, in milliseconds."""


class Objectives:
    """The tallies of one monitor partition.

    Args:
        objectives: the objectives.
        pane_ms: a pane's length.
        horizon_ms: for how long after its end a window may be published again.
        longest_ms: the longest window.
    """

    def __init__(self, objectives: Sequence[Objective], pane_ms: int, horizon_ms: int, longest_ms: int) -> None:
        self._objectives = {(one.name, one.condition): one for one in objectives}
        self._pane_ms, self._horizon_ms, self._longest_ms = pane_ms, horizon_ms, longest_ms
        self._tallies: dict[tuple[Objective, Group], dict[Bucket, Tally]] = {}
        self._changes: dict[bytes, bytes | None] = {}
        # Buckets by the moment from which nobody looks back at them.
        self._old: list[tuple[int, int, tuple[Objective, Group, Bucket]]] = []
        self._order = 0  # breaks ties in the heap, so that buckets are never compared

    def count(self, group: Group, segment: str, start_ms: int, states: Mapping[str, State]) -> None:
        """Count what comes into a pane.

        Args:
            group: the model version.
            segment: the segment.
            start_ms: the pane's start.
            states: what is added to it, by family.
        """
        for objective in self._about(group, segment):
            good, total = objective.count(states)
            if not good and not total:
                continue
            for length_ms in {self._pane_ms, self._coarse_ms(objective)}:
                bucket = (length_ms, start_ms - start_ms % length_ms)
                before = self._tallies.get((objective, group), {}).get(bucket, (0, 0))
                tally = before[0] + good, before[1] + total
                self._put(objective, group, bucket, tally)
                self._changes[_key(objective, group, bucket)] = orjson.dumps(tally)

    def report(self, group: Group, segment: str, end_ms: int, window: Mapping[str, State]) -> Iterator[Report]:
        """What a window says of each objective that is about it.

        Args:
            group: the model version.
            segment: the segment.
            end_ms: the window's end.
            window: its own states.
        """
        for objective in self._about(group, segment):
            lengths = {length: self._tally(objective, group, end_ms, length) for length in objective.lengths_ms}
            yield report_objective(objective, objective.count(window), lengths)

    def drop_old(self, final_ms: int) -> None:
        """Forget what no window looks back at.

        Args:
            final_ms: windows that end a label horizon before this are final.
        """
        while self._old and self._old[0][0] <= final_ms:
            _, _, (objective, group, bucket) = heapq.heappop(self._old)
            if self._take(objective, group, bucket):
                self._changes[_key(objective, group, bucket)] = None

    def changelog(self) -> Iterator[tuple[bytes, bytes | None]]:
        """The entries for what changed since the last call."""
        yield from self._changes.items()
        self._changes = {}

    def restore(self, name: Sequence[Json], value: bytes | None) -> None:
        """Apply one changelog entry; one of an objective that is not configured any more is deleted.

        Args:
            name: the entry's key without its kind.
            value: the tally; None when it was dropped.
        """
        title, condition, model, version, task, length_ms, start_ms = name
        objective, group = self._objectives.get((title, condition)), Group(model, version, Task(task))
        if objective is None or length_ms not in (self._pane_ms, self._coarse_ms(objective)):
            self._changes[orjson.dumps(["objective", *name])] = None
        elif value is None:
            self._take(objective, group, (length_ms, start_ms))
        else:
            good, total = orjson.loads(value)
            self._put(objective, group, (length_ms, start_ms), (good, total))

    def size(self) -> int:
        """How many tallies are kept."""
        return sum(map(len, self._tallies.values()))

    def _about(self, group: Group, segment: str) -> Iterator[Objective]:
        return (one for one in self._objectives.values() if one.is_about(group, segment))

    def _coarse_ms(self, objective: Objective) -> int:
        longest_ms = max(objective.lengths_ms)
        return -(-longest_ms // (self._pane_ms * FINE_PANES)) * self._pane_ms

    def _put(self, objective: Objective, group: Group, bucket: Bucket, tally: Tally) -> None:
        tallies = self._tallies.setdefault((objective, group), {})
        if bucket not in tallies:
            length_ms, start_ms = bucket
            coarse_ms = self._coarse_ms(objective)
            span_ms = self._pane_ms * FINE_PANES if length_ms == self._pane_ms else max(objective.lengths_ms)
            needed_ms = max(span_ms, self._longest_ms) + coarse_ms + self._horizon_ms
            self._order += 1
            heapq.heappush(self._old, (start_ms + needed_ms, self._order, (objective, group, bucket)))
        tallies[bucket] = tally

    def _take(self, objective: Objective, group: Group, bucket: Bucket) -> bool:
        tallies = self._tallies.get((objective, group), {})
        found = tallies.pop(bucket, None) is not None
        if found and not tallies:
            del self._tallies[objective, group]
        return found

    def _tally(self, objective: Objective, group: Group, end_ms: int, length_ms: int) -> Tally:
        """The events of a length up to a window's end."""
        tallies, first_ms = self._tallies.get((objective, group), {}), end_ms - length_ms
        buckets: list[Bucket] = []
        if length_ms > self._pane_ms * FINE_PANES:
            coarse_ms = self._coarse_ms(objective)
            whole_ms = end_ms - end_ms % coarse_ms  # what begins here holds events after the window's end
            buckets = [(coarse_ms, start) for start in range(first_ms - first_ms % coarse_ms, whole_ms, coarse_ms)]
            first_ms = whole_ms
        buckets += [(self._pane_ms, start) for start in range(first_ms, end_ms, self._pane_ms)]
        found = [tallies[bucket] for bucket in buckets if bucket in tallies]
        return sum(good for good, _ in found), sum(total for _, total in found)


def _key(objective: Objective, group: Group, bucket: Bucket) -> bytes:
    of_group = (group.model, group.model_version, group.task.value)
    return orjson.dumps(["objective", objective.name, objective.condition, *of_group, *bucket])
