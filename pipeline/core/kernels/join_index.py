"""The index of the cold tier: which keys may have rows on disk, and in which segment. Four bytes a key.

A cuckoo filter (B. Fan et al., "Cuckoo Filter: Practically Better Than Bloom", CoNEXT 2014) with 20 bits of fingerprint
and 12 bits of segment a slot. A key has two buckets; the second follows from the first and
the fingerprint, so entries can be moved without their keys, and of two keys that look the same either's entry may be
taken out: what stays serves the other. A key that is not there is found by mistake once in 100,000 times.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.kernels.jit import lean_kernel as kernel

SLOTS = 4
"""Slots of a bucket: as many as it takes to fill 19 in 20 of all."""

SLOT_BYTES = 4
SEGMENT_BITS = 12
MAX_SEGMENT = (1 << SEGMENT_BITS) - 1
"""Segments are numbered from 1; 0 is an empty slot."""

_MOVES = 500
_SEGMENT_MASK = np.uint32(MAX_SEGMENT)
_SEGMENT_SHIFT = np.uint32(SEGMENT_BITS)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xC2B2AE3D27D4EB4F)
_HALF = np.uint64(32)
_FINGERPRINT_SHIFT = np.uint64(44)  # of 64 bits the upper 20


def make_index(slots: int) -> NDArray[np.uint32]:
    """An empty index.

    Args:
        slots: how many at least.

    Returns:
        uint32[k], k a multiple of ``SLOTS``; its buckets do not cross cache lines.
    """
    size = -(-slots // SLOTS) * SLOTS
    raw = np.zeros(size + SLOTS, np.uint32)
    start = -raw.ctypes.data % (SLOTS * SLOT_BYTES) // SLOT_BYTES
    return raw[start : start + size]


@kernel
def _bucket(index: Any, key0: Any) -> Any:
    return np.int64((((key0 * _GOLDEN) >> _HALF) * np.uint64(len(index) // SLOTS)) >> _HALF)


@kernel
def _fingerprint(key0: Any, key1: Any) -> Any:
    """Never 0, so that an empty slot is nobody's."""
    return max(np.uint32(((key1 ^ (key0 >> _HALF)) * _MIX) >> _FINGERPRINT_SHIFT), np.uint32(1))


@kernel
def _other(index: Any, bucket: Any, fingerprint: Any) -> Any:
    """The other bucket of a fingerprint; of the other one, this one."""
    buckets = len(index) // SLOTS
    spread = ((np.uint64(fingerprint) * _GOLDEN) >> _HALF) * np.uint64(buckets)
    other = np.int64(spread >> _HALF) - bucket
    return other + buckets if other < 0 else other


@kernel
def _count_free(index: Any, bucket: Any) -> Any:
    count = 0
    for slot in range(bucket * SLOTS, bucket * SLOTS + SLOTS):
        count += index[slot] == 0
    return count


@kernel
def _free_slot(index: Any, bucket: Any) -> Any:
    """A free slot of a bucket, or -1."""
    for slot in range(bucket * SLOTS, bucket * SLOTS + SLOTS):
        if index[slot] == 0:
            return slot
    return -1


@kernel
def add_entry(index: Any, key0: Any, key1: Any, segment: Any) -> Any:
    """Note that a key has rows in a segment; false when the index is too full for that."""
    fingerprint = _fingerprint(key0, key1)
    entry = (fingerprint << _SEGMENT_SHIFT) | np.uint32(segment)
    bucket = _bucket(index, key0)
    other = _other(index, bucket, fingerprint)
    emptier = other if _count_free(index, other) > _count_free(index, bucket) else bucket
    free = _free_slot(index, emptier)
    for move in range(_MOVES):
        if free >= 0:
            index[free] = entry
            return True
        victim = bucket * SLOTS + move % SLOTS
        entry, index[victim] = index[victim], entry
        bucket = _other(index, bucket, entry >> _SEGMENT_SHIFT)
        free = _free_slot(index, bucket)
    return False


@kernel
def remove_entry(index: Any, key0: Any, key1: Any, segment: Any) -> Any:
    """Take one entry of a key and segment out; whether there was one."""
    fingerprint = _fingerprint(key0, key1)
    entry = (fingerprint << _SEGMENT_SHIFT) | np.uint32(segment)
    bucket = _bucket(index, key0)
    for _ in range(2):
        for slot in range(bucket * SLOTS, bucket * SLOTS + SLOTS):
            if index[slot] == entry:
                index[slot] = 0
                return True
        bucket = _other(index, bucket, fingerprint)
    return False


@kernel
def find_entries(index: Any, key: Any, start: Any, stop: Any, which: Any, segment: Any) -> Any:
    """Which keys may have rows in which segments.

    Args:
        index: uint32[k].
        key: uint64[n, 2].
        start, stop: the keys to look for.
        which: int32[m], out: the number of the key.
        segment: int32[m], out: a segment that may have rows of it.

    Returns:
        How many were found; more than m when they did not all fit.
    """
    count = 0
    for i in range(start, stop):
        fingerprint = _fingerprint(key[i, 0], key[i, 1])
        bucket = _bucket(index, key[i, 0])
        other = _other(index, bucket, fingerprint)
        matches = _count_matches(index, bucket, fingerprint)
        if other != bucket:
            matches += _count_matches(index, other, fingerprint)
        if matches and count + matches <= len(which):
            place = _list_matches(index, bucket, fingerprint, segment, count)
            if other != bucket:
                place = _list_matches(index, other, fingerprint, segment, place)
            which[count:place] = i
        count += matches
    return count


@kernel
def _count_matches(index: Any, bucket: Any, fingerprint: Any) -> Any:
    """Without a branch: almost all are 0."""
    count = 0
    for slot in range(bucket * SLOTS, bucket * SLOTS + SLOTS):
        count += index[slot] >> _SEGMENT_SHIFT == fingerprint
    return count


@kernel
def _list_matches(index: Any, bucket: Any, fingerprint: Any, segment: Any, count: Any) -> Any:
    for slot in range(bucket * SLOTS, bucket * SLOTS + SLOTS):
        if index[slot] >> _SEGMENT_SHIFT == fingerprint:
            segment[count] = index[slot] & _SEGMENT_MASK
            count += 1
    return count


@kernel
def drop_segments(index: Any, dropped: Any) -> None:
    """Take all entries of some segments out.

    Args:
        index: uint32[k].
        dropped: bool[MAX_SEGMENT + 1].
    """
    for slot in range(len(index)):
        if dropped[index[slot] & _SEGMENT_MASK]:
            index[slot] = 0
