"""Columnar JSON records to columns: the same cells as ``scan_events`` fills, an array at a time."""

from typing import Any

from pipeline.core.kernels.intern import FULL
from pipeline.core.kernels.jit import lean_kernel as kernel
from pipeline.core.kernels.json_numbers import BAD, read_number
from pipeline.core.kernels.json_texts import COMMA, NULL, after_comma, is_word, key_end, skip_blanks
from pipeline.core.kernels.scan_cells import (
    CHANCE,
    CODE,
    FEATURE,
    ID,
    NUMBERS,
    REAL,
    SEGMENT,
    TIME,
    TOKEN,
    read_cell,
)
from pipeline.core.kernels.scan_events import CLOSE_OBJECT, NO_COLUMN, OPEN_OBJECT, find_field, map_column, scan_map

_OPEN, _CLOSE = ord("["), ord("]")
_ROW_BYTES = 4  # a row has an id of its own: a character, its quotes and a comma


@kernel
def count_rows(buffer: Any, starts: Any, most: Any, rows: Any) -> None:
    """Read how many rows each record holds: ``n`` stands first in what publishers write.

    Args:
        buffer: uint8[b], the records, a zero byte behind each.
        starts: int64[n + 1], where each record begins.
        most: rows at most.
        rows: int64[n], out: 0 where the number does not stand first, is none, or is more than the record can hold:
            columns are made for so many rows before the rest is read.
    """
    for record in range(len(rows)):
        rows[record] = 0
        at = skip_blanks(buffer, starts[record])
        if buffer[at] != OPEN_OBJECT:
            continue
        start = skip_blanks(buffer, at + 1) + 1
        end, at = key_end(buffer, start - 1)
        if end != start + 1 or buffer[start] != ord("n"):
            continue
        end, _, whole, count = read_number(buffer, at)
        fits = 1 <= count <= most and count * _ROW_BYTES <= starts[record + 1] - starts[record]
        if end >= 0 and whole and fits and buffer[skip_blanks(buffer, end)] == COMMA:
            rows[record] = count


@kernel
def scan_columns(
    buffer: Any, starts: Any, places: Any, first: Any, fields: Any, cells: Any, texts: Any, good: Any
) -> Any:
    """Read columnar records into columns.

    Args:
        buffer: uint8[b], the records, a zero byte behind each.
        starts: int64[n + 1], where each record begins; the last is b.
        places: int64[n + 1], the first row of each record, as ``count_rows`` found; the last is the number of rows.
        first: the first record to read.
        fields: ``Fields``.
        cells: ``Cells`` of all rows; changed.
        texts: ``Texts``; changed.
        good: uint8[n], out: 1 where the record was plainly right.

    Returns:
        The first record that was not read because the columns must grow; n when all were read.
    """
    for record in range(first, len(good)):
        good[record] = 0
        row, count = places[record], places[record + 1] - places[record]
        if count == 0:
            continue
        end = _scan_record(buffer, starts[record], row, count, fields, cells, texts)
        if end == FULL:
            return record
        good[record] = end >= 0 and skip_blanks(buffer, end) == starts[record + 1] - 1
    return len(good)


@kernel
def _scan_record(buffer: Any, at: Any, row: Any, count: Any, fields: Any, cells: Any, texts: Any) -> Any:
    # ``count_rows`` has seen the opening brace, n and the comma.
    _, at = key_end(buffer, skip_blanks(buffer, skip_blanks(buffer, at) + 1))
    at, _, _, _ = read_number(buffer, at)
    at, closed = after_comma(buffer, at, CLOSE_OBJECT)
    seen = 0
    field = 0
    while not closed:
        start = at + 1
        end, at = key_end(buffer, at)
        if end < 0:
            return BAD
        field = find_field(buffer, start, end, field, fields)
        if field < 0 or seen >> field & 1:
            return BAD
        seen |= 1 << field
        if fields.most[field]:
            at = _scan_maps(field, buffer, at, row, count, fields, cells, texts)
        else:
            kind, column = fields.kinds[field], fields.columns[field]
            at = _scan_array(kind, column, fields.low[field], fields.high[field], buffer, at, row, count, cells, texts)
        field += 1
        if at < 0:
            return at
        at, closed = after_comma(buffer, at, CLOSE_OBJECT)
    return at if seen & fields.required[0] == fields.required[0] else BAD


