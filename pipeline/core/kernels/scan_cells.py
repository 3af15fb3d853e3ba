"""One JSON value into its cell: a field's value in one row of the columns that a scan fills.

Every function takes the place of the value's first byte and returns the place behind the value, ``BAD`` where it is
not plainly what the field asks for, or ``FULL`` where the columns must grow first.
"""

from typing import Any, NamedTuple

import numpy as np

from pipeline.core.events import Int32s, Int64s, UInt8s, UInt64s
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
    skip_blanks,
    string_end,
)

ID, CODE, TIME, REAL, TOKEN, NOTE, CHANCE, NUMBERS, FEATURE, SEGMENT = range(10)
"""What a field's value is; of a map of them, what each value in it is."""

INTEGER, FLOAT, TEXT, BOOLEAN = range(4)
"""How a ``TOKEN`` was written."""

SPACE_TOKEN, SPACE_FEATURES, SPACE_SEGMENTS, SPACE_SCORES, FIRST_CODE_SPACE = 0, 1, 2, 3, 4
"""Spaces of the texts: of tokens, of the names of features, segments and scores, then one a ``CODE`` column."""

MAX_CODES, MAX_SEGMENT_NAMES = 4, 16
FIRST_SEGMENT_SPACE = FIRST_CODE_SPACE + MAX_CODES
FIRST_FEATURE_SPACE = FIRST_SEGMENT_SPACE + MAX_SEGMENT_NAMES
"""Then one a segment name and one a feature, for their values."""

MISSING = np.uint64(0x7FF8000000000000)
"""A feature's cell that holds null: the bits of NaN."""

ABSENT = np.uint64(0x7FF8000000000001)
"""A feature's cell whose row does not name the feature. No JSON number has such bits, they are a NaN's."""

WORD = np.uint64(0x7FFC000000000000)
"""A feature's cell that holds a text: these bits, a NaN's, plus the text's number."""

NO_CODE = -1
"""A segment's cell whose row does not name it, or names it with null."""

_ONE, _ZERO = np.float64(1).view(np.uint64), np.uint64(0)
_OPEN, _CLOSE = ord("["), ord("]")
_MOST = 2.0**63
_FEATURE_CHARS, _TOKEN_CHARS, _SEGMENT_CHARS = 1_024, 128, 128  # codec.limits; a test holds them together
_MOST_NUMBERS = 4_096


class Cells(NamedTuple):
    """The columns that a scan fills, n rows each.

    Attributes:
        ids: int64[n, 2], where each row's id begins and ends.
        codes: int32[MAX_CODES, n], texts by number.
        times: int64[n].
        reals: uint64[r, n], the bits of float64; NaN where absent or null.
        kinds: uint8[n], how the token was written.
        tokens: int64[n]: an integer or boolean as it is, a float's bits, a text's number.
        features: uint64[f, n], a float64's bits, or ``MISSING``, ``ABSENT`` or ``WORD`` plus a number.
        feature_names: int64[f, 2], where a feature's name begins and ends.
        worded: uint8[f], 1 where a feature has texts.
        segments: int32[MAX_SEGMENT_NAMES, n], values by number.
        carries: uint8[n], 1 where the row names a feature.
        score_rows: int64[s], the row of each score, in the order in which they were read.
        score_codes: int32[s], its name by number.
        score_bits: uint64[s], its float64's bits.
        score_count: int64[1], how many there are.
        score_seen: int64[t], the last row that had a score of each name, -1 for none.
    """

    ids: Int64s
    codes: Int32s
    times: Int64s
    reals: UInt64s
    kinds: UInt8s
    tokens: Int64s
    features: UInt64s
    feature_names: Int64s
    worded: UInt8s
    segments: Int32s
    carries: UInt8s
    score_rows: Int64s
    score_codes: Int32s
    score_bits: UInt64s
    score_count: Int64s
    score_seen: Int64s


