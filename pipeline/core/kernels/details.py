"""Kernels of the detail store: entries in chunks of one long array, and a table that finds them by their id.

An entry is a run of 64-bit words: its id, eight times the number of its members plus how they are written, their codes,
their weights. Codes and weights that 32 bits hold exactly lie two in a word. An entry never crosses the end of a chunk.
"""

from typing import Any, NamedTuple

import numpy as np

from pipeline.core.events import Int64s
from pipeline.core.kernels.jit import kernel

CHUNK_WORDS = 1 << 13
"""A chunk is 64 KB: four of the largest entries, of a thousand members with weights, fit in."""

EMPTY = -1
"""An unused slot of the table; an entry that is not there."""

FREE = -(1 << 62)
"""The segment of a chunk that holds nothing."""

HEAD_WORDS = 2
_FORM_BITS = 3
_WEIGHTED, _NARROW_WEIGHTS, _NARROW_CODES = 1, 2, 4
_LOW = 0xFFFFFFFF
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)
_MIX_1, _MIX_2, _U_33 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53), np.uint64(33)
_NEGATIVE = -(1 << 63)


class Arena(NamedTuple):
    """The arrays of the store.

    Attributes:
        words: int64[chunks * CHUNK_WORDS].
        table: int64[2^k], the first word of an entry by its id's hash, or ``EMPTY``; at most half of it is in use.
        segment: int64[chunks], the segment that each chunk is part of.
        used: int64[chunks], how many of its words are in use.
        entries: int64[1], slots of the table in use.
    """

    words: Int64s
    table: Int64s
    segment: Int64s
    used: Int64s
    entries: Int64s


@kernel
def _slot(words: Any, table: Any, detail: Any) -> Any:
    """The slot of an id, or the empty one where it belongs."""
    mask = len(table) - 1
    slot = np.int64((np.uint64(detail) * _GOLDEN) >> _HALF) & mask
    while table[slot] != EMPTY and words[table[slot]] != detail:
        slot = (slot + 1) & mask
    return slot


@kernel
def _mixed(found: Any) -> Any:
    found = (found ^ (found >> _U_33)) * _MIX_1
    found = (found ^ (found >> _U_33)) * _MIX_2
    return found ^ (found >> _U_33)


@kernel
def _length(words: Any, at: Any) -> Any:
    """The words of the entry that begins somewhere."""
    head = words[at + 1]
    size = head >> _FORM_BITS
    length = HEAD_WORDS + _packed(size, head & _NARROW_CODES)
    return length + _packed(size, head & _NARROW_WEIGHTS) if head & _WEIGHTED else length


@kernel
def _packed(size: Any, is_narrow: Any) -> Any:
    """The words of so many members."""
    return (size + 1) >> 1 if is_narrow else size


@kernel
def _put_members(words: Any, at: Any, wide: Any, narrow: Any, start: Any, end: Any, is_narrow: Any) -> Any:
    """Write some members; gives the place behind them."""
    if not is_narrow:
        for j in range(start, end):
            words[at + j - start] = wide[j]
        return at + end - start
    for j in range(start, end, 2):
        words[at] = np.int64(narrow[j]) & _LOW
        if j + 1 < end:
            words[at] |= np.int64(narrow[j + 1]) << 32
        at += 1
    return at


@kernel
def write_entries(ids: Int64s, starts: Int64s, codes: Int64s, weights: Any) -> tuple[Int64s, Int64s]:
    """Lists as entries.

    Args:
        ids: int64[k].
        starts: int64[k + 1], where each list begins.
        codes: int64[m].
        weights: float64[m].

    Returns:
        int64[w], the words; int64[k], where each entry begins.
    """
    words = np.empty(HEAD_WORDS * len(ids) + 2 * len(codes), np.int64)
    begins = np.empty(len(ids), np.int64)
    bits, less, small = weights.view(np.int64), weights.astype(np.float32), codes.astype(np.int32)
    short = less.view(np.int32)
    at = 0
    for i in range(len(ids)):
        form = _NARROW_WEIGHTS | _NARROW_CODES
        for j in range(starts[i], starts[i + 1]):
            if weights[j] != 1.0:
                form |= _WEIGHTED
            if np.float64(less[j]) != weights[j]:
                form &= ~_NARROW_WEIGHTS
            if np.int64(small[j]) != codes[j]:
                form &= ~_NARROW_CODES
        begins[i] = at
        words[at] = ids[i]
        words[at + 1] = (starts[i + 1] - starts[i]) << _FORM_BITS | form
        at = _put_members(words, at + HEAD_WORDS, codes, small, starts[i], starts[i + 1], form & _NARROW_CODES)
        if form & _WEIGHTED:
            at = _put_members(words, at, bits, short, starts[i], starts[i + 1], form & _NARROW_WEIGHTS)
    return words[:at].copy(), begins


