"""The scored rows of a window, laid out by score."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.core.accumulate.score_bins import middle_scores, single_valued
from pipeline.core.accumulate.scores import ScoredClass, Scores
from pipeline.core.events import Float64s, Int32s, Int64s
from pipeline.core.kernels.scores import merge_counts


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """The rows of a positive class and of the others, in b parts of fine bins.

    Attributes:
        of_positive: the rows of the positive class.
        of_negative: the others.
        keys: int32[b], rising, as the scores do.
        positive: int64[b], rows of the positive class.
        negative: int64[b], the others.
        single: bool[b], whether all rows of the part have one score.
        middle: float64[b], the middle of the part's scores, within 2^-13 of each.
        positives: rows of the positive class, all together.
        negatives: the others.
    """

    of_positive: ScoredClass
    of_negative: ScoredClass
    keys: Int32s
    positive: Int64s
    negative: Int64s
    single: NDArray[np.bool_]
    middle: Float64s
    positives: int
    negatives: int

    @property
    def rows(self) -> int:
        """All rows."""
        return self.positives + self.negatives


def score_table(state: Scores, positive: str) -> ScoreTable:
    """Lay the rows out.

    Args:
        state: the rows by true class; no counts below zero.
        positive: the positive class.

    Returns:
        The table.
    """
    of_positive, of_negative = ScoredClass(), ScoredClass()
    for name, rows in state.classes.items():
        (of_positive if name == positive else of_negative).merge(rows)
    arrays = of_positive.bins.arrays, of_negative.bins.arrays
    keys, _ = merge_counts(*arrays[0], *arrays[1])
    both = []
    for own, counts in arrays:
        laid = np.zeros(len(keys), np.int64)
        laid[np.searchsorted(keys, own)] = counts
        both.append(laid)
    return ScoreTable(
        of_positive,
        of_negative,
        keys,
        both[0],
        both[1],
        single_valued(keys),
        middle_scores(keys),
        int(both[0].sum()),
        int(both[1].sum()),
    )
