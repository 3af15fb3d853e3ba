"""The join of predictions with labels that come seconds or days later, the same whatever order the topics are read in.

Every event has two times: its own, and its *effective* time, which is its own but not before the watermark of its
partition at the place where it stands in the log. Both are functions of one partition's log alone. With ``P`` and
``F`` the own and effective time of a prediction, ``L`` and ``E`` those of a label, ``H`` the label horizon and
``A`` the early-label horizon::

    a label joins a prediction of its key   when  E <= P + H   and   F <= E + A
    a prediction repeats an earlier one     when  F <= P_earlier + H
    of the labels that join, the greatest L wins; of equal ones the first in the log

Rows are dropped once the joint watermark ``W`` (no later event has an effective time below it) is past ``P + H``, or
``E + A`` for a label that waits. A dropped row could not have joined anything that comes later: a later label has
``E >= W > P + H``, a later prediction ``F >= W > E + A``. So when rows are dropped, and how the two topics happen to
interleave, changes nothing in the result.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from pipeline.core.events import Int32s, Int64s, UInt8s, UInt64s
from pipeline.core.join_cold import ColdBlocks, ColdTier, StoreFullError
from pipeline.core.join_hot import SLACK_ROWS, HotRows, SharedMemory
from pipeline.core.kernels import join as kernels
from pipeline.core.kernels import join_rows, join_upkeep
from pipeline.core.kernels.join_cold import take_dirty
from pipeline.core.kernels.join_rows import Hot
from pipeline.core.store_rows import StoreRows
from pipeline.core.watermark import NEVER

COLD_SHARE = 3
"""A third of the memory is for what the cold tier keeps there: with all of it in use, a row in 12 is in memory."""

_SLICE = 1 << 14  # of a batch at once: its rows on disk come to memory first, and there must be room for them
_SPARE = 256  # and room for labels that join several predictions
_DEMOTED_SHARE = 16  # of the rows that memory has room for go to disk at once: not too often, and no long pause
_DEMOTED_ROWS = 1 << 16  # and where memory is small, so many: each segment costs some milliseconds, whatever its size


@dataclass(frozen=True, slots=True)
class JoinLimits:
    """How long rows wait for each other, and how many there may be.

    Attributes:
        horizon_ms: how long after its prediction a label may come.
        early_ms: how long a label waits for its prediction.
        max_rows: rows at most; beyond it the store raises ``StoreFullError``.
        memory_bytes: the memory that all stores of a process may take together.
    """

    horizon_ms: int
    early_ms: int
    max_rows: int = 20_000_000
    memory_bytes: int = 1 << 30


@dataclass(frozen=True, slots=True)
class Joined:
    """What labels did to predictions, one row a (label, prediction) that could join.

    Attributes:
        timestamp_ms: int64[n], the prediction's time.
        group: int32[n], the prediction's group.
        segment_set: int32[n], the prediction's set of segments.
        predicted: int64[n], the prediction's value.
        labels: int32[n], how many labels more could join the prediction.
        old_kind, new_kind: uint8[n], the label's kind before and after; ``NO_LABEL`` (255) where there was none.
        old_value, new_value: int64[n], the label's value before and after.
        old_label_ms, new_label_ms: int64[n], the label's own time before and after; 0 where there was none.
        sequence: int64[n], the place in the log of the label that the prediction has now.
    """

    timestamp_ms: Int64s
    group: Int32s
    segment_set: Int32s
    predicted: Int64s
    labels: Int32s
    old_kind: UInt8s
    new_kind: UInt8s
    old_value: Int64s
    new_value: Int64s
    old_label_ms: Int64s
    new_label_ms: Int64s
    sequence: Int64s

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.group)


@dataclass(frozen=True, slots=True)
class Unmatched:
    """Labels that waited in vain.

    Attributes:
        model: int32[n].
        effective_ms: int64[n], the moment they are counted at.
    """

    model: Int32s
    effective_ms: Int64s

    def __len__(self) -> int:
        """The number of labels."""
        return len(self.model)


NO_LABEL = join_rows.NO_LABEL
MAX_KEPT_LABELS = join_rows.MAX_KEPT_LABELS


class JoinStore:
    """The open predictions of one partition and the labels that wait for one.

    Args:
        limits: how long rows wait, and how many.
        blocks: where rows go that have no room in memory; None keeps all in memory, or raises ``StoreFullError``.
        memory: shared with other stores; None for memory of its own.
    """

    def __init__(
        self, limits: JoinLimits, blocks: ColdBlocks | None = None, memory: SharedMemory | None = None
    ) -> None:
        self._limits = limits
        self._limits_ms = np.array([limits.horizon_ms, limits.early_ms], np.int64)
        self._blocks = blocks
        self._memory = memory or SharedMemory(limits.memory_bytes)
        self._memory.join(self)
        self._hot_rows: HotRows | None = None  # made when first used: until then others may join
        self._cold_rows: ColdTier | None = None
        self._left: list[StoreRows] = []  # changed, and on disk before a commit
        self._final_ms = NEVER

    def __len__(self) -> int:
        """Rows in use, in both tiers."""
        return self.hot_rows + self.cold_rows

    @property
    def hot_rows(self) -> int:
        """Rows in memory."""
        return len(self._hot_rows) if self._hot_rows else 0

    @property
    def cold_rows(self) -> int:
        """Rows on disk."""
        return len(self._cold_rows) if self._cold_rows else 0

    @property
    def cold_bytes(self) -> int:
        """What those on disk take there."""
        return self._cold_rows.size_bytes if self._cold_rows else 0

    def insert_predictions(
        self,
        key: UInt64s,
        timestamp_ms: Int64s,
        effective_ms: Int64s,
        group: Int32s,
        segment_set: Int32s,
        value: Int64s,
    ) -> tuple[NDArray[np.bool_], Joined]:
        """Insert n predictions in log order.

        Args:
            key: uint64[n, 2].
            timestamp_ms: int64[n].
            effective_ms: int64[n], see the module's rules.
            group: int32[n].
            segment_set: int32[n].
            value: int64[n].

        Returns:
            Which rows were duplicates (bool[n]), and the predictions whose label was waiting already.

        Raises:
            StoreFullError: the limit of rows is reached.
        """
        count = len(timestamp_ms)
        columns = (key, timestamp_ms, effective_ms, group, segment_set, value)
        duplicate = np.zeros(count, np.uint8)
        start, parts = 0, []
        while start < count:
            stop, hot = self._prepare(key, start)
            changes = np.zeros(stop - start, join_rows.CHANGE)
            start, changed = kernels.insert_predictions(hot, start, stop, *columns, self._limits_ms, duplicate, changes)
            parts.append(changes[:changed])
        self._check_count()
        return duplicate.astype(bool), _joined(parts)

    def insert_labels(
        self,
        key: UInt64s,
        timestamp_ms: Int64s,
        effective_ms: Int64s,
        model: Int32s,
        kind: UInt8s,
        value: Int64s,
        *,
        sequence: Int64s,
        final_ms: int,
    ) -> tuple[Joined, Unmatched]:
        """Insert n labels in log order.

        Args:
            key: uint64[n, 2].
            timestamp_ms: int64[n].
            effective_ms: int64[n], see the module's rules.
            model: int32[n].
            kind: uint8[n], ``LabelKind``.
            value: int64[n].
            sequence: int64[n], each label's place in the partition's log, rising.
            final_ms: the joint watermark of the last ``sweep``.

        Returns:
            What the labels did to predictions, and those that joined none and cannot wait: their key keeps
            ``MAX_KEPT_LABELS`` labels already.

        Raises:
            StoreFullError: the limit of rows is reached.
        """
        count = len(timestamp_ms)
        columns = (key, timestamp_ms, effective_ms, model, kind, value, sequence)
        lost = np.zeros(count, np.uint8)
        start, parts, spare = 0, [], _SPARE
        while start < count:
            # A label adds a change and a row for each prediction of its key, and a row for itself.
            stop, hot = self._prepare(key, start, spare)
            changes = np.zeros(stop - start + spare, join_rows.CHANGE)
            done, changed = kernels.insert_labels(hot, start, stop, *columns, final_ms, self._limits_ms, changes, lost)
            if done == start:  # one key with a very long chain
                spare *= 2
            start = done
            parts.append(changes[:changed])
        self._check_count()
        where = np.flatnonzero(lost)
        return _joined(parts), Unmatched(model[where], effective_ms[where])

    def sweep(self, final_ms: int) -> Unmatched:
        """Drop what no later event can join.

        Args:
            final_ms: the joint watermark: every later event has an effective time at or after it.

        Returns:
            The labels that never met a prediction; each is reported once.
        """
        self._final_ms = final_ms
        hot = self._hot.arrays
        labels = int(hot.counts[join_rows.USED_STATED])
        model, effective_ms = np.empty(labels, np.int32), np.empty(labels, np.int64)
        count = join_upkeep.sweep(hot, final_ms, self._limits_ms, model, effective_ms)
        unmatched = [(model[:count], effective_ms[:count])]
        if self._cold_rows is not None:
            self._cold_rows.sweep(final_ms)
            for number, rows in self._cold_rows.waiting_due(final_ms):
                self._make_room(self._hot, rows)
                unmatched.append(self._cold_rows.recall(self._hot.arrays, number, final_ms))
        self._left = [part for part in self._left if self.expiry_ms(part) >= final_ms]
        models, times_ms = zip(*unmatched, strict=True)
        return Unmatched(np.concatenate(models), np.concatenate(times_ms))

    def take_changed(self, most: int) -> Iterator[StoreRows]:
        """The rows changed since the last call, to be written to the changelog; all of them must be taken.

        Args:
            most: rows of a part.

        Yields:
            Parts that hold until the next one is asked for: one small buffer, in the processor's cache, serves for all.
        """
        left, self._left = self._left, []
        for part in left:
            yield from part.split(most)
        hot = self._hot.arrays
        count = int(hot.touched[0])
        hot.touched[1 : 1 + count].sort()  # rows lie in the order of their arrival: memory is read in order
        rows, stated = np.zeros(min(most, count), join_rows.ROW), np.zeros(min(most, count), join_rows.STATED)
        for start in range(0, count, most):
            taken, labels = join_upkeep.take_touched(hot, start, min(start + most, count), rows, stated)
            if taken:
                yield StoreRows(rows[:taken], stated[:labels])
        hot.touched[0] = 0

    def expiry_ms(self, part: StoreRows) -> int:
        """When all of some rows can be forgotten: once the joint watermark is past that moment.

        Args:
            part: rows, as ``take_changed`` gave them.
        """
        return int(join_upkeep.latest_expiry(part.rows, part.stated, self._limits_ms))

    def restore(self, parts: Iterable[StoreRows]) -> None:
        """Take changelog rows in; the store is as it was before its last ``take_changed`` once it has all of them.

        Args:
            parts: what ``take_changed`` gave, in log order: a later row replaces an earlier one of the same identity.
                They may come in several calls.

        Raises:
            StoreFullError: the limit of rows is reached.
        """
        for part in parts:
            start, key = 0, np.stack((part.rows["key0"], part.rows["key1"]), axis=1)
            while start < len(part):
                stop, hot = self._prepare(key, start)
                start = join_upkeep.adopt(hot, part.rows, part.stated, start, stop)
        self._check_count()

    @property
    def _hot(self) -> HotRows:
        if self._hot_rows is None:
            share = self._memory.share_bytes
            if self._blocks is not None:
                self._cold_rows = ColdTier(self._blocks, share // COLD_SHARE, self._limits_ms)
                share -= share // COLD_SHARE
            self._hot_rows = HotRows(share, self._limits.max_rows)
        return self._hot_rows

    def _prepare(self, key: UInt64s, start: int, spare: int = _SPARE) -> tuple[int, Hot]:
        """Make room for some of the keys of a batch, and bring all their rows to memory.

        Args:
            key: uint64[n, 2].
            start: the first key.
            spare: more room than for each of them, and for a row that it may add.

        Returns:
            The end of the keys that may be worked on, and the rows in memory.

        Raises:
            StoreFullError: there is no room.
        """
        hot, count = self._hot, min(len(key) - start, _SLICE)
        while True:
            self._make_room(hot, 2 * count + spare)
            if self._cold_rows is None:
                return start + count, hot.arrays
            which, segment = self._cold_rows.find(key, start, start + count)
            is_all = self._cold_rows.take_back(hot.arrays, key, which, segment, self._final_ms)
            if is_all and hot.free_rows >= count + spare:
                hot.grow_table(count + spare)
                return start + count, hot.arrays
            # What did come stays, unless it has to make room for the rest.
            count, spare = max(1, count // 2), spare if count > 1 else 2 * spare

    def _make_room(self, hot: HotRows, rows: int) -> None:
        if self._cold_rows is not None:
            for waiting in (False, True):
                if hot.spare_rows < rows:
                    count = max(hot.budget_rows // _DEMOTED_SHARE, min(hot.budget_rows // 4, _DEMOTED_ROWS))
                    self._demote(hot, self._cold_rows, max(rows - hot.spare_rows, count), waiting=waiting)
        if hot.spare_rows < rows - SLACK_ROWS:
            raise StoreFullError(
                f"{len(hot):,} rows fill the memory: raise joiner.memory_mb; the state in Kafka is intact"
            )
        hot.grow_table(rows)

    def _demote(self, hot: HotRows, cold: ColdTier, count: int, *, waiting: bool) -> None:
        """Move the oldest rows to disk."""
        chosen = hot.choose_oldest(count, waiting=waiting)
        if not len(chosen):
            return
        dirty, labels = np.zeros(len(chosen), join_rows.ROW), np.zeros(len(chosen), join_rows.STATED)
        taken, labelled = take_dirty(hot.arrays, chosen, dirty, labels)
        if taken:
            self._left.append(StoreRows(dirty[:taken].copy(), labels[:labelled].copy()))
        cold.put_away(hot.arrays, chosen, waiting=waiting)

    def _check_count(self) -> None:
        if len(self) > self._limits.max_rows:
            raise StoreFullError(
                f"{len(self):,} open rows are beyond the limit: raise joiner.max_open_rows, or shorten"
                " windows.label_horizon; the state in Kafka is intact"
            )


def _joined(parts: Sequence[NDArray[np.void]]) -> Joined:
    changes = np.concatenate(parts) if parts else np.zeros(0, join_rows.CHANGE)
    return Joined(**{field.name: changes[field.name].copy() for field in fields(Joined)})
