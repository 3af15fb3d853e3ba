"""Kernels that compare rankings with what their items turned out to be worth."""

from typing import Any

import numpy as np

from pipeline.core.events import Float64s, Int32s, Int64s
from pipeline.core.kernels.jit import kernel
from pipeline.core.kernels.regression import log_of_one_more

TERMS = 4
"""Of each cutoff: NDCG, precision, recall, average precision."""

_LN2 = 0.6931471805599453


@kernel
def _gain_of(item: Any, start: Any, end: Any, items: Any) -> Any:
    """The place of an item among rising ones, or -1."""
    low, high = start, end
    while low < high:
        middle = (low + high) // 2
        if items[middle] < item:
            low = middle + 1
        else:
            high = middle
    return low if low < end and items[low] == item else -1


@kernel
def compare_rankings(
    guess_starts: Int64s,
    guess: Int64s,
    truth_starts: Int64s,
    truth: Int64s,
    gains: Float64s,
    cutoffs: Int64s,
    terms: Float64s,
    firsts: Int64s,
) -> None:
    """How well each row's ranking fits the gains of its items.

    An item that comes twice is worth nothing the second time; one of a gain of zero or less, or of none, is not
    relevant. The discount of rank i, from 1, is 1 / log2(i + 1), from sums and quotients alone: see ``regression.py``.

    Args:
        guess_starts: int64[n + 1], where each row's ranking begins.
        guess: int64[g], items, best first.
        truth_starts: int64[n + 1], where the gains of its items begin.
        truth: int64[t], items, rising in each row.
        gains: float64[t], finite.
        cutoffs: int64[c], rising.
        terms: float64[1 + TERMS * c, n], out: the reciprocal rank of the first relevant item, 0 without one; of each
            cutoff the terms of ``TERMS``. NaN in rows without a relevant item.
        firsts: int64[n], out: the rank of the first relevant item, from 1; 0 where none is ranked, -1 where there is
            none.
    """
    most = 0
    for row in range(len(truth_starts) - 1):
        most = max(most, truth_starts[row + 1] - truth_starts[row])
    discounts = np.empty(max(cutoffs[-1], 1))
    for i in range(len(discounts)):
        discounts[i] = _LN2 / log_of_one_more(i + 1.0)
    ideal, is_seen = np.empty(most), np.empty(most, np.bool_)
    for row in range(len(guess_starts) - 1):
        start, end = truth_starts[row], truth_starts[row + 1]
        relevant, greatest = 0, 0.0
        for at in range(start, end):
            is_seen[at - start] = False
            if gains[at] > 0.0:
                ideal[relevant] = gains[at]
                relevant += 1
                greatest = max(greatest, gains[at])
        terms[:, row] = np.nan
        firsts[row] = -1
        if relevant == 0:
            continue
        best = ideal[:relevant]
        best.sort()
        firsts[row] = 0
        low, high = guess_starts[row], guess_starts[row + 1]
        worth, most_worth, precisions = 0.0, 0.0, 0.0
        hits, rank = 0, 0
        for number in range(len(cutoffs)):
            cutoff = cutoffs[number]
            while rank < cutoff and (rank < relevant or rank < high - low):
                if rank < relevant:  # as shares of the greatest, so that nothing can be beyond the doubles
                    most_worth += best[relevant - 1 - rank] / greatest * discounts[rank]
                if rank < high - low:
                    place = _gain_of(guess[low + rank], start, end, truth)
                    if place >= 0 and gains[place] > 0.0 and not is_seen[place - start]:
                        is_seen[place - start] = True
                        worth += gains[place] / greatest * discounts[rank]
                        hits += 1
                        precisions += hits / (rank + 1)
                        if hits == 1:
                            firsts[row] = rank + 1
                rank += 1
            first = 1 + TERMS * number
            terms[first, row] = worth / most_worth
            terms[first + 1, row] = hits / cutoff
            terms[first + 2, row] = hits / relevant
            terms[first + 3, row] = precisions / min(cutoff, relevant)
        while firsts[row] == 0 and rank < high - low:
            place = _gain_of(guess[low + rank], start, end, truth)
            rank += 1
            if place >= 0 and gains[place] > 0.0:
                firsts[row] = rank
        terms[0, row] = 1.0 / firsts[row] if firsts[row] else 0.0


@kernel
def count_rankings(firsts: Int64s, sign: Int64s, at: Int32s, cell: Int32s, cutoffs: Int64s, counts: Int64s) -> None:
    """Count rows by cell.

    Args:
        firsts: int64[n], from ``compare_rankings``.
        sign: int64[n], +1 or -1.
        at: int32[m], each pair's row.
        cell: int32[m], each pair's cell.
        cutoffs: int64[c], rising.
        counts: int64[cells, 2 + c], added to in place: rows, those with a relevant item, those with one within each
            cutoff.
    """
    for i in range(len(at)):
        row, target = at[i], counts[cell[i]]
        target[0] += sign[row]
        target[1] += sign[row] * (firsts[row] >= 0)
        for number in range(len(cutoffs)):
            target[2 + number] += sign[row] * (0 < firsts[row] <= cutoffs[number])
