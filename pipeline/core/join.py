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

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import DriftlineError
from pipeline.core.events import Int32s, Int64s, UInt8s, UInt64s
from pipeline.core.kernels import join as kernels
from pipeline.core.kernels import join_rows

_FIRST_ROWS = 1 << 12
_SPARE_CHANGES = 256  # room for labels that join several predictions
_COMPACT_SHARE = 2  # rebuild when half of the rows are free: each rebuild then moves a row for every one it wins


class StoreFullError(DriftlineError):
    """The store holds as many rows as its limit allows."""


@dataclass(frozen=True, slots=True)
class JoinLimits:
    """How long rows wait for each other, and how many there may be.

    Attributes:
        horizon_ms: how long after its prediction a label may come.
        early_ms: how long a label waits for its prediction.
        max_rows: rows at most; beyond it the store raises ``StoreFullError``.
    """

    horizon_ms: int
    early_ms: int
    max_rows: int = 20_000_000


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


def store_bytes(rows: int) -> int:
    """The memory of a store that has grown to hold some rows.

    Args:
        rows: rows in use.
    """
    capacity = _FIRST_ROWS
    while capacity < rows:
        capacity *= 2
    return capacity * (join_rows.ROW.itemsize + np.dtype(np.int32).itemsize) + _slots(capacity) * 4


class JoinStore:
    """The open predictions of one partition and the labels that wait for one."""

    def __init__(self, limits: JoinLimits) -> None:
        self._limits = limits
        self._limits_ms = np.array([limits.horizon_ms, limits.early_ms], np.int64)
        self._rows = np.zeros(_FIRST_ROWS, join_rows.ROW)
        self._table = np.full(2 * _FIRST_ROWS, join_rows.EMPTY, np.int32)
        self._touched = np.zeros(1 + _FIRST_ROWS, np.int32)
        self._used = 0
        self._free = 0  # among those in use, as of the last sweep; the few used again since then count as free

    def __len__(self) -> int:
        """Rows in use, those not yet reclaimed counted."""
        return self._used

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
        self._reserve(count)
        duplicate = np.zeros(count, np.uint8)
        changes = np.zeros(count, join_rows.CHANGE)
        self._used, changed = kernels.insert_predictions(
            self._table,
            self._rows,
            self._used,
            key,
            timestamp_ms,
            effective_ms,
            group,
            segment_set,
            value,
            self._limits_ms,
            duplicate,
            changes,
            self._touched,
        )
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
        start, parts, spare = 0, [], _SPARE_CHANGES
        lost = np.zeros(len(timestamp_ms), np.uint8)
        while start < len(timestamp_ms):
            # A label adds a change and a row for each prediction of its key, and a row for itself.
            self._reserve(len(timestamp_ms) - start + spare)
            changes = np.zeros(len(timestamp_ms) - start + spare, join_rows.CHANGE)
            before = start
            start, self._used, changed = kernels.insert_labels(
                self._table,
                self._rows,
                self._used,
                start,
                key,
                timestamp_ms,
                effective_ms,
                model,
                kind,
                value,
                sequence,
                final_ms,
                self._limits_ms,
                changes,
                lost,
                self._touched,
            )
            if start == before:  # one key with a very long chain
                spare *= 2
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
        rows = np.empty(self._used, np.int32)
        self._free, count = join_rows.sweep(self._rows, self._used, final_ms, self._limits_ms, rows, self._touched)
        lost = self._rows[rows[:count]]
        unmatched = Unmatched(lost["group"].copy(), lost["label_effective_ms"].copy())
        if self._free * _COMPACT_SHARE > max(self._used, _FIRST_ROWS):
            self._rebuild([self._rows[: self._used]], len(self._rows))
        return unmatched

    def take_changed(self) -> NDArray[np.void]:
        """The rows changed since the last call, to be written to the changelog.

        Returns:
            ROW[n], a copy.
        """
        count = self._touched[0]
        self._touched[1 : 1 + count].sort()
        rows = np.zeros(count, join_rows.ROW)  # not empty: what lies between the fields goes to the changelog too
        join_rows.take_touched(self._rows, self._touched, rows)
        return rows

    def expiry_ms(self, rows: NDArray[np.void]) -> int:
        """When all of some rows can be forgotten: once the joint watermark is past that moment.

        Args:
            rows: ROW[n], as ``take_changed`` gave them.
        """
        return int(join_rows.latest_expiry(rows, self._limits_ms))

    def restore(self, parts: Sequence[NDArray[np.void]]) -> None:
        """Fill the empty store from changelog rows.

        Args:
            parts: ROW[n] each, all that ``take_changed`` gave, in log order; a later row replaces an earlier one of the
                same identity.
        """
        self._rebuild(parts, sum(map(len, parts)))

    def _reserve(self, more: int) -> None:
        if self._used + more <= len(self._rows):
            return
        live = self._used - self._free
        if live >= self._limits.max_rows:
            raise StoreFullError(
                f"{live} open rows reach the limit: raise joiner.max_open_rows, or shorten windows.label_horizon"
            )
        # Half of the room is enough when the free rows are gone; else the room doubles.
        if 2 * (live + more) <= len(self._rows):
            self._rebuild([self._rows[: self._used]], len(self._rows))
        if self._used + more > len(self._rows):
            self._rebuild([self._rows[: self._used]], max(self._used + more, 2 * len(self._rows)))

    def _rebuild(self, parts: Sequence[NDArray[np.void]], capacity: int) -> None:
        rows = np.zeros(max(capacity, _FIRST_ROWS), join_rows.ROW)
        table = np.full(_slots(len(rows)), join_rows.EMPTY, np.int32)
        touched = np.zeros(1 + len(rows), np.int32)
        self._used = 0
        for part in parts:
            self._used = join_rows.relink(table, rows, self._used, part)
        join_rows.find_touched(rows, self._used, touched)
        self._rows, self._table, self._touched = rows, table, touched
        self._free = 0


def _slots(rows: int) -> int:
    """Twice as many slots as rows keep probe sequences short; a power of two makes the modulus a mask."""
    return 1 << (2 * rows - 1).bit_length()


def _joined(changes: NDArray[np.void]) -> Joined:
    return Joined(**{field.name: changes[field.name].copy() for field in fields(Joined)})