@kernel
def read_cell(
    kind: Any, column: Any, low: Any, high: Any, buffer: Any, at: Any, row: Any, cells: Any, texts: Any
) -> Any:
    """Read one value of any kind.

    Args:
        kind: ``ID`` to ``SEGMENT``.
        column: which of that kind's columns.
        low, high: least and most: characters of a text, or a number.
        buffer: uint8[b].
        at: where the value begins.
        row: where it goes.
        cells: ``Cells``; changed.
        texts: ``Texts``; changed.
    """
    if kind == REAL:
        return _read_real(column, low, high, buffer, at, row, cells)
    if kind == FEATURE:
        return _read_feature(column, low, high, buffer, at, row, cells, texts)
    if kind == TIME:
        end, _, whole, value = read_number(buffer, at)
        if end < 0 or not whole or not low <= value <= high:
            return BAD
        cells.times[row] = value
        return end
    if kind in (ID, CODE):
        return _read_text(kind, column, low, high, buffer, at, row, cells, texts)
    if kind == TOKEN:
        return _read_token(buffer, at, row, cells, texts)
    if kind == SEGMENT:
        return _read_segment(column, buffer, at, row, cells, texts)
    if is_word(buffer, at, NULL):
        return at + len(NULL)
    if kind == NOTE:
        return _pass_text(low, high, buffer, at)
    if kind == CHANCE:
        return _read_score(column, low, high, buffer, at, row, cells)
    return _pass_numbers(low, high, buffer, at)


@kernel
def _read_real(column: Any, low: Any, high: Any, buffer: Any, at: Any, row: Any, cells: Any) -> Any:
    if is_word(buffer, at, NULL):
        cells.reals[column, row] = MISSING
        return at + len(NULL)
    end, bits, _, _ = read_number(buffer, at)
    if end < 0 or not low <= np.uint64(bits).view(np.float64) <= high:
        return BAD
    cells.reals[column, row] = bits
    return end


@kernel
def _read_text(
    kind: Any, column: Any, low: Any, high: Any, buffer: Any, at: Any, row: Any, cells: Any, texts: Any
) -> Any:
    if buffer[at] != QUOTE:
        return BAD
    start = at + 1
    end = string_end(buffer, start)
    if end < 0 or not has_length(buffer, start, end, low, high):
        return BAD
    if kind == ID:
        cells.ids[row, 0] = start
        cells.ids[row, 1] = end
        return end + 1
    code = intern(buffer, start, end, FIRST_CODE_SPACE + column, texts)
    if code < 0:
        return code
    cells.codes[column, row] = code
    return end + 1


@kernel
def _read_token(buffer: Any, at: Any, row: Any, cells: Any, texts: Any) -> Any:
    if buffer[at] == QUOTE:
        start = at + 1
        end = string_end(buffer, start)
        if end < 0 or not has_length(buffer, start, end, 1, _TOKEN_CHARS):
            return BAD
        code = intern(buffer, start, end, SPACE_TOKEN, texts)
        if code < 0:
            return code
        cells.kinds[row] = TEXT
        cells.tokens[row] = code
        return end + 1
    if is_word(buffer, at, TRUE):
        cells.kinds[row] = BOOLEAN
        cells.tokens[row] = 1
        return at + len(TRUE)
    if is_word(buffer, at, FALSE):
        cells.kinds[row] = BOOLEAN
        cells.tokens[row] = 0
        return at + len(FALSE)
    end, bits, whole, value = read_number(buffer, at)
    if end < 0 or not abs(np.uint64(bits).view(np.float64)) < _MOST:
        return BAD
    cells.kinds[row] = INTEGER if whole else FLOAT
    cells.tokens[row] = value if whole else np.uint64(bits).view(np.int64)
    return end