@kernel
def _scan_array(
    kind: Any,
    column: Any,
    low: Any,
    high: Any,
    buffer: Any,
    at: Any,
    row: Any,
    count: Any,
    cells: Any,
    texts: Any,
) -> Any:
    """Read an array of one value a row, or one value for all rows."""
    if buffer[at] != _OPEN:
        if kind == ID or (kind == NUMBERS and not is_word(buffer, at, NULL)):
            return BAD
        start, at = at, read_cell(kind, column, low, high, buffer, at, row, cells, texts)
        if at >= 0 and kind == CHANCE:
            for place in range(row + 1, row + count):
                if read_cell(kind, column, low, high, buffer, start, place, cells, texts) == FULL:
                    return FULL
        elif at >= 0:
            _repeat(kind, column, row, count, cells)
        return at
    at = skip_blanks(buffer, at + 1)
    for place in range(row, row + count):
        at = read_cell(kind, column, low, high, buffer, at, place, cells, texts)
        if at < 0:
            return at
        at, closed = after_comma(buffer, at, _CLOSE)
        if closed:
            return at if place == row + count - 1 else BAD
    return BAD


@kernel
def _repeat(kind: Any, column: Any, row: Any, count: Any, cells: Any) -> None:
    for place in range(row + 1, row + count):
        if kind == CODE:
            cells.codes[column, place] = cells.codes[column, row]
        elif kind == TIME:
            cells.times[place] = cells.times[row]
        elif kind == REAL:
            cells.reals[column, place] = cells.reals[column, row]
        elif kind == FEATURE:
            cells.features[column, place] = cells.features[column, row]
        elif kind == SEGMENT:
            cells.segments[column, place] = cells.segments[column, row]
        elif kind == TOKEN:
            cells.kinds[place] = cells.kinds[row]
            cells.tokens[place] = cells.tokens[row]


@kernel
def _scan_maps(field: Any, buffer: Any, at: Any, row: Any, count: Any, fields: Any, cells: Any, texts: Any) -> Any:
    """Read an object of columns, or an array of an object a row."""
    if is_word(buffer, at, NULL):
        return at + len(NULL)
    if buffer[at] == _OPEN:
        return _scan_objects(field, buffer, at, row, count, fields, cells, texts)
    if buffer[at] != OPEN_OBJECT:
        return BAD
    at = skip_blanks(buffer, at + 1)
    if buffer[at] == CLOSE_OBJECT:
        return at + 1
    kind = fields.kinds[field]
    if kind == FEATURE:
        cells.carries[row : row + count] = 1
    column = NO_COLUMN
    for _ in range(fields.most[field]):
        start = at + 1
        end, at = key_end(buffer, at)
        if end < 0:
            return BAD
        column = map_column(kind, buffer, start, end, column + 1, cells, texts)
        if column < 0:
            return column
        at = _scan_array(kind, column, fields.low[field], fields.high[field], buffer, at, row, count, cells, texts)
        if at < 0:
            return at
        at, closed = after_comma(buffer, at, CLOSE_OBJECT)
        if closed:
            return at
    return BAD


@kernel
def _scan_objects(field: Any, buffer: Any, at: Any, row: Any, count: Any, fields: Any, cells: Any, texts: Any) -> Any:
    at = skip_blanks(buffer, at + 1)
    for place in range(row, row + count):
        at = scan_map(field, buffer, at, place, fields, cells, texts)
        if at < 0:
            return at
        at, closed = after_comma(buffer, at, _CLOSE)
        if closed:
            return at if place == row + count - 1 else BAD
    return BAD
