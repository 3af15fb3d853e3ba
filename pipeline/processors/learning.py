"""Rows whose model version has no reference yet: kept, learned from, and counted once there is one."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import orjson
from numpy.typing import NDArray

from pipeline.core.events import FeatureColumn, FeatureTable, Group, Int32s, Int64s, Predictions
from pipeline.core.reference import ReferenceProfile, build_profile, concatenate_columns

_PART_BYTES = 400_000
"""Parts are about this large at most, well under Kafka's usual limit of a megabyte."""


@dataclass(frozen=True, slots=True)
class WaitingRows:
    """Rows of one group that wait for its reference.

    Attributes:
        sequence: the number of this part; names its changelog entry.
        group: the group's code.
        timestamp_ms: int64[k].
        segment_set: int32[k].
        columns: the features, k values each.
    """

    sequence: int
    group: int
    timestamp_ms: Int64s
    segment_set: Int32s
    columns: Mapping[str, FeatureColumn]

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.timestamp_ms)

    def select(self, rows: Int64s) -> "WaitingRows":
        """Some of the rows.

        Args:
            rows: int64[k].
        """
        columns = {name: select_rows(column, rows) for name, column in self.columns.items()}
        return WaitingRows(self.sequence, self.group, self.timestamp_ms[rows], self.segment_set[rows], columns)

    def as_predictions(self, group: Group) -> Predictions:
        """The rows in the shape in which families fold them; only their features mean anything."""
        count = len(self)
        zeros64, zeros32, nothing = np.zeros(count, np.int64), np.zeros(count, np.int32), np.full(count, np.nan)
        table = FeatureTable(0, np.arange(count, dtype=np.int32), self.columns)
        return Predictions(
            offset=zeros64,
            row=zeros32,
            key=np.zeros((count, 2), np.uint64),
            timestamp_ms=self.timestamp_ms,
            group=zeros32,
            value=zeros64,
            score=nothing,
            latency_ms=nothing,
            segment_set=self.segment_set,
            groups=(group,),
            classes=(),
            segment_sets=(),
            features=(table,),
        )

    def encode(self) -> bytes:
        """The rows as a changelog value."""
        columns = {name: [column.numbers, column.codes, list(column.texts)] for name, column in self.columns.items()}
        fields = [self.group, self.timestamp_ms, self.segment_set, columns]
        return orjson.dumps(fields, option=orjson.OPT_SERIALIZE_NUMPY)


def decode_waiting(sequence: int, value: bytes) -> WaitingRows:
    """Read what ``WaitingRows.encode`` wrote.

    Args:
        sequence: the number in the changelog key.
        value: the changelog value.
    """
    group, timestamp_ms, segment_set, columns = orjson.loads(value)
    return WaitingRows(
        sequence,
        group,
        np.array(timestamp_ms, np.int64),
        np.array(segment_set, np.int32),
        {
            name: FeatureColumn(
                np.array([np.nan if number is None else number for number in numbers], np.float64),
                None if codes is None else np.array(codes, np.int32),
                texts,
            )
            for name, (numbers, codes, texts) in columns.items()
        },
    )


