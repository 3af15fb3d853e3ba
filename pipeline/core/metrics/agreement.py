"""How far predicted and true classes agree beyond chance: Matthews' correlation and Cohen's kappa, for any classes.

With s rows, c of them right, p(k) predicted as class k and t(k) of class k:

- ``mcc`` is (c s - sum p t) / sqrt((s^2 - sum p^2)(s^2 - sum t^2)) (Gorodkin 2004, "Comparing two K-category
  assignments by a K-category correlation coefficient"); for two classes it is Matthews' (1975). It is undefined where
  all rows were predicted as one class, or are of one class; scikit-learn says 0 there.
- ``cohen_kappa`` is (c s - sum p t) / (s^2 - sum p t) (Cohen 1960, "A Coefficient of Agreement for Nominal Scales").
  It is undefined where all rows are of one class and were predicted as it.
"""

import math
from dataclasses import dataclass

import numpy as np

from pipeline.core.metrics.class_table import ClassTable, Gradient


@dataclass(frozen=True, slots=True)
class Agreement:
    """A coefficient with its gradient.

    Attributes:
        value: from -1 to 1.
        gradient: for the delta method.
    """

    value: float
    gradient: Gradient


def matthews_correlation(table: ClassTable) -> Agreement | None:
    """Matthews' correlation coefficient.

    Args:
        table: the counts.

    Returns:
        The coefficient; None where it is not defined.
    """
    total, right, chance = _sums(table)
    by_guess = total * total - sum(rows * rows for rows in table.predicted)
    by_truth = total * total - sum(rows * rows for rows in table.support)
    if not by_guess or not by_truth:
        return None
    root = math.sqrt(by_guess) * math.sqrt(by_truth)
    # Rounding of the roots can leave the quotient a hair outside.
    value = min(max((right * total - chance) / root, -1.0), 1.0)
    predicted, support = np.array(table.predicted, np.float64), np.array(table.support, np.float64)
    gradient = Gradient(
        hits=np.full(len(table.names), total / root),
        predicted=-support / root + value * predicted / by_guess,
        support=-predicted / root + value * support / by_truth,
        total=right / root - value * total * (1 / by_guess + 1 / by_truth),
    )
    return Agreement(value, gradient)


def cohen_kappa(table: ClassTable) -> Agreement | None:
    """Cohen's kappa.

    Args:
        table: the counts.

    Returns:
        The coefficient; None where it is not defined.
    """
    total, right, chance = _sums(table)
    most = total * total - chance
    if not most:
        return None
    value = (right * total - chance) / most
    predicted, support = np.array(table.predicted, np.float64), np.array(table.support, np.float64)
    gradient = Gradient(
        hits=np.full(len(table.names), total / most),
        predicted=(value - 1) * support / most,
        support=(value - 1) * predicted / most,
        total=(right - 2 * value * total) / most,
    )
    return Agreement(value, gradient)


def _sums(table: ClassTable) -> tuple[int, int, int]:
    chance = sum(guessed * true for guessed, true in zip(table.predicted, table.support, strict=True))
    return table.total, sum(table.hits), chance
