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
    # A number's rank is the number of bounds below it. One plain pass a bound runs on vector units and beats a binary
    # search, whose branches cannot be guessed, up to hundreds of bounds: 1 ns a row against 14 with nine of them.
    slots = np.zeros(len(numbers), np.int32)
    if mode != NO_NUMBERS:
        for bound in bounds:
            for i in range(len(numbers)):
                slots[i] += bound < numbers[i]
    has_codes = len(codes) > 0
    for i in range(len(numbers)):
        number = numbers[i]
        if number == number:  # noqa: PLR0124 - false for NaN alone
            rank = slots[i]
            if mode == NO_NUMBERS or (mode == BY_VALUES and (rank == len(bounds) or bounds[rank] != number)):
                slots[i] = other
        elif has_codes and codes[i] >= 0:
            slots[i] = text_slots[codes[i]]
        else:
            slots[i] = other + 1
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
