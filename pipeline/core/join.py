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

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import DriftlineError
from pipeline.core.events import Int32s, Int64s, UInt8s, UInt64s
from pipeline.core.kernels import join as kernels
from pipeline.core.kernels import join_rows
from pipeline.core.store_rows import StoreRows

HOT_ROW_BYTES = join_rows.ROW.itemsize + 3 * np.dtype(np.int32).itemsize
"""Of a row in memory: itself, its place in the list of changes, and its two slots of the table."""

STATED_BYTES = join_rows.STATED.itemsize
"""Of a row's label in memory."""

_FIRST_SLOTS = 1 << 13
_FEWEST_ROWS = 1 << 10  # of the arrays: one key may have so many, whatever the memory
_SPARE_CHANGES = 256  # room for labels that join several predictions


class StoreFullError(DriftlineError):
    """The store holds as many rows as its limit allows."""


@dataclass(frozen=True, slots=True)
class JoinLimits:
    """How long rows wait for each other, and how many there may be.

    Attributes:
        horizon_ms: how long after its prediction a label may come.
        early_ms: how long a label waits for its prediction.
        max_rows: rows at most; beyond it the store raises ``StoreFullError``.
        memory_bytes: the memory that rows may take.
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
    """The open predictions of one partition and the labels that wait for one."""

    def __init__(self, limits: JoinLimits) -> None:
        self._limits = limits
        self._limits_ms = np.array([limits.horizon_ms, limits.early_ms], np.int64)
        rows = min(limits.max_rows, max(limits.memory_bytes // HOT_ROW_BYTES, _FEWEST_ROWS))
        self._hot = join_rows.make_hot(rows, rows, _FIRST_SLOTS)

    def __len__(self) -> int:
        """Rows in use."""
        return int(self._hot.counts[join_rows.USED] - self._hot.counts[join_rows.FREE_ROWS])

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
        self._grow_table(count)
        duplicate = np.zeros(count, np.uint8)
        changes = np.zeros(count, join_rows.CHANGE)
        columns = (key, timestamp_ms, effective_ms, group, segment_set, value)
        done, changed = kernels.insert_predictions(self._hot, 0, count, *columns, self._limits_ms, duplicate, changes)
        if done < count:
            raise self._full()
        return duplicate.astype(bool), _joined(changes[:changed])

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
        start, parts, spare = 0, [], _SPARE_CHANGES
        lost = np.zeros(count, np.uint8)
        while start < count:
            # A label adds a change and a row for each prediction of its key, and a row for itself.
            self._grow_table(count - start + spare)
            changes = np.zeros(count - start + spare, join_rows.CHANGE)
            done, changed = kernels.insert_labels(
                self._hot, start, count, *columns, final_ms, self._limits_ms, changes, lost
            )
            if done == start:  # no room, or one key with a very long chain
                if spare > len(self):
                    raise self._full()
                spare *= 2
            start = done
            parts.append(changes[:changed])
        where = np.flatnonzero(lost)
        unmatched = Unmatched(model[where], effective_ms[where])
        return _joined(np.concatenate(parts) if parts else np.zeros(0, join_rows.CHANGE)), unmatched

    def sweep(self, final_ms: int) -> Unmatched:
        """Drop what no later event can join.

        Args:
            final_ms: the joint watermark: every later event has an effective time at or after it.

        Returns:
            The labels that never met a prediction; each is reported once.
        """
        labels = int(self._hot.counts[join_rows.USED_STATED])
        model, effective_ms = np.empty(labels, np.int32), np.empty(labels, np.int64)
        count = join_rows.sweep(self._hot, final_ms, self._limits_ms, model, effective_ms)
        return Unmatched(model[:count].copy(), effective_ms[:count].copy())

    def take_changed(self) -> StoreRows:
        """The rows changed since the last call, to be written to the changelog; a copy."""
        count = self._hot.touched[0]
        rows, stated = np.zeros(count, join_rows.ROW), np.zeros(count, join_rows.STATED)
        taken, labels = join_rows.take_touched(self._hot, rows, stated)
        return StoreRows(rows[:taken], stated[:labels])

    def expiry_ms(self, part: StoreRows) -> int:
        """When all of some rows can be forgotten: once the joint watermark is past that moment.

        Args:
            part: rows, as ``take_changed`` gave them.
        """
        return int(join_rows.latest_expiry(part.rows, part.stated, self._limits_ms))

    def restore(self, parts: Iterable[StoreRows]) -> None:
        """Take changelog rows in; the store is as it was before its last ``take_changed`` once it has all of them.

        Args:
            parts: what ``take_changed`` gave, in log order: a later row replaces an earlier one of the same identity.
                They may come in several calls.

        Raises:
            StoreFullError: the limit of rows is reached.
        """
        for part in parts:
            self._grow_table(len(part))
            if join_rows.adopt(self._hot, part.rows, part.stated, 0) < len(part):
                raise self._full()

    def _grow_table(self, more: int) -> None:
        """See to it that the table is at least twice as long as the rows, however many of some more are placed."""
        needed = 2 * min(len(self) + more, len(self._hot.rows))
        slots = len(self._hot.table)
        if needed <= slots:
            return
        while slots < needed:
            slots *= 2
        slots = min(slots, 2 * len(self._hot.rows))
        self._hot = self._hot._replace(table=join_rows.make_table(0))  # freed before the longer one is made
        self._hot = self._hot._replace(table=join_rows.make_table(slots))
        join_rows.relink_all(self._hot)

    def _full(self) -> StoreFullError:
        return StoreFullError(
            f"{len(self)} open rows reach the limit: raise joiner.max_open_rows, or shorten windows.label_horizon"
        )


def _joined(changes: NDArray[np.void]) -> Joined:
    return Joined(**{field.name: changes[field.name].copy() for field in fields(Joined)})
