"""Kernels that compare predicted with true sets of labels: row by row, and label by label in each cell."""

import numpy as np

from pipeline.core.events import Float64s, Int32s, Int64s
from pipeline.core.kernels.jit import kernel

COUNTS = 4
"""Rows; those with a predicted label, with a true one, with either."""

MOMENTS = 6
"""Sums over rows of products of two of h, p, t: hits, predicted and true labels of a row, in the order hh, hp, ht, pp,
pt, tt."""


@kernel
def compare_sets(
    guess_starts: Int64s, guess: Int64s, truth_starts: Int64s, truth: Int64s, sizes: Int64s, terms: Float64s
) -> None:
    """How well each row's predicted set fits its true one.

    Args:
        guess_starts: int64[n + 1], where each row's predicted labels begin.
        guess: int64[g], rising in each row.
        truth_starts: int64[n + 1], where its true labels begin.
        truth: int64[t], rising in each row.
        sizes: int64[3, n], out: the labels in both, predicted labels, true labels.
        terms: float64[4, n], out: precision, recall, F1, Jaccard index; NaN where zero over zero.
    """
    for row in range(len(guess_starts) - 1):
        at, end = guess_starts[row], guess_starts[row + 1]
        other, last = truth_starts[row], truth_starts[row + 1]
        guessed, true = end - at, last - other
        hits = 0
        while at < end and other < last:
            if guess[at] == truth[other]:
                hits += 1
            step = guess[at] <= truth[other]
            other += guess[at] >= truth[other]
            at += step
        sizes[0, row], sizes[1, row], sizes[2, row] = hits, guessed, true
        terms[0, row] = hits / guessed if guessed else np.nan
        terms[1, row] = hits / true if true else np.nan
        terms[2, row] = 2 * hits / (guessed + true) if guessed + true else np.nan
        terms[3, row] = hits / (guessed + true - hits) if guessed + true else np.nan


@kernel
def count_sets(sizes: Int64s, sign: Int64s, at: Int32s, cell: Int32s, counts: Int64s) -> None:
    """Count rows and sum the products of their sizes by cell.

    Args:
        sizes: int64[3, n], from ``compare_sets``.
        sign: int64[n], +1 or -1.
        at: int32[m], each pair's row.
        cell: int32[m], each pair's cell.
        counts: int64[cells, COUNTS + MOMENTS], added to in place.
    """
    for i in range(len(at)):
        row, target, factor = at[i], counts[cell[i]], sign[at[i]]
        hits, guessed, true = sizes[0, row], sizes[1, row], sizes[2, row]
        target[0] += factor
        target[1] += factor * (guessed > 0)
        target[2] += factor * (true > 0)
        target[3] += factor * (guessed + true > 0)
        target[4] += factor * hits * hits
        target[5] += factor * hits * guessed
        target[6] += factor * hits * true
        target[7] += factor * guessed * guessed
        target[8] += factor * guessed * true
        target[9] += factor * true * true


@kernel
def count_labels(
    guess_starts: Int64s,
    guess: Int64s,
    truth_starts: Int64s,
    truth: Int64s,
    sign: Int64s,
    at: Int32s,
    cell: Int32s,
    classes: int,
) -> tuple[Int64s, Int64s]:
    """Count each label's rows by cell, in an open-addressing table.

    Args:
        guess_starts: int64[n + 1], where each row's predicted labels begin.
        guess: int64[g], rising in each row.
        truth_starts: int64[n + 1], where its true labels begin.
        truth: int64[t], rising in each row.
        sign: int64[n], +1 or -1.
        at: int32[m], each pair's row.
        cell: int32[m], each pair's cell.
        classes: the number of classes.

    Returns:
        int64[u] the distinct ``cell * classes + label`` in order of appearance; int64[u, 3] the signed counts of the
        rows of each: predicted and true, predicted, true.
    """
    most = 0
    for i in range(len(at)):
        most += guess_starts[at[i] + 1] - guess_starts[at[i]] + truth_starts[at[i] + 1] - truth_starts[at[i]]
    capacity = 16
    while capacity < 2 * most:
        capacity *= 2
    mask = capacity - 1
    table = np.full(capacity, -1, np.int32)
    keys = np.empty(most, np.int64)
    counts = np.zeros((most, 3), np.int64)
    used = 0
    for i in range(len(at)):
        row = at[i]
        mine, end = guess_starts[row], guess_starts[row + 1]
        other, last = truth_starts[row], truth_starts[row + 1]
        while mine < end or other < last:
            is_guess = mine < end and (other == last or guess[mine] <= truth[other])
            is_truth = other < last and (mine == end or truth[other] <= guess[mine])
            key = np.int64(cell[i]) * classes + (guess[mine] if is_guess else truth[other])
            slot = ((key & 0x7FFFFFFF) * 0x9E3779B1 >> 16) & mask
            while table[slot] >= 0 and keys[table[slot]] != key:
                slot = (slot + 1) & mask
            if table[slot] < 0:
                table[slot] = used
                keys[used] = key
                used += 1
            counts[table[slot], 0] += sign[row] * (is_guess and is_truth)
            counts[table[slot], 1] += sign[row] * is_guess
            counts[table[slot], 2] += sign[row] * is_truth
            mine += is_guess
            other += is_truth
    return keys[:used], counts[:used]
