"""Kernels that count numbers in signed logarithmic bins, by cell."""

import numpy as np

from pipeline.core.events import Int32s, Int64s
from pipeline.core.kernels.jit import kernel

BIN_SHIFT = 49
"""A bin is what shares a double's sign, exponent and first 3 fraction bits: 8 to an octave."""
BELOW_FIRST = ((1023 - 64) << 3) - 1
"""What is below 2^-64 on either side of zero, and zero, is in one bin."""
ZERO_BIN = ((1023 + 64) << 3) - BELOW_FIRST
"""The number of that bin; those of positive numbers are above it, and everything from 2^64 on is in the last."""
BINS = 2 * ZERO_BIN + 1


@kernel
def place_in_bins(bits: Int64s, at: Int32s, cell: Int32s) -> tuple[Int32s, Int32s, Int32s]:
    """Number the distinct pairs of a cell and a bin from 0, in the order of appearance, by an open-addressing table.

    Args:
        bits: int64[k], bit patterns of finite doubles.
        at: int32[m], each pair's number.
        cell: int32[m], each pair's cell.

    Returns:
        int32[m] each pair's slot, int32[u] the cell of each slot, int32[u] its bin.
    """
    capacity = 16
    while capacity < 2 * len(at):
        capacity *= 2
    mask = capacity - 1
    table = np.full(capacity, -1, np.int32)
    slots = np.empty(len(at), np.int32)
    cells = np.empty(len(at), np.int32)
    bins = np.empty(len(at), np.int32)
    used = 0
    for i in range(len(at)):
        pattern = bits[at[i]]
        size = min(max(((pattern & 0x7FFFFFFFFFFFFFFF) >> BIN_SHIFT) - BELOW_FIRST, 0), ZERO_BIN)
        own = ZERO_BIN - size if pattern < 0 else ZERO_BIN + size
        # Fibonacci hashing: neighbours in the key spread over the table.
        key = np.int64(cell[i]) * BINS + own
        place = ((key & 0x7FFFFFFF) * 0x9E3779B1 >> 16) & mask
        while table[place] >= 0 and (bins[table[place]] != own or cells[table[place]] != cell[i]):
            place = (place + 1) & mask
        if table[place] < 0:
            table[place] = used
            cells[used] = cell[i]
            bins[used] = own
            used += 1
        slots[i] = table[place]
    return slots, cells[:used], bins[:used]


@kernel
def count_slots(sign: Int64s, at: Int32s, slot: Int32s, slots: int) -> Int64s:
    """Count pairs by slot.

    Args:
        sign: int64[k], +1 or -1.
        at: int32[m], each pair's sign.
        slot: int32[m], each pair's slot.
        slots: how many there are.

    Returns:
        int64[slots].
    """
    counts = np.zeros(slots, np.int64)
    for i in range(len(at)):
        counts[slot[i]] += sign[at[i]]
    return counts
