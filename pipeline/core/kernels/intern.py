"""Small numbers for texts that come again and again, given while their bytes are read.

Texts of different meaning (models, versions, the words of one feature) are numbered in spaces of their own, so that the
numbers in each are dense.
"""

from typing import Any, NamedTuple

import numpy as np

from pipeline.core.events import Int64s
from pipeline.core.kernels.jit import inline_kernel as kernel
from pipeline.core.kernels.json_texts import same_bytes

FULL = -2
"""Instead of a number: there is no more room; enlarge and go on from here."""

SPACE, START, END, NUMBER = range(4)
"""The columns of an entry."""

_EMPTY = -1
_BASIS = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)
_U_32 = np.uint64(32)


class Texts(NamedTuple):
    """Texts and their numbers.

    Attributes:
        table: int64[2^k], entries by hash, -1 where empty; at least twice as many as entries.
        entries: int64[m, 4], space, first byte, end and number of each text.
        counts: int64[s], how many texts each space has.
        last: int64[s], the entry found last in each space, -1 for none.
        used: int64[1], entries in use.
    """

    table: Int64s
    entries: Int64s
    counts: Int64s
    last: Int64s
    used: Int64s


@kernel
def intern(buffer: Any, start: Any, end: Any, space: Any, texts: Any) -> Any:
    """The number of a text in its space, the next free one if it is new.

    Args:
        buffer: uint8[b].
        start, end: the text's bytes.
        space: below s.
        texts: ``Texts``; changed.

    Returns:
        The number, or ``FULL``.
    """
    last = texts.last[space]
    if last != _EMPTY:  # neighbours are often equal
        entry = texts.entries[last]
        if same_bytes(buffer, start, end, buffer, entry[START], entry[END]):
            return entry[NUMBER]
    hashed = _BASIS ^ np.uint64(space)
    for at in range(start, end):
        hashed = (hashed ^ np.uint64(buffer[at])) * _PRIME
    mask = len(texts.table) - 1
    slot = np.int64((hashed ^ (hashed >> _U_32)) & np.uint64(mask))
    while texts.table[slot] != _EMPTY:
        entry = texts.entries[texts.table[slot]]
        if entry[SPACE] == space and same_bytes(buffer, start, end, buffer, entry[START], entry[END]):
            texts.last[space] = texts.table[slot]
            return entry[NUMBER]
        slot = (slot + 1) & mask
    place = texts.used[0]
    if place == len(texts.entries):
        return FULL
    entry = texts.entries[place]
    entry[SPACE] = space
    entry[START] = start
    entry[END] = end
    entry[NUMBER] = texts.counts[space]
    texts.counts[space] += 1
    texts.used[0] = place + 1
    texts.table[slot] = place
    texts.last[space] = place
    return entry[NUMBER]


@kernel
def grown(buffer: Any, texts: Any, larger: Any) -> None:
    """Fill empty texts with those of smaller ones; their numbers stay.

    Args:
        buffer: uint8[b].
        texts: ``Texts``.
        larger: ``Texts`` with room for all of them; changed.
    """
    for place in range(texts.used[0]):
        entry = texts.entries[place]
        intern(buffer, entry[START], entry[END], entry[SPACE], larger)
