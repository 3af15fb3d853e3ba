"""Kernel that counts the pairs of predicted and true class by cell."""

import numpy as np

from pipeline.core.events import Int32s, Int64s
from pipeline.core.kernels.jit import kernel


@kernel
def count_outcomes(
    predicted: Int64s, label: Int64s, sign: Int64s, at: Int32s, cell: Int32s, classes: int
) -> tuple[Int64s, Int64s]:
    """Count (cell, predicted class, true class), whatever the number of classes, in an open-addressing table.

    Args:
        predicted: int64[n], indexes of classes.
        label: int64[n], indexes of classes.
        sign: int64[n], +1 or -1.
        at: int32[m], each pair's row.
        cell: int32[m], each pair's cell.
        classes: the number of classes.

    Returns:
        int64[u] the distinct ``(cell * classes + predicted) * classes + label`` in order of appearance, int64[u] their
        signed counts.
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
        key = (cell[i] * classes + predicted[row]) * classes + label[row]
        # Fibonacci hashing of the low bits: neighbours in the key spread over the table.
        slot = ((key & 0x7FFFFFFF) * 0x9E3779B1 >> 16) & mask
        while table[slot] >= 0 and keys[table[slot]] != key:
            slot = (slot + 1) & mask
        if table[slot] < 0:
            table[slot] = used
            keys[used] = key
            used += 1
        counts[table[slot]] += sign[row]
    return keys[:used], counts[:used]
