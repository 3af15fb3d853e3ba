"""Kernels that count how sure a multiclass model was: for each class, of rows predicted as it and of the others.

Rows are told apart by what the predicted class leaves to the others, 1 less its probability: a *place* is an eighth of
an octave of it, down to 2^-10, below which all share the first. Three kinds of counts have keys of their own: rows
predicted as the class, their probabilities of it, and those of the class in rows predicted otherwise, by half octaves.
Probabilities are summed in units of 2^-20.
"""

import numpy as np

from pipeline.core.events import Float64s, Int32s, Int64s
from pipeline.core.kernels.jit import kernel

PLACE_SHIFT = 20
"""The fraction bits of a 32-bit float that a place leaves open."""
BELOW_FIRST = ((127 - 10) << 3) - 1
"""What leaves less than 2^-10 to the others has the first place."""
PLACES = (127 << 3) - BELOW_FIRST + 1
"""How many places there are."""
HALF_OCTAVE = 4
"""Places that probabilities of other classes share."""
OF_SURE = PLACES
"""Where the keys of the probabilities of predicted classes begin; those of rows begin at 0."""
OF_OTHERS = 2 * PLACES
"""Where the keys of the probabilities of classes that were not predicted begin."""
CONFIDENCE_KEYS = OF_OTHERS + (PLACES - 1) // HALF_OCTAVE + 1
"""How many keys there are."""
UNIT = 2.0**20
"""Units of a probability of 1."""


@kernel
def find_sure(starts: Int64s, codes: Int64s, scores: Float64s, guess: Int64s, sure: Float64s) -> None:
    """The probability that each row gives its predicted class.

    Args:
        starts: int64[k + 1], where each row's list begins.
        codes: int64[m], the classes that are listed.
        scores: float64[m], their probabilities.
        guess: int64[k], the predicted classes.
        sure: float64[k], out; NaN where the class is not listed.
    """
    for row in range(len(guess)):
        sure[row] = np.nan
        for at in range(starts[row], starts[row + 1]):
            if codes[at] == guess[row]:
                sure[row] = scores[at]


@kernel
def order_by_cell(at: Int32s, cell: Int32s, cells: int) -> tuple[Int32s, Int64s]:
    """Put pairs in the order of their cells.

    Args:
        at: int32[p], each pair's row.
        cell: int32[p], its cell.
        cells: how many there are.

    Returns:
        int32[p] the rows, int64[cells + 1] where each cell's begin.
    """
    starts = np.zeros(cells + 1, np.int64)
    for i in range(len(cell)):
        starts[cell[i] + 1] += 1
    for i in range(cells):
        starts[i + 1] += starts[i]
    ordered = np.empty(len(at), np.int32)
    free = starts.copy()
    for i in range(len(at)):
        ordered[free[cell[i]]] = at[i]
        free[cell[i]] += 1
    return ordered, starts


@kernel
def count_confidences(
    starts: Int64s, codes: Int64s, scores: Float64s, guess: Int64s, place: Int32s, rows: Int32s, number: Int32s
) -> tuple[Int64s, Int64s, Int32s, Int64s]:
    """Count the rows of one cell.

    Args:
        starts: int64[k + 1], where each row's list begins.
        codes: int64[m], the classes that are listed.
        scores: float64[m], their probabilities.
        guess: int64[k], the predicted classes.
        place: int32[k], the place of what their probability leaves.
        rows: int32[r], the rows to count.
        number: int32[classes], all -1, and so again afterwards.

    Returns:
        int64[u] the classes that are listed, int64[u + 1] where the counts of each begin, int32[c] their keys, rising
        for each class, int64[c] the counts, none of them zero.
    """
    most = 0
    for row in rows:
        most += starts[row + 1] - starts[row]
    listed = np.empty(min(most, len(number)), np.int64)
    used = 0
    for row in rows:
        for at in range(starts[row], starts[row + 1]):
            if number[codes[at]] < 0:
                number[codes[at]] = used
                listed[used] = codes[at]
                used += 1
    table = np.zeros((used, CONFIDENCE_KEYS), np.int64)
    for row in rows:
        key = OF_OTHERS + place[row] // HALF_OCTAVE
        for at in range(starts[row], starts[row + 1]):
            units = np.int64(scores[at] * UNIT + 0.5)
            of_class = number[codes[at]]
            if codes[at] == guess[row]:
                table[of_class, place[row]] += 1
                table[of_class, OF_SURE + place[row]] += units
            else:
                table[of_class, key] += units
    begins = np.zeros(used + 1, np.int64)
    for i in range(used):
        number[listed[i]] = -1
        begins[i + 1] = begins[i] + np.count_nonzero(table[i])
    keys = np.empty(begins[used], np.int32)
    counts = np.empty(begins[used], np.int64)
    end = 0
    for i in range(used):
        for one in range(CONFIDENCE_KEYS):
            if table[i, one] != 0:
                keys[end] = one
                counts[end] = table[i, one]
                end += 1
    return listed[:used], begins, keys, counts