@kernel
def _read_feature(column: Any, low: Any, high: Any, buffer: Any, at: Any, row: Any, cells: Any, texts: Any) -> Any:
    if cells.features[column, row] != ABSENT:
        return BAD  # named twice: JSON readers take the last
    if buffer[at] == QUOTE:
        start = at + 1
        end = string_end(buffer, start)
        if end < 0 or not has_length(buffer, start, end, 0, _FEATURE_CHARS):
            return BAD
        code = intern(buffer, start, end, FIRST_FEATURE_SPACE + column, texts)
        if code < 0:
            return code
        cells.features[column, row] = WORD + np.uint64(code)
        cells.worded[column] = 1
        return end + 1
    if is_word(buffer, at, NULL):
        cells.features[column, row] = MISSING
        return at + len(NULL)
    if is_word(buffer, at, TRUE):
        cells.features[column, row] = _ONE
        return at + len(TRUE)
    if is_word(buffer, at, FALSE):
        cells.features[column, row] = _ZERO
        return at + len(FALSE)
    end, bits, _, _ = read_number(buffer, at)
    if end < 0 or not low <= np.uint64(bits).view(np.float64) <= high:
        return BAD
    cells.features[column, row] = bits
    return end


@kernel
def _read_score(column: Any, low: Any, high: Any, buffer: Any, at: Any, row: Any, cells: Any) -> Any:
    """Names are many and rows have few of them, so scores are listed instead of having columns."""
    end, bits, _, _ = read_number(buffer, at)
    if end < 0 or not low <= np.uint64(bits).view(np.float64) <= high or cells.score_seen[column] >= row:
        return BAD
    count = cells.score_count[0]
    if count == len(cells.score_rows):
        return FULL
    cells.score_rows[count] = row
    cells.score_codes[count] = column
    cells.score_bits[count] = bits
    cells.score_count[0] = count + 1
    cells.score_seen[column] = row
    return end


@kernel
def _read_segment(column: Any, buffer: Any, at: Any, row: Any, cells: Any, texts: Any) -> Any:
    """A segment's value is numbered as it was written, quotes and all: who reads the numbers reads it once a batch."""
    if cells.segments[column, row] != NO_CODE:
        return BAD
    if is_word(buffer, at, NULL):
        return at + len(NULL)
    if buffer[at] == QUOTE:
        end = string_end(buffer, at + 1)
        if end < 0 or not has_length(buffer, at + 1, end, 0, _SEGMENT_CHARS):
            return BAD
        end += 1
    elif is_word(buffer, at, TRUE):
        end = at + len(TRUE)
    elif is_word(buffer, at, FALSE):
        end = at + len(FALSE)
    else:
        end, _, whole, _ = read_number(buffer, at)
        if end < 0 or not whole:
            return BAD
    code = intern(buffer, at, end, FIRST_SEGMENT_SPACE + column, texts)
    if code < 0:
        return code
    cells.segments[column, row] = code
    return end


@kernel
def _pass_text(low: Any, high: Any, buffer: Any, at: Any) -> Any:
    if buffer[at] != QUOTE:
        return BAD
    end = string_end(buffer, at + 1)
    if end < 0 or not has_length(buffer, at + 1, end, low, high):
        return BAD
    return end + 1


@kernel
def _pass_number(low: Any, high: Any, buffer: Any, at: Any) -> Any:
    end, bits, _, _ = read_number(buffer, at)
    return end if end >= 0 and low <= np.uint64(bits).view(np.float64) <= high else BAD


@kernel
def _pass_numbers(low: Any, high: Any, buffer: Any, at: Any) -> Any:
    if buffer[at] != _OPEN:
        return BAD
    at = skip_blanks(buffer, at + 1)
    if buffer[at] == _CLOSE:
        return at + 1
    for _ in range(_MOST_NUMBERS):
        at = _pass_number(low, high, buffer, at)
        if at < 0:
            return BAD
        at, closed = after_comma(buffer, at, _CLOSE)
        if closed:
            return at
    return BAD
