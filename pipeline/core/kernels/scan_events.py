"""Single JSON events to columns: one pass over their bytes, no Python object a row.

A record that is not plainly right is marked doubtful and costs nothing but this pass: escapes in strings, numbers of
more than 19 digits, a key that comes twice, nested values where none belong, and everything that is wrong.
"""

from typing import Any, NamedTuple

from pipeline.core.events import Float64s, Int64s, UInt8s
from pipeline.core.kernels.intern import FULL, intern
from pipeline.core.kernels.jit import inline_kernel as kernel
from pipeline.core.kernels.json_numbers import BAD, read_number
from pipeline.core.kernels.json_texts import (
    FALSE,
    NULL,
    QUOTE,
    TRUE,
    after_comma,
    has_length,
    is_word,
    key_end,
    same_bytes,
    skip_blanks,
    string_end,
)
from pipeline.core.kernels.scan_cells import (
    FEATURE,
    MAX_SEGMENT_NAMES,
    SEGMENT,
    SPACE_FEATURES,
    SPACE_SCORES,
    SPACE_SEGMENTS,
    read_cell,
)

OPEN_OBJECT, CLOSE_OBJECT = ord("{"), ord("}")
NO_COLUMN = -1
_EQUALS = ord("=")
_NAME_CHARS = 128  # codec.limits; a test holds them together


class Fields(NamedTuple):
    """What an event's fields are.

    Attributes:
        names: uint8[f, 16], padded with zeros.
        sizes: int64[f], the names' lengths.
        kinds: int64[f], ``ID`` to ``SEGMENT``.
        columns: int64[f], which of that kind's columns.
        low, high: float64[f], the limits of a value: characters, or a number.
        most: int64[f], of a map the most names a row may have; 0 where the field is no map.
        required: int64[1], a bit for each field that must be there.
    """

    names: UInt8s
    sizes: Int64s
    kinds: Int64s
    columns: Int64s
    low: Float64s
    high: Float64s
    most: Int64s
    required: Int64s


@kernel
def scan_events(buffer: Any, starts: Any, first: Any, fields: Any, cells: Any, texts: Any, good: Any) -> Any:
    """Read events into columns, one row a record.

    Args:
        buffer: uint8[b], the records, a zero byte behind each.
        starts: int64[n + 1], where each record begins; the last is b.
        first: the first record to read.
        fields: ``Fields``.
        cells: ``Cells`` of n rows; changed.
        texts: ``Texts``; changed.
        good: uint8[n], out: 1 where the record was plainly right.

    Returns:
        The first record that was not read because the columns must grow; n when all were read.
    """
    for record in range(first, len(good)):
        end = _scan_event(buffer, starts[record], record, fields, cells, texts)
        if end == FULL:
            return record
        good[record] = end >= 0 and skip_blanks(buffer, end) == starts[record + 1] - 1
    return len(good)


@kernel
def _scan_event(buffer: Any, at: Any, row: Any, fields: Any, cells: Any, texts: Any) -> Any:
    at = skip_blanks(buffer, at)
    if buffer[at] != OPEN_OBJECT:
        return BAD
    at = skip_blanks(buffer, at + 1)
    seen = 0
    field = 0
    closed = False
    while not closed:
        start = at + 1
        end, at = key_end(buffer, at)
        if end < 0:
            return BAD
        field = find_field(buffer, start, end, field, fields)
        if field < 0:
            at = _pass_scalar(buffer, at)
            field = 0
        elif seen >> field & 1:
            return BAD
        else:
            seen |= 1 << field
            if fields.most[field]:
                at = scan_map(field, buffer, at, row, fields, cells, texts)
            else:
                at = read_cell(
                    fields.kinds[field],
                    fields.columns[field],
                    fields.low[field],
                    fields.high[field],
                    buffer,
                    at,
                    row,
                    cells,
                    texts,
                )
            field += 1
        if at < 0:
            return at
        at, closed = after_comma(buffer, at, CLOSE_OBJECT)
    return at if seen & fields.required[0] == fields.required[0] else BAD


@kernel
def find_field(buffer: Any, start: Any, end: Any, expected: Any, fields: Any) -> Any:
    """Which field a key names, -1 for none; events mostly have their keys in the same order."""
    count = len(fields.sizes)
    for step in range(count):
        field = expected + step
        if field >= count:
            field -= count
        if same_bytes(buffer, start, end, fields.names[field], 0, fields.sizes[field]):
            return field
    return NO_COLUMN


@kernel
def _pass_scalar(buffer: Any, at: Any) -> Any:
    """Go over a value that nobody asked for; what lies deeper is not plain."""
    if buffer[at] == QUOTE:
        end = string_end(buffer, at + 1)
        return end + 1 if end >= 0 else BAD
    if is_word(buffer, at, NULL):
        return at + len(NULL)
    if is_word(buffer, at, TRUE):
        return at + len(TRUE)
    if is_word(buffer, at, FALSE):
        return at + len(FALSE)
    end, _, _, _ = read_number(buffer, at)
    return end


@kernel
def scan_map(field: Any, buffer: Any, at: Any, row: Any, fields: Any, cells: Any, texts: Any) -> Any:
    """Read an object of one row's values, or null; gives what ``read_cell`` gives."""
    if is_word(buffer, at, NULL):
        return at + len(NULL)
    if buffer[at] != OPEN_OBJECT:
        return BAD
    at = skip_blanks(buffer, at + 1)
    if buffer[at] == CLOSE_OBJECT:
        return at + 1
    kind = fields.kinds[field]
    if kind == FEATURE:
        cells.carries[row] = 1
    column = NO_COLUMN
    for _ in range(fields.most[field]):
        start = at + 1
        end, at = key_end(buffer, at)
        if end < 0:
            return BAD
        column = map_column(kind, buffer, start, end, column + 1, cells, texts)
        if column < 0:
            return column
        at = read_cell(kind, column, fields.low[field], fields.high[field], buffer, at, row, cells, texts)
        if at < 0:
            return at
        at, closed = after_comma(buffer, at, CLOSE_OBJECT)
        if closed:
            return at
    return BAD


@kernel
def map_column(kind: Any, buffer: Any, start: Any, end: Any, expected: Any, cells: Any, texts: Any) -> Any:
    """The column of a name in a map: rows mostly have the same names in the same order.

    Args:
        kind: what the map's values are.
        buffer: uint8[b].
        start, end: the name's bytes.
        expected: the column that would come next.
        cells: ``Cells``; a new feature's name is noted.
        texts: ``Texts``; changed.

    Returns:
        The column, of a score its name's number; ``BAD`` or ``FULL``.
    """
    if kind == FEATURE and expected < texts.counts[SPACE_FEATURES]:
        names = cells.feature_names
        if same_bytes(buffer, start, end, buffer, names[expected, 0], names[expected, 1]):
            return expected
    if not has_length(buffer, start, end, 1, _NAME_CHARS):
        return BAD
    if kind == FEATURE:
        column = intern(buffer, start, end, SPACE_FEATURES, texts)
        if column >= len(cells.features):
            return FULL
        if column >= 0:
            cells.feature_names[column, 0] = start
            cells.feature_names[column, 1] = end
        return column
    if kind == SEGMENT:
        for at in range(start, end):
            if buffer[at] == _EQUALS:
                return BAD
        column = intern(buffer, start, end, SPACE_SEGMENTS, texts)
        return column if column < MAX_SEGMENT_NAMES else BAD
    column = intern(buffer, start, end, SPACE_SCORES, texts)
    return column if column < len(cells.score_seen) else FULL