@kernel
def hash_members(starts: Int64s, codes: Int64s, weights: Any) -> Int64s:
    """Hash lists: each word multiplied in and mixed as MurmurHash3's finaliser does.

    Args:
        starts: int64[k + 1], where each list begins.
        codes: int64[m].
        weights: float64[m].

    Returns:
        int64[k], all negative.
    """
    bits = weights.view(np.int64)
    hashes = np.empty(len(starts) - 1, np.int64)
    for i in range(len(hashes)):
        found = np.uint64(starts[i + 1] - starts[i])
        for j in range(starts[i], starts[i + 1]):
            found = _mixed((found ^ np.uint64(codes[j])) * _GOLDEN)
            found = _mixed((found ^ np.uint64(bits[j])) * _GOLDEN)
        hashes[i] = np.int64(found) | _NEGATIVE
    return hashes


@kernel
def find_entries(words: Int64s) -> Int64s:
    """Where the entries of a run of words begin.

    Args:
        words: int64[w], whole entries.

    Returns:
        int64[k]; the last one does not end at w where the words are damaged.
    """
    begins = np.empty(len(words) // HEAD_WORDS + 1, np.int64)
    count = 0
    at = 0
    while at + 1 < len(words) and words[at + 1] >= 0:
        begins[count] = at
        count += 1
        at += _length(words, at)
    if at != len(words):
        begins[count] = -1
        count += 1
    return begins[:count]


@kernel
def put_entries(
    arena: Any, words: Int64s, begins: Int64s, part: Int64s, segments: Int64s, chunks: Int64s, first: int
) -> tuple[int, int]:
    """Take entries in that are not there for as long already; the table has room for all of them.

    Args:
        arena: ``Arena``; changed.
        words: int64[w], entries.
        begins: int64[k], where they begin.
        part: int64[k], the index of each one's segment.
        segments: int64[s].
        chunks: int64[s], the chunk that each segment is being written to, or ``EMPTY``.
        first: the entry to begin with.

    Returns:
        The entry to go on with, k at the end; the index of the segment that needs another chunk for it.
    """
    for i in range(first, len(begins)):
        begin = begins[i]
        slot = _slot(arena.words, arena.table, words[begin])
        place = arena.table[slot]
        segment = segments[part[i]]
        if place != EMPTY and arena.segment[place // CHUNK_WORDS] >= segment:
            continue
        length = _length(words, begin)
        chunk = chunks[part[i]]
        if chunk == EMPTY or arena.used[chunk] + length > CHUNK_WORDS:
            return i, part[i]
        at = chunk * CHUNK_WORDS + arena.used[chunk]
        for j in range(length):
            arena.words[at + j] = words[begin + j]
        arena.used[chunk] += length
        arena.entries[0] += place == EMPTY
        arena.table[slot] = at
    return len(begins), 0


@kernel
def list_entries(arena: Any, chunks: Int64s) -> None:
    """Fill an empty table with the entries of some chunks; of those with one id, the last one is found.

    Args:
        arena: ``Arena``; changed.
        chunks: int64[c], by rising segment.
    """
    arena.entries[0] = 0
    for chunk in chunks:
        at = chunk * CHUNK_WORDS
        end = at + arena.used[chunk]
        while at < end:
            slot = _slot(arena.words, arena.table, arena.words[at])
            arena.entries[0] += arena.table[slot] == EMPTY
            arena.table[slot] = at
            at += _length(arena.words, at)


@kernel
def read_sizes(arena: Any, ids: Int64s, wanted: Any, places: Int64s, starts: Int64s) -> int:
    """Look entries up.

    Args:
        arena: ``Arena``.
        ids: int64[n].
        wanted: bool[n], which to look for.
        places: int64[n], out: where each entry begins, or ``EMPTY``.
        starts: int64[n + 1], out: where each list begins among the members of all.

    Returns:
        How many members all of them have.
    """
    total = 0
    for i in range(len(ids)):
        places[i] = EMPTY
        starts[i] = total
        if wanted[i]:
            places[i] = arena.table[_slot(arena.words, arena.table, ids[i])]
            if places[i] != EMPTY:
                total += arena.words[places[i] + 1] >> _FORM_BITS
    starts[len(ids)] = total
    return total


@kernel
def read_members(arena: Any, places: Int64s, starts: Int64s, codes: Int64s, weights: Any) -> None:
    """Copy the members of entries.

    Args:
        arena: ``Arena``.
        places: int64[n], from ``read_sizes``.
        starts: int64[n + 1], likewise.
        codes: int64[m], out.
        weights: float64[m], out; not touched where there are none.
    """
    for i in range(len(places)):
        if places[i] == EMPTY:
            continue
        at = places[i] + HEAD_WORDS
        size = starts[i + 1] - starts[i]
        form = arena.words[places[i] + 1]
        for j in range(size):
            if form & _NARROW_CODES:
                codes[starts[i] + j] = np.int32(arena.words[at + (j >> 1)] >> 32 * (j & 1))
            else:
                codes[starts[i] + j] = arena.words[at + j]
        if form & _WEIGHTED:
            at += _packed(size, form & _NARROW_CODES)
            for j in range(size):
                if form & _NARROW_WEIGHTS:
                    weights[starts[i] + j] = np.int32(arena.words[at + (j >> 1)] >> 32 * (j & 1)).view(np.float32)
                else:
                    weights[starts[i] + j] = np.int64(arena.words[at + j]).view(np.float64)
