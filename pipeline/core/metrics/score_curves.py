"""How well scores put rows in order, from counts in fine bins, with bounds that hold whatever the scores in a bin were.

- ``roc_auc``: the share of pairs of a positive and a negative row in which the positive one has the greater score, ties
  counting half (Mann, Whitney 1947; Hanley, McNeil 1982). Pairs in one bin may be in order or not: they make the
  bounds, and count half in the value. Where a bin holds one score its pairs are ties. Its interval is DeLong's (DeLong,
  DeLong, Clarke-Pearson 1988), of the value.
- ``average_precision``: the mean over the positive rows of the precision at their scores, as scikit-learn has it; the
  middle of its bounds. Its interval is the logit interval of Boyd, Eng, Page (2013, "Area under the Precision-Recall
  Curve").
- ``ks``: the greatest difference of the shares of both classes up to a score (Kolmogorov-Smirnov); seen from the ends
  of bins, it is its own lower bound.
"""

import math
from dataclasses import dataclass

import numpy as np

from pipeline.core.kernels.scores import precision_sums, weighted_sum
from pipeline.core.metrics.intervals import Interval, normal_interval
from pipeline.core.metrics.score_table import ScoreTable


@dataclass(frozen=True, slots=True)
class Bounded:
    """A number that the bins leave open a little.

    Attributes:
        value: the number.
        low: what it is at least.
        high: what it is at most.
    """

    value: float
    low: float
    high: float


def roc_auc(table: ScoreTable) -> Bounded:
    """The area under the receiver operating characteristic.

    Args:
        table: rows of both classes.

    Returns:
        The area and its bounds.
    """
    below = np.cumsum(table.negative) - table.negative
    together = table.positive * table.negative
    ordered, tied = int(table.positive @ below), int(together[table.single].sum())
    unknown = int(together.sum()) - tied
    pairs = 2 * table.positives * table.negatives
    low = 2 * ordered + tied
    return Bounded((low + unknown) / pairs, low / pairs, (low + 2 * unknown) / pairs)


def roc_auc_interval(table: ScoreTable, area: float, z: float) -> Interval | None:
    """DeLong's interval of the area.

    Args:
        table: rows of both classes.
        area: the value.
        z: the normal deviate.

    Returns:
        Bounds from 0 to 1; None for a class of one row, or where no row could have changed the area.
    """
    if min(table.positives, table.negatives) < 2:
        return None
    below = np.cumsum(table.negative) - table.negative / 2
    above = table.positives - np.cumsum(table.positive) + table.positive / 2
    variance = 0.0
    for counts, rows, placed in (
        (table.positive, table.positives, below / table.negatives),
        (table.negative, table.negatives, above / table.positives),
    ):
        variance += weighted_sum(counts, (placed - area) ** 2) / (rows - 1) / rows
    return normal_interval(area, math.sqrt(variance), z, 0.0, 1.0)


def average_precision(table: ScoreTable) -> Bounded:
    """The area under the steps of precision over recall.

    Args:
        table: at least one row of the positive class.

    Returns:
        The area and its bounds.
    """
    sums = precision_sums(table.positive[::-1].copy(), table.negative[::-1].copy(), table.single[::-1].copy())
    low, high = (min(one / table.positives, 1.0) for one in sums)
    return Bounded((low + high) / 2, low, high)


def average_precision_interval(value: float, positives: int, z: float) -> Interval | None:
    """The logit interval of the average precision.

    Args:
        value: the average precision.
        positives: rows of the positive class.
        z: the normal deviate.

    Returns:
        Bounds from 0 to 1; None for 0 and 1, which have no logit.
    """
    if not 0 < value < 1:
        return None
    middle, half = math.log(value / (1 - value)), z / math.sqrt(positives * value * (1 - value))
    return _from_logit(middle - half), _from_logit(middle + half)


def _from_logit(logit: float) -> float:
    return 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0


def kolmogorov_smirnov(table: ScoreTable) -> Bounded:
    """The greatest distance of the two classes' distributions.

    Args:
        table: rows of both classes.

    Returns:
        The distance and its bounds.
    """
    pairs = table.positives * table.negatives
    positive, negative = table.positive * table.negatives, table.negative * table.positives
    gaps = np.cumsum(negative - positive)
    before = gaps - negative + positive
    # Inside a bin of several scores all rows of one class may come before those of the other.
    inside = np.maximum(np.abs(before + negative), np.abs(before - positive))
    low = int(np.abs(gaps).max())
    high = max(low, int(inside[~table.single].max(initial=0)))
    return Bounded(low / pairs, low / pairs, high / pairs)
