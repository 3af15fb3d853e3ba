"""A confusion matrix with its margins, and the standard error of what is computed from it.

The delta method (Bishop, Fienberg, Holland 1975, "Discrete Multivariate Analysis", 14.6): rows fall into the cells of
the matrix independently, so a metric g of the counts has the variance sum n (dg/dn)^2 over the cells, less the square
of sum n dg/dn over the number of rows. That second term is zero here: every metric stays the same when all counts
double (Euler). For Cohen's kappa this is the variance of Fleiss, Cohen, Everitt (1969), for macro F1 that of Takahashi
et al. (2022, "Confidence interval for micro-averaged F1 and macro-averaged F1 scores").
"""

import math
from dataclasses import dataclass

import numpy as np

from pipeline.core.accumulate.confusion import Confusion
from pipeline.core.events import Float64s, Int64s


@dataclass(frozen=True, slots=True)
class ClassTable:
    """The k classes of a window and the u outcomes that were counted.

    Attributes:
        names: the classes, sorted.
        guess: int64[u], the predicted class of each outcome.
        truth: int64[u], its true class.
        count: int64[u], its rows.
        hits: k numbers of rows that are of a class and were predicted as it.
        predicted: k numbers of rows predicted as a class.
        support: k numbers of rows that are of a class.
        total: the rows.
    """

    names: tuple[str, ...]
    guess: Int64s
    truth: Int64s
    count: Int64s
    hits: tuple[int, ...]
    predicted: tuple[int, ...]
    support: tuple[int, ...]
    total: int


@dataclass(slots=True)
class Gradient:
    """How a metric rises with one row more, by what the row adds to.

    Attributes:
        hits: float64[k], with the hits of each class.
        predicted: float64[k], with the rows predicted as each class.
        support: float64[k], with the rows of each class.
        total: with any row.
    """

    hits: Float64s
    predicted: Float64s
    support: Float64s
    total: float = 0.0


def class_table(state: Confusion) -> ClassTable:
    """Lay a confusion matrix out; the outcomes stay in their order, which no exact sum over them depends on.

    Args:
        state: the matrix.

    Returns:
        The table.
    """
    outcomes = state.counts
    names = tuple(sorted({name for outcome in outcomes for name in outcome}))
    index = {name: place for place, name in enumerate(names)}
    guess = np.array([index[name] for name, _ in outcomes], np.int64)
    truth = np.array([index[name] for _, name in outcomes], np.int64)
    count = np.array(list(outcomes.values()), np.int64)
    right = guess == truth
    margins = np.zeros((3, len(names)), np.int64)
    for margin, at, rows in zip(margins, (guess[right], guess, truth), (count[right], count, count), strict=True):
        np.add.at(margin, at, rows)
    hits, predicted, support = (tuple(margin) for margin in margins.tolist())
    return ClassTable(names, guess, truth, count, hits, predicted, support, sum(support))


def standard_error(table: ClassTable, gradient: Gradient) -> float:
    """The standard error of a metric by the delta method.

    Args:
        table: the counts.
        gradient: of a metric that stays the same when all counts double.

    Returns:
        0 where no single row could have changed the metric.
    """
    guess, truth = table.guess, table.truth
    slope = gradient.predicted[guess] + gradient.support[truth] + gradient.total
    slope += np.where(guess == truth, gradient.hits[guess], 0.0)
    return math.sqrt(math.fsum((table.count * slope * slope).tolist()))
