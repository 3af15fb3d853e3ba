"""Precision, recall and F-beta: of each class, their averages, and the gradients of these for the delta method.

All three are one form: with TP the hits of a class, P the rows predicted as it and T the rows of it,
``a TP / (b P + c T)``. Precision has (1, 1, 0), recall (1, 0, 1), F-beta (1 + beta^2, 1, beta^2) (van Rijsbergen 1979,
"Information Retrieval", chapter 7).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pipeline.core.events import Float64s
from pipeline.core.metrics.class_table import ClassTable, Gradient


@dataclass(frozen=True, slots=True)
class ClassRatio:
    """``hits TP / (predicted P + support T)``.

    Attributes:
        name: the metric's name.
        hits: the factor of the true positives.
        predicted: the factor of the rows predicted as the class.
        support: the factor of the rows of the class.
    """

    name: str
    hits: float
    predicted: float
    support: float

    def of(self, hits: float, predicted: float, support: float) -> float | None:
        """The ratio of one class.

        Args:
            hits: its true positives; a number of rows, or the sum of their weights.
            predicted: rows predicted as it.
            support: rows of it.

        Returns:
            From 0 to 1; None where it is zero over zero.
        """
        rows = self.predicted * predicted + self.support * support
        return self.hits * hits / rows if rows else None


PRECISION = ClassRatio("precision", 1, 1, 0)
RECALL = ClassRatio("recall", 1, 0, 1)
F1 = ClassRatio("f1", 2, 1, 1)


def f_beta(beta: float) -> ClassRatio:
    """The F-measure that counts recall ``beta`` times as much as precision.

    Args:
        beta: above 0.

    Returns:
        The ratio, named ``fbeta_2`` for 2.
    """
    return ClassRatio(f"fbeta_{beta:g}", 1 + beta * beta, 1, beta * beta)


def class_values(ratio: ClassRatio, table: ClassTable) -> list[float | None]:
    """A ratio of every class.

    Args:
        ratio: the ratio.
        table: the counts, k classes.

    Returns:
        k values; None where the ratio is not defined.
    """
    return [ratio.of(*margins) for margins in zip(table.hits, table.predicted, table.support, strict=True)]


def macro_average(values: Iterable[float | None]) -> float | None:
    """The mean over the classes where a ratio is defined.

    Args:
        values: each class's.

    Returns:
        The mean; None where no class has one.
    """
    defined = [value for value in values if value is not None]
    return math.fsum(defined) / len(defined) if defined else None


def weighted_average(values: Iterable[float | None], table: ClassTable) -> float | None:
    """The mean over the classes where a ratio is defined, weighted by their support.

    Args:
        values: each class's.
        table: the counts.

    Returns:
        The mean; None where these classes have no support.
    """
    defined = [(value, rows) for value, rows in zip(values, table.support, strict=True) if value is not None]
    weight = sum(rows for _, rows in defined)
    return math.fsum(value * rows for value, rows in defined) / weight if weight else None


def class_gradient(ratio: ClassRatio, table: ClassTable, place: int) -> Gradient:
    """The gradient of one class's ratio.

    Args:
        ratio: the ratio, defined for the class.
        table: the counts.
        place: the class.

    Returns:
        The gradient.
    """
    weights = np.zeros(len(table.names))
    weights[place] = 1.0
    return _gradient(ratio, table, weights)


def macro_gradient(ratio: ClassRatio, table: ClassTable) -> Gradient:
    """The gradient of a macro average.

    Args:
        ratio: the ratio, defined for one class at least.
        table: the counts.

    Returns:
        The gradient.
    """
    defined = np.array([value is not None for value in class_values(ratio, table)])
    return _gradient(ratio, table, defined / defined.sum())


def weighted_gradient(ratio: ClassRatio, table: ClassTable) -> Gradient:
    """The gradient of a weighted average.

    Args:
        ratio: the ratio, defined for one class with support at least.
        table: the counts.

    Returns:
        The gradient; rows of a class also change its weight.
    """
    values = class_values(ratio, table)
    average = weighted_average(values, table)
    assert average is not None  # noqa: S101 - asked for where there is one
    defined = np.array([value is not None for value in values])
    support = np.where(defined, table.support, 0)
    gradient = _gradient(ratio, table, support / support.sum())
    differences = np.array([0.0 if value is None else value - average for value in values])
    gradient.support += np.where(defined, differences, 0.0) / support.sum()
    return gradient


def _gradient(ratio: ClassRatio, table: ClassTable, weights: Float64s) -> Gradient:
    """The gradient of a weighted sum of the classes' ratios, for weights that do not change."""
    hits = np.array(table.hits, np.float64)
    rows = ratio.predicted * np.array(table.predicted, np.float64) + ratio.support * np.array(table.support, np.float64)
    # A ratio that is not defined has no weight; any number of rows will do.
    rows[rows == 0] = 1.0
    by_rows = -weights * ratio.hits * hits / (rows * rows)
    return Gradient(weights * ratio.hits / rows, by_rows * ratio.predicted, by_rows * ratio.support)
