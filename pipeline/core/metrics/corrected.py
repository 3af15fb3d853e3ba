"""Quality of class predictions, corrected for labels that come at different speeds for each true class.

Where fraud is confirmed weeks after the rest is known to be none, the labels of a young window have too few frauds, and
what is computed from them alone overstates the model. So each labelled row is weighted with the inverse of the share of
its true class's labels that has come by now (``maturity.py``): inverse-probability weighting (Horvitz, Thompson 1952,
"A Generalization of Sampling Without Replacement From a Finite Universe", JASA 47), each metric a ratio of weighted
counts (Hajek 1971). The window's confusion matrix is all that it needs.

It is right where a label's delay depends on the true class alone and classes take as long as they did in past windows.
A class with little of its labels there would be weighted so much that chance decides, or not be seen at all: when the
share of any class is below a floor, there is no correction yet. Where all shares are equal, as in a final window, the
weights cancel out, and each number is that of the section ``quality``.

The standard error is that of the delta method (``class_table.py``) with each row counted by the square of its weight;
the shares are taken as known (Sarndal, Swensson, Wretman 1992, "Model Assisted Survey Sampling"). Few rows that stand
for many make wide intervals.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core.accumulate.confusion import Confusion
from pipeline.core.events import Float64s, Json, Task
from pipeline.core.metrics.class_ratios import F1, PRECISION, RECALL, ClassRatio, macro_average
from pipeline.core.metrics.class_table import ClassTable, class_table
from pipeline.core.metrics.intervals import NO_VARIANCE, normal_interval
from pipeline.core.metrics.maturity import NO_HISTORY, ClassShares
from pipeline.core.metrics.positive_class import positive_class, without_positive

_RATIOS = (PRECISION, RECALL, F1)
_OF_ALL = ("accuracy", *(f"{ratio.name}_macro" for ratio in _RATIOS))
_OF_POSITIVE = tuple(ratio.name for ratio in _RATIOS)


def report_corrected(
    state: Confusion, task: Task, shares: ClassShares | None, least_share: float, z: float
) -> tuple[dict[str, Json], dict[str, str]]:
    """Report the corrected quality of a model that predicts one class.

    Args:
        state: the confusion matrix of the window.
        task: what the model predicts.
        shares: the share of each true class's labels that has come; None where that is not known.
        least_share: below this share of any class, above 0, nothing is corrected.
        z: the normal deviate of the intervals.

    Returns:
        The values of ``quality.corrected``, and the reasons of what is null by their paths; nothing for other tasks.
    """
    if not task.is_classes:
        return {}, {}
    values: dict[str, Json] = dict.fromkeys(_OF_ALL + (_OF_POSITIVE if task is Task.BINARY else ()))
    errors: dict[str, float] = {}
    if state.is_zero():
        why = "no_labels"
    elif shares is None:
        why = NO_HISTORY
    elif shares.least < least_share:
        why = "too_immature"
    else:
        table, why = _weighted(class_table(state), shares), "undefined"
        names = table.rows.names
        measured = _of_all(table)
        if task is Task.BINARY:
            positive = positive_class(names)
            why = "undefined" if positive is not None else without_positive(names)
            measured |= {} if positive is None else _of_class(table, names.index(positive))
        values |= {name: value for name, (value, _) in measured.items()}
        errors = {name: error for name, (value, error) in measured.items() if value is not None}
    reasons = {f"quality.corrected.{name}": why for name, value in values.items() if value is None}
    values["intervals"] = {}
    for name, error in errors.items():
        interval = normal_interval(values[name], error, z, 0.0, 1.0)
        values["intervals"][name] = {"low": interval[0], "high": interval[1]} if interval else None
        reasons |= {} if interval else {f"quality.corrected.intervals.{name}": NO_VARIANCE}
    return values, reasons


@dataclass(frozen=True, slots=True)
class _Weighted:
    """The k classes of a window, each row weighted by its true class.

    Attributes:
        rows: the counts.
        weight: float64[k].
        margins: float64[3, k], hits, predicted rows and support of each class, weighted.
    """

    rows: ClassTable
    weight: Float64s
    margins: Float64s

    def error(self, slope: Float64s) -> float:
        """The standard error of a metric.

        Args:
            slope: float64[u], how the metric rises with the weight of each outcome.
        """
        by_row = slope * self.weight[self.rows.truth]
        return math.sqrt(math.fsum((self.rows.count * by_row * by_row).tolist()))

    def slope(self, ratio: ClassRatio, classes: Sequence[int]) -> Float64s:
        """How the mean of a ratio over some classes rises with the weight of each outcome.

        Args:
            ratio: the ratio, defined for these classes.
            classes: at least one.
        """
        part = np.zeros(len(self.weight))
        hits, predicted, support = self.margins[:, classes]
        part[classes] = 1 / (len(classes) * (ratio.predicted * predicted + ratio.support * support))
        value = np.zeros(len(self.weight))
        value[classes] = ratio.hits * hits / (ratio.predicted * predicted + ratio.support * support)
        guess, truth = self.rows.guess, self.rows.truth
        lost = ratio.predicted * (part * value)[guess] + ratio.support * (part * value)[truth]
        return np.where(guess == truth, ratio.hits * part[guess], 0.0) - lost


def _weighted(rows: ClassTable, shares: ClassShares) -> _Weighted:
    weight = np.array([1 / shares.of(name) for name in rows.names])
    order = np.lexsort((rows.truth, rows.guess))  # sums of doubles must not depend on the order of merging
    counts = rows.count[order] * weight[rows.truth[order]]
    predicted = np.bincount(rows.guess[order], counts, minlength=len(weight))
    return _Weighted(rows, weight, np.stack((np.array(rows.hits) * weight, predicted, np.array(rows.support) * weight)))


def _of_all(table: _Weighted) -> dict[str, tuple[float | None, float]]:
    """The metrics of all classes together, with their standard errors."""
    hits, _, support = table.margins
    total = float(support.sum())
    accuracy = float(hits.sum()) / total
    right = (table.rows.guess == table.rows.truth).astype(np.float64)
    found: dict[str, tuple[float | None, float]] = {"accuracy": (accuracy, table.error((right - accuracy) / total))}
    for ratio in _RATIOS:
        values = [ratio.of(*margins) for margins in table.margins.T.tolist()]
        defined = [place for place, value in enumerate(values) if value is not None]
        found[f"{ratio.name}_macro"] = macro_average(values), table.error(table.slope(ratio, defined))
    return found


def _of_class(table: _Weighted, place: int) -> dict[str, tuple[float | None, float]]:
    """The ratios of one class, with their standard errors."""
    found: dict[str, tuple[float | None, float]] = {}
    for ratio in _RATIOS:
        value = ratio.of(*table.margins[:, place].tolist())
        found[ratio.name] = value, 0.0 if value is None else table.error(table.slope(ratio, [place]))
    return found
