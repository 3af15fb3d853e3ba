"""Plain records straight to columns: the fast path of single events and columnar records alike.

A scan reads the records of a run in one pass of kernels and marks those that are not plainly right; these go the strict
way of ``records``. What a scan accepts, the strict way accepts with the same result: a property test holds the two
together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from pipeline.core.events import Int32s, Int64s, UInt8s
from pipeline.core.kernels import scan_cells as cells_kernel
from pipeline.core.kernels.intern import NUMBER, SPACE, Texts, grown
from pipeline.core.kernels.scan_cells import Cells
from pipeline.core.kernels.scan_columns import count_rows, scan_columns
from pipeline.core.kernels.scan_events import Fields, scan_events

_NAME_BYTES = 16
_FIRST_FEATURES, _FIRST_TEXTS, _FIRST_SCORES = 16, 256, 64
_MAX_FEATURES, _MAX_TEXTS = 1_024, 1 << 18
_MAX_FEATURE_CELLS = 1 << 25  # 256 MB, for a batch of some 2 MB
_MAX_SCORES = 1 << 23


class Kind(IntEnum):
    """What a field's value is; of a map, what each value in it is."""

    ID = cells_kernel.ID
    CODE = cells_kernel.CODE
    TIME = cells_kernel.TIME
    REAL = cells_kernel.REAL
    TOKEN = cells_kernel.TOKEN
    NOTE = cells_kernel.NOTE
    CHANCE = cells_kernel.CHANCE
    NUMBERS = cells_kernel.NUMBERS
    FEATURE = cells_kernel.FEATURE
    SEGMENT = cells_kernel.SEGMENT


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an event.

    Attributes:
        name: its key.
        kind: what its value is.
        low, high: least and most: characters of a text, or a number.
        column: which of the kind's columns it fills.
        required: whether it must be there.
        most: of a map, the most names a row may have; 0 where the field is no map.
    """

    name: str
    kind: Kind
    low: float = 0
    high: float = 0
    column: int = 0
    required: bool = False
    most: int = 0


def make_fields(fields: Sequence[Field]) -> Fields:
    """What the kernels know of an event.

    Args:
        fields: its fields, in the order in which publishers write them.
    """
    names = np.zeros((len(fields), _NAME_BYTES), np.uint8)
    for place, field in enumerate(fields):
        names[place, : len(field.name)] = np.frombuffer(field.name.encode(), np.uint8)
    return Fields(
        names=names,
        sizes=np.array([len(field.name) for field in fields], np.int64),
        kinds=np.array([field.kind for field in fields], np.int64),
        columns=np.array([field.column for field in fields], np.int64),
        low=np.array([field.low for field in fields], np.float64),
        high=np.array([field.high for field in fields], np.float64),
        most=np.array([field.most for field in fields], np.int64),
        required=np.array([sum(field.required << place for place, field in enumerate(fields))], np.int64),
    )


@dataclass(frozen=True, slots=True)
class Scan:
    """What one pass over n records found.

    Attributes:
        buffer: the records' bytes.
        places: int64[n + 1], the first row of each record; the last is the number of rows.
        good: bool[n], which records were plainly right; the rows of the others mean nothing.
        cells: the columns.
        texts: texts by number.
    """

    buffer: bytes
    places: Int64s
    good: NDArray[np.bool_]
    cells: Cells
    texts: Texts

    def named(self, space: int) -> list[str]:
        """The texts of a space, in the order of their numbers."""
        entries = self.texts.entries[: self.texts.used[0]]
        chosen = entries[entries[:, SPACE] == space]
        return [self.buffer[start:end].decode() for _, start, end, _ in chosen[np.argsort(chosen[:, NUMBER])].tolist()]

    def without(self, bad_rows: NDArray[np.bool_]) -> "Scan":
        """The same, but records that hold a bad row are no longer good.

        Args:
            bad_rows: bool[rows].
        """
        if not bad_rows.any():
            return self
        good = self.good.copy()
        good[np.searchsorted(self.places, np.flatnonzero(bad_rows), side="right") - 1] = False
        return Scan(self.buffer, self.places, good, self.cells, self.texts)

    def rows(self, first: int, last: int, offsets: Sequence[int]) -> tuple[slice, Int64s, Int32s]:
        """The rows of records ``first`` to ``last - 1``.

        Args:
            first: the first record.
            last: the one behind the last.
            offsets: the records' offsets.

        Returns:
            Where the rows lie in the columns, the offset of each row's record, and its place there.
        """
        where = slice(int(self.places[first]), int(self.places[last]))
        counts = np.diff(self.places[first : last + 1])
        begins = np.repeat(self.places[first:last], counts)
        row = np.arange(where.start, where.stop, dtype=np.int64) - begins
        return where, np.repeat(np.array(offsets, np.int64), counts), row.astype(np.int32)


def scan_records(fields: Fields, reals: int, values: Sequence[bytes], *, columnar: bool, most_rows: int) -> Scan:
    """Read records in one pass.

    Args:
        fields: of the event.
        reals: how many columns of optional numbers it has.
        values: the records, none of them null.
        columnar: whether each holds many rows.
        most_rows: of a columnar record.

    Returns:
        The columns of all rows.
    """
    buffer = b"\0".join((*values, b""))
    data = np.frombuffer(buffer, np.uint8)
    starts = np.zeros(len(values) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, values), np.int64, len(values)) + 1, out=starts[1:])
    good = np.zeros(len(values), np.uint8)
    places = np.arange(len(values) + 1, dtype=np.int64)
    if not _is_utf8(buffer):
        return Scan(buffer, places, good.astype(bool), _make_cells(0, 0, reals), _make_texts(0, _FIRST_TEXTS))
    if columnar:
        count_rows(data, starts, most_rows, places[1:])
        np.cumsum(places, out=places)
    rows = int(places[-1])
    cells, texts = _make_cells(rows, _FIRST_FEATURES, reals), _make_texts(_FIRST_FEATURES, _FIRST_TEXTS)
    done = 0
    while True:
        if columnar:
            done = scan_columns(data, starts, places, done, fields, cells, texts, good)
        else:
            done = scan_events(data, starts, done, fields, cells, texts, good)
        if done == len(values):
            return Scan(buffer, places, good.astype(bool), _with_sorted_scores(cells), texts)
        larger = _grow(data, cells, texts, slice(int(places[done]), int(places[done + 1])))
        if larger is None:  # the rest is for the strict way
            return Scan(buffer, places, good.astype(bool), _with_sorted_scores(cells), texts)
        cells, texts = larger


def _is_utf8(buffer: bytes) -> bool:
    if buffer.isascii():
        return True
    try:
        buffer.decode()
    except UnicodeDecodeError:
        return False
    return True


def _make_cells(rows: int, features: int, reals: int) -> Cells:
    return Cells(
        ids=np.zeros((rows, 2), np.int64),
        codes=np.zeros((cells_kernel.MAX_CODES, rows), np.int32),
        times=np.zeros(rows, np.int64),
        reals=np.full((reals, rows), cells_kernel.MISSING, np.uint64),
        kinds=np.zeros(rows, np.uint8),
        tokens=np.zeros(rows, np.int64),
        features=np.full((features, rows), cells_kernel.ABSENT, np.uint64),
        feature_names=np.zeros((features, 2), np.int64),
        worded=np.zeros(features, np.uint8),
        segments=np.full((cells_kernel.MAX_SEGMENT_NAMES, rows), cells_kernel.NO_CODE, np.int32),
        carries=np.zeros(rows, np.uint8),
        score_rows=np.zeros(_FIRST_SCORES, np.int64),
        score_codes=np.zeros(_FIRST_SCORES, np.int32),
        score_bits=np.zeros(_FIRST_SCORES, np.uint64),
        score_count=np.zeros(1, np.int64),
        score_seen=np.full(_FIRST_SCORES, -1, np.int64),
    )


def _make_texts(features: int, room: int) -> Texts:
    spaces = cells_kernel.FIRST_FEATURE_SPACE + features
    return Texts(
        table=np.full(2 * room, -1, np.int64),
        entries=np.zeros((room, 4), np.int64),
        counts=np.zeros(spaces, np.int64),
        last=np.full(spaces, -1, np.int64),
        used=np.zeros(1, np.int64),
    )


def _grow(data: UInt8s, cells: Cells, texts: Texts, rows: slice) -> tuple[Cells, Texts] | None:
    """Double what is full, and clear the rows that were being read; None when there is too much of it."""
    features, room = len(cells.features), len(texts.entries)
    if texts.used[0] == room:
        room *= 2
    if texts.counts[cells_kernel.SPACE_FEATURES] > features:
        features *= 2
    cells = _with_room_for_scores(cells, texts, rows.start)
    wide = features > _MAX_FEATURES or features * len(cells.times) > _MAX_FEATURE_CELLS
    if wide or room > _MAX_TEXTS or len(cells.score_rows) > _MAX_SCORES:
        return None
    larger = _make_texts(features, room)
    grown(data, texts, larger)
    wider = _make_cells(0, features, 0)
    table = np.full((features, len(cells.times)), cells_kernel.ABSENT, np.uint64)
    table[: len(cells.features)] = cells.features
    table[:, rows] = cells_kernel.ABSENT
    wider.feature_names[: len(cells.feature_names)] = cells.feature_names
    wider.worded[: len(cells.worded)] = cells.worded
    cells.segments[:, rows] = cells_kernel.NO_CODE
    cells.carries[rows] = 0
    cells.reals[:, rows] = cells_kernel.MISSING
    return cells._replace(features=table, feature_names=wider.feature_names, worded=wider.worded), larger


def _with_room_for_scores(cells: Cells, texts: Texts, first_row: int) -> Cells:
    """Double what is full of the scores, and take out those of the rows that were being read."""
    count, room, names = int(cells.score_count[0]), len(cells.score_rows), len(cells.score_seen)
    seen = np.full(2 * names if texts.counts[cells_kernel.SPACE_SCORES] > names else names, -1, np.int64)
    seen[:names] = np.where(cells.score_seen < first_row, cells.score_seen, -1)
    more = 2 * room if count == room else room
    columns = {name: np.resize(getattr(cells, name), more) for name in ("score_rows", "score_codes", "score_bits")}
    cells.score_count[0] = np.searchsorted(np.maximum.accumulate(cells.score_rows[:count]), first_row)
    return cells._replace(**columns, score_seen=seen)


def _with_sorted_scores(cells: Cells) -> Cells:
    """The scores row by row, without the room for more."""
    count = int(cells.score_count[0])
    order = np.argsort(cells.score_rows[:count], kind="stable")
    return cells._replace(
        score_rows=cells.score_rows[order], score_codes=cells.score_codes[order], score_bits=cells.score_bits[order]
    )
