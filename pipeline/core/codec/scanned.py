"""From a scan's cells to what the columns of predictions and labels hold; only distinct texts become Python objects."""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.core.codec.columns import Codes
from pipeline.core.codec.rows import segment_text
from pipeline.core.codec.scan import Scan
from pipeline.core.distinct import distinct_codes
from pipeline.core.events import NO_MEMBERS, FeatureColumn, Int32s, Int64s, Members, Ragged, UInt8s, UInt64s
from pipeline.core.kernels.scan_cells import (
    ABSENT,
    FIRST_CODE_SPACE,
    FIRST_FEATURE_SPACE,
    FIRST_SEGMENT_SPACE,
    FLOAT,
    SPACE_FEATURES,
    SPACE_SCORES,
    SPACE_SEGMENTS,
    SPACE_TOKEN,
    TEXT,
    WORD,
)

_WORD_BITS = np.uint64(32)
_NUMBER_BITS = np.uint64((1 << 32) - 1)


def code_names(scan: Scan, column: int) -> list[str]:
    """The texts of a ``CODE`` column, in the order of their numbers.

    Args:
        scan: the scan.
        column: which of them.
    """
    return scan.named(FIRST_CODE_SPACE + column)


def mixed_values(scan: Scan, rows: slice, is_class: NDArray[np.bool_], classes: Codes[object, str]) -> Int64s:
    """What tokens stand for: class labels (texts, integers and booleans) or numbers.

    Args:
        scan: the scan.
        rows: n of its rows.
        is_class: bool[n], which are class labels.
        classes: gives their codes.

    Returns:
        int64[n], a class's code or the bits of a number's float64.
    """
    kinds, tokens = scan.cells.kinds[rows], scan.cells.tokens[rows]
    if is_class.all():
        return _class_values(scan, kinds, tokens, classes)
    values = np.where(kinds == FLOAT, tokens, tokens.astype(np.float64).view(np.int64))
    if is_class.any():
        values[is_class] = _class_values(scan, kinds[is_class], tokens[is_class], classes)
    return values


def _class_values(scan: Scan, kinds: UInt8s, tokens: Int64s, classes: Codes[object, str]) -> Int64s:
    is_text = kinds == TEXT
    values = np.empty(len(tokens), np.int64)
    for chosen, names in ((is_text, scan.named(SPACE_TOKEN)), (~is_text, None)):
        if not chosen.any():
            continue
        distinct, codes = distinct_codes(tokens[chosen])
        found: Sequence[object] = distinct.tolist() if names is None else [names[code] for code in distinct.tolist()]
        values[chosen] = classes.encode(found)[codes]
    return values


def segment_values(scan: Scan, rows: slice, sets: Codes[tuple[str | None, ...], tuple[str, ...]]) -> Int64s:
    """The codes of the rows' sets of segments.

    Args:
        scan: the scan.
        rows: n of its rows.
        sets: gives the codes.

    Returns:
        int64[n].
    """
    names = scan.named(SPACE_SEGMENTS)[: len(scan.cells.segments)]
    together = np.zeros(rows.stop - rows.start, np.int64)
    if not names:
        return together
    columns = scan.cells.segments[: len(names), rows]
    for column in columns:
        # Numbered densely after each name, so that the product of many cannot overflow.
        _, together = distinct_codes(together * (int(column.max()) + 2) + column + 1)
    texts = [
        [f"{name}={segment_text(msgspec.json.decode(value))}" for value in scan.named(FIRST_SEGMENT_SPACE + place)]
        for place, name in enumerate(names)
    ]
    example = np.empty(int(together.max()) + 1, np.int64)
    example[together] = np.arange(len(together))
    combinations = [
        tuple(texts[place][code] if code >= 0 else None for place, code in enumerate(one))
        for one in columns[:, example].T.tolist()
    ]
    return sets.encode(combinations)[together]


def feature_columns(scan: Scan, rows: slice | Int64s) -> Mapping[str, FeatureColumn]:
    """The features that some rows name.

    Args:
        scan: the scan.
        rows: k of its rows.

    Returns:
        Name to k values.
    """
    columns = {}
    cells = scan.cells
    for place, name in enumerate(scan.named(SPACE_FEATURES)):
        bits = cells.features[place, rows]
        if (bits == ABSENT).all():
            continue
        columns[name] = FeatureColumn(bits.view(np.float64), *_words(scan, place, bits))
    return columns


def class_scores(scan: Scan, rows: slice, chosen: NDArray[np.bool_], classes: Codes[object, str]) -> Members:
    """The scores of some rows.

    Args:
        scan: the scan.
        rows: n of its rows.
        chosen: bool[n], whose scores are wanted.
        classes: gives the codes of the names.

    Returns:
        The lists of those that have any, their rows counted from the first of the n.
    """
    cells = scan.cells
    low, high = np.searchsorted(cells.score_rows, (rows.start, rows.stop))
    at = np.flatnonzero(chosen[cells.score_rows[low:high] - rows.start]) + low
    if not len(at):
        return NO_MEMBERS
    row, starts = np.unique(cells.score_rows[at] - rows.start, return_index=True)
    used, place = distinct_codes(cells.score_codes[at].astype(np.int64))
    names = scan.named(SPACE_SCORES)
    codes = classes.encode([names[code] for code in used.tolist()])[place]
    return Members(row, Ragged(np.append(starts, len(at)), codes, cells.score_bits[at].view(np.float64)))


def _words(scan: Scan, place: int, bits: UInt64s) -> tuple[Int32s | None, list[str]]:
    if not scan.cells.worded[place]:
        return None, []
    is_text = bits >> _WORD_BITS == WORD >> _WORD_BITS
    distinct, numbers = distinct_codes((bits[is_text] & _NUMBER_BITS).astype(np.int64))
    codes = np.full(len(bits), -1, np.int32)
    codes[is_text] = numbers
    names = scan.named(FIRST_FEATURE_SPACE + place)
    return codes, [names[number] for number in distinct.tolist()]