class Waiting:
    """The waiting rows of one partition, bounded by ``make_room``; the oldest make room for the newest."""

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        self._parts: dict[int, WaitingRows] = {}
        self._rows = 0
        self._next = 0
        self._unwritten: list[int] = []
        self._written: set[int] = set()
        self._dropped: list[int] = []

    def __len__(self) -> int:
        """The number of rows that wait."""
        return self._rows

    def add(self, group: int, timestamp_ms: Int64s, segment_set: Int32s, columns: Mapping[str, FeatureColumn]) -> None:
        """Keep rows.

        Args:
            group: the group's code.
            timestamp_ms: int64[k].
            segment_set: int32[k].
            columns: the features, k values each.
        """
        for part in _split(WaitingRows(0, group, timestamp_ms, segment_set, columns)):
            self._parts[self._next] = replace(part, sequence=self._next)
            self._unwritten.append(self._next)
            self._rows += len(part)
            self._next += 1

    def make_room(self, keep: Collection[int]) -> Iterator[WaitingRows]:
        """Remove the oldest rows beyond the limit: exactly so many, so that it does not matter how batches are cut.

        Args:
            keep: groups that are still learned from; their rows go only when there are no others.

        Yields:
            The rows that had to make room: they will not be counted in bins.
        """
        excess = self._rows - self._max_rows
        if excess <= 0:
            return
        others = [part.sequence for part in self._parts.values() if part.group not in keep]
        for sequence in [*others, *(sequence for sequence in self._parts if self._parts[sequence].group in keep)]:
            part = self._parts[sequence]
            if excess < len(part):
                if excess:
                    self._parts[sequence] = part.select(np.arange(excess, len(part)))
                    self._unwritten.append(sequence)
                    self._rows -= excess
                    yield part.select(np.arange(excess))
                return
            excess -= len(part)
            yield self._drop(sequence)

    def groups(self) -> set[int]:
        """The codes of the groups that wait."""
        return {part.group for part in self._parts.values()}

    def take(self, group: int) -> Iterator[WaitingRows]:
        """Remove and yield a group's rows, in log order.

        Args:
            group: the group's code.
        """
        for sequence in [part.sequence for part in self._parts.values() if part.group == group]:
            yield self._drop(sequence)

    def forget(self, is_open: Callable[[Int64s], NDArray[np.bool_]], keep: Collection[int]) -> None:
        """Remove parts whose windows are all final.

        Args:
            is_open: which of some times still belong to a window that is not final.
            keep: groups that are still learned from, whatever the age of their rows.
        """
        for part in list(self._parts.values()):
            if part.group not in keep and not is_open(part.timestamp_ms).any():
                self._drop(part.sequence)

    def learn(self, group: int, names: Group, rows: int, bins: int, max_categories: int) -> ReferenceProfile | None:
        """The profile of a group's first rows.

        Args:
            group: the group's code.
            names: its model and version.
            rows: how many rows make a profile.
            bins: the most bins a feature.
            max_categories: the most texts a feature.

        Returns:
            The profile; None while there are too few rows.
        """
        parts: list[WaitingRows] = []
        for part in self._parts.values():
            if part.group == group:
                parts.append(part)
                if sum(map(len, parts)) >= rows:
                    break
        else:
            return None
        columns = {
            name: select_rows(column, np.arange(rows))
            for name, column in concatenate_columns([(len(part), part.columns) for part in parts]).items()
        }
        return build_profile(
            # A feature that no row of these has is one of a row that merely came with them.
            {name: column for name, column in columns.items() if not _is_missing(column)},
            model=names.model,
            model_version=names.model_version,
            rows=rows,
            bins=bins,
            max_categories=max_categories,
        )

    def changelog(self) -> Iterator[tuple[bytes, bytes | None]]:
        """The entries for what was added and removed since the last call."""
        for sequence in self._dropped:
            if sequence in self._written:
                self._written.discard(sequence)
                yield waiting_key(sequence), None
        for sequence in dict.fromkeys(self._unwritten):
            if sequence in self._parts:
                self._written.add(sequence)
                yield waiting_key(sequence), self._parts[sequence].encode()
        self._dropped, self._unwritten = [], []

    def restore(self, parts: Mapping[int, WaitingRows]) -> None:
        """Put back what the changelog holds.

        Args:
            parts: the surviving parts by sequence.
        """
        self._parts = dict(sorted(parts.items()))
        self._written = set(parts)
        self._rows = sum(len(part) for part in parts.values())
        self._next = max(parts, default=-1) + 1

    def _drop(self, sequence: int) -> WaitingRows:
        part = self._parts.pop(sequence)
        self._rows -= len(part)
        self._dropped.append(sequence)
        return part


def waiting_key(sequence: int) -> bytes:
    """The changelog key of a part."""
    return b"waiting/%d" % sequence


def select_rows(column: FeatureColumn, rows: Int64s) -> FeatureColumn:
    """Some rows of a feature.

    Args:
        column: its values.
        rows: int64[k], the rows to take.
    """
    if column.codes is None:
        return FeatureColumn(column.numbers[rows])
    # Only the texts that these rows have: a part must not carry those of a whole batch.
    used, codes = np.unique(column.codes[rows], return_inverse=True)
    first = int(len(used) > 0 and used[0] < 0)  # -1, no text, sorts first
    texts = [column.texts[code] for code in used[first:].tolist()]
    return FeatureColumn(column.numbers[rows], (codes - first).astype(np.int32), texts)


def _is_missing(column: FeatureColumn) -> bool:
    return bool(np.isnan(column.numbers).all()) and (column.codes is None or not (column.codes >= 0).any())


def _split(part: WaitingRows) -> Iterator[WaitingRows]:
    """Parts that fit into a changelog record."""
    if len(part) > 1 and len(part.encode()) > _PART_BYTES:
        half = len(part) // 2
        yield from _split(part.select(np.arange(half)))
        yield from _split(part.select(np.arange(half, len(part))))
    else:
        yield part
