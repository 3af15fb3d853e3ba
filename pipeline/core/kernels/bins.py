"""Kernels that put a feature's values into slots and count them."""

import numpy as np

from pipeline.core.events import Float64s, Int32s, Int64s
from pipeline.core.kernels.jit import kernel

NO_NUMBERS = 0
"""The feature has no number bins: every number goes to ``other``."""
BY_VALUES = 1
"""Each bound is a bin of its own; any other number goes to ``other``."""
BY_EDGES = 2
"""Bin i holds what is above edge i - 1 up to and including edge i; the outer bins are open."""


@kernel
def slot_rows(numbers: Float64s, codes: Int32s, text_slots: Int32s, bounds: Float64s, mode: int, other: int) -> Int32s:
    """The slot of each row: number bins first, then categories, ``other`` and, one after it, missing.

    Args:
        numbers: float64[k], NaN where the row holds no number.
        codes: int32[k], indexes into ``text_slots`` or -1; empty when no row holds a text.
        text_slots: the slot of each distinct text.
        bounds: the values or edges of the number bins, strictly rising.
        mode: NO_NUMBERS, BY_VALUES or BY_EDGES.
        other: the slot of what has none of its own.

    Returns:
        int32[k], the slots.
    """
    slots = np.empty(len(numbers), np.int32)
    has_codes = len(codes) > 0
    for i in range(len(numbers)):
        number = numbers[i]
        slot = other + 1
        if number == number:  # noqa: PLR0124 - false for NaN alone
            slot = other
            if mode != NO_NUMBERS:
                # Without branches on the data, which the processor could not guess.
                low = 0
                left = len(bounds)
                while left > 1:
                    half = left >> 1
                    low += half * int(bounds[low + half - 1] < number)
                    left -= half
                low += int(bounds[low] < number)
                if mode == BY_EDGES or (low < len(bounds) and bounds[low] == number):
                    slot = low
        elif has_codes and codes[i] >= 0:
            slot = text_slots[codes[i]]
        slots[i] = slot
    return slots


@kernel
def count_slots(slots: Int32s, at: Int32s, cell: Int32s, counts: Int64s) -> None:
    """Count slots by cell.

    Args:
        slots: int32[k], the slot of each row.
        at: int32[m], each pair's row.
        cell: int32[m], each pair's cell.
        counts: int64[cells, slots], added to in place.
    """
    for i in range(len(at)):
        counts[cell[i], slots[at[i]]] += 1
