"""Kernels for the sketch of label delays: buckets by integers alone, and sketches merged as two rising runs."""

import math

import numpy as np

from pipeline.core.events import Int32s, Int64s, UInt8s
from pipeline.core.kernels.jit import inline_kernel, kernel

STEPS = 16
"""Buckets of an octave."""
BUCKETS = 1024
"""More than there are: a delay below 2^63 ms has a bucket below 63 * 16 + 1."""


@inline_kernel
def delay_bucket(delay_ms: int) -> int:
    """The bucket of a delay.

    Args:
        delay_ms: below 2^53 on either side.

    Returns:
        0 for a label that came with its prediction or before it, else one more than the sixteenths of octaves above
        1 ms.
    """
    if delay_ms <= 0:
        return 0
    mantissa, exponent = math.frexp(float(delay_ms))
    return STEPS * (exponent - 1) + int(mantissa * (2 * STEPS)) - STEPS + 1


@kernel
def count_delays(
    delay_ms: Int64s, label: Int64s, sign: Int64s, at: Int32s, cell: Int32s, is_class: UInt8s, classes: int
) -> tuple[Int64s, Int64s]:
    """Count (cell, true class, bucket of the delay) in an open-addressing table.

    Args:
        delay_ms: int64[n].
        label: int64[n], indexes of classes where the cell is of a model that predicts them.
        sign: int64[n], +1 or -1.
        at: int32[m], each pair's row.
        cell: int32[m], each pair's cell.
        is_class: uint8[c], 1 for the cells of models that predict classes; what the others count has the class
            ``classes``.
        classes: the number of classes.

    Returns:
        int64[u] the distinct ``(cell * (classes + 1) + class) * BUCKETS + bucket`` in order of appearance, int64[u]
        their signed counts.
    """
    capacity = 16
    while capacity < 2 * len(at):
        capacity *= 2
    mask = capacity - 1
    table = np.full(capacity, -1, np.int32)
    keys = np.empty(len(at), np.int64)
    counts = np.zeros(len(at), np.int64)
    used = 0
    for i in range(len(at)):
        row = at[i]
        target = np.int64(cell[i])
        truth = label[row] if is_class[target] else np.int64(classes)
        key = (target * (classes + 1) + truth) * BUCKETS + delay_bucket(delay_ms[row])
        # Fibonacci hashing: neighbours in the key spread over the table.
        slot = ((key & 0x7FFFFFFF) * 0x9E3779B1 >> 16) & mask
        while table[slot] >= 0 and keys[table[slot]] != key:
            slot = (slot + 1) & mask
        if table[slot] < 0:
            table[slot] = used
            keys[used] = key
            used += 1
        counts[table[slot]] += sign[row]
    return keys[:used], counts[:used]


@kernel
def add_sketches(one: Int64s, other: Int64s) -> Int64s:
    """Add two sketches.

    Args:
        one: int64[a, 2], buckets, strictly rising, and their counts, none of them zero.
        other: int64[b, 2], likewise.

    Returns:
        int64[c, 2], likewise: what has cancelled out is left out.
    """
    merged = np.empty((len(one) + len(other), 2), np.int64)
    i = j = used = 0
    while i < len(one) or j < len(other):
        if j == len(other) or (i < len(one) and one[i, 0] < other[j, 0]):
            bucket, count = one[i, 0], one[i, 1]
            i += 1
        elif i == len(one) or other[j, 0] < one[i, 0]:
            bucket, count = other[j, 0], other[j, 1]
            j += 1
        else:
            bucket, count = one[i, 0], one[i, 1] + other[j, 1]
            i += 1
            j += 1
        if count != 0:
            merged[used, 0], merged[used, 1] = bucket, count
            used += 1
    return merged[:used].copy()
