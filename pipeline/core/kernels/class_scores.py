"""Kernels that compare the probabilities of several classes with the one that turned out to be true."""

import math

import numpy as np

from pipeline.core.events import Float64s, Int32s, Int64s
from pipeline.core.kernels.jit import inline_kernel, kernel
from pipeline.core.kernels.regression import log_of_one_more
from pipeline.core.kernels.scores import LEAST_CHANCE

MAX_RANK = 100
"""Ranks beyond are counted together."""

_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10


@inline_kernel
def _log(x: float) -> float:
    """The natural logarithm of a number from ``LEAST_CHANCE`` to 1, from sums and quotients alone."""
    mantissa, exponent = math.frexp(x)
    return exponent * _LN2_HIGH + (log_of_one_more(mantissa - 1.0) + exponent * _LN2_LOW)


@kernel
def compare_scores(
    starts: Int64s, codes: Int64s, scores: Float64s, label: Int64s, terms: Float64s, ranks: Int64s, sure: Float64s
) -> None:
    """How well each row's probabilities fit its true class. A class that is not listed has none.

    Args:
        starts: int64[n + 1], where each row's list begins; a row without one is passed over.
        codes: int64[m]: of each list first the predicted class, then the classes.
        scores: float64[m], their probabilities, 32-bit floats; that of the first means nothing.
        label: int64[n], the true class.
        terms: float64[2, n], out: log loss; squared distance from 1 for the true class and 0 for the others.
        ranks: int64[n], out: the rank of the true class, from 1, behind all that tie with it; 0 without a list.
        sure: float64[n], out: the probability of the predicted class; NaN where it has none.
    """
    most = 0
    for row in range(len(label)):
        most = max(most, starts[row + 1] - starts[row])
    squares = np.empty(most)
    for row in range(len(label)):
        terms[:, row] = np.nan
        ranks[row] = 0
        sure[row] = np.nan
        start, end = starts[row], starts[row + 1]
        if start == end:
            continue
        true = 0.0
        for at in range(start + 1, end):
            if codes[at] == label[row]:
                true = scores[at]
            if codes[at] == codes[start]:
                sure[row] = scores[at]
        rank, others = 1, 0
        for at in range(start + 1, end):
            if codes[at] != label[row]:
                rank += scores[at] >= true
                squares[others] = scores[at] * scores[at]
                others += 1
        ranks[row] = rank
        # In their order, so that the sum does not depend on how classes are numbered.
        squares[:others].sort()
        total = 0.0
        for at in range(others):
            total += squares[at]
        terms[0, row] = -_log(min(max(true, LEAST_CHANCE), 1.0 - LEAST_CHANCE))
        terms[1, row] = total + (1.0 - true) * (1.0 - true)


@kernel
def count_ranks(ranks: Int64s, sign: Int64s, at: Int32s, cell: Int32s, counts: Int64s) -> None:
    """Count ranks by cell.

    Args:
        ranks: int64[n], from ``compare_scores``, all above 0 where they are paired.
        sign: int64[n], +1 or -1.
        at: int32[m], each pair's row.
        cell: int32[m], each pair's cell.
        counts: int64[cells, MAX_RANK + 2], added to in place: rows, then those of each rank, then those beyond.
    """
    for i in range(len(at)):
        counts[cell[i], 0] += sign[at[i]]
        counts[cell[i], min(ranks[at[i]], MAX_RANK + 1)] += sign[at[i]]
