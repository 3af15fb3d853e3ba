"""Quality of set predictions, label by label and row by row.

With n rows, TP, P and T a label's rows that are predicted and true, predicted, true, and L the labels that any row of
the window has or was given:

- ``hamming_loss`` sum (P + T - 2 TP) / (n L), the share of wrong ones of all yes-or-no decisions (Schapire, Singer
  1999, "Improved Boosting Algorithms Using Confidence-rated Predictions").
- ``micro`` averages are the ratio of the sums over labels, ``macro`` and ``weighted`` the means over the labels where
  it is defined, as for classes (``classes.py``).
- ``samples`` averages are means over rows of the ratio of each row's own labels (Godbole, Sarawagi 2004,
  "Discriminative Methods for Multi-labeled Classification"); a row where it is zero over zero is left out, as
  scikit-learn does with ``zero_division=nan``. ``jaccard_samples`` is that of |both| / |either|.

The labels of a row depend on each other, so the rows are what intervals count: micro averages are ratios of sums over
rows, with the standard error of such (Cochran 1977, "Sampling Techniques", 2.11), from the exact second moments.
"""

import math
from collections.abc import Mapping
from fractions import Fraction

import numpy as np

from pipeline.core.accumulate.multilabel import Multilabel
from pipeline.core.events import Json, Task
from pipeline.core.family import Context, Report
from pipeline.core.metrics.class_ratios import (
    F1,
    PRECISION,
    RECALL,
    ClassRatio,
    class_values,
    macro_average,
    weighted_average,
)
from pipeline.core.metrics.class_table import ClassTable
from pipeline.core.metrics.classes import per_class
from pipeline.core.metrics.intervals import Interval, as_section, error_of_mean, normal_deviate, normal_interval

_RATIOS = (PRECISION, RECALL, F1)
_SAMPLES = ("precision", "recall", "f1", "jaccard")
_NAMES = (
    "hamming_loss",
    *(f"{ratio.name}_{average}" for ratio in _RATIOS for average in ("micro", "macro", "weighted")),
    *(f"{name}_samples" for name in _SAMPLES),
)


def report_multilabel(state: Multilabel, context: Context) -> Report:
    """Report how well predicted sets of labels fit the true ones.

    Args:
        state: the counts of the window.
        context: what the window is of.

    Returns:
        The section ``quality``; empty for other tasks. ``undefined`` is the reason for a ratio of nothing to nothing.
    """
    if context.task is not Task.MULTILABEL:
        return Report()
    if not state.count:
        quality: dict[str, Json] = {**dict.fromkeys(_NAMES), "per_class": {}}
        return Report({"quality": quality}, {f"quality.{name}": "no_labels" for name in _NAMES})
    table, z = _table(state), normal_deviate(context.quality.interval_level)
    quality = {"hamming_loss": _hamming_loss(table)}
    intervals: dict[str, Interval | None] = {}
    if table.names:
        error = _error_of_hamming(state, table)
        intervals["hamming_loss"] = normal_interval(quality["hamming_loss"], error, z, 0.0, 1.0)
    for ratio in _RATIOS:
        values = class_values(ratio, table)
        micro = ratio.of(sum(table.hits), sum(table.predicted), sum(table.support))
        quality[f"{ratio.name}_micro"] = micro
        quality[f"{ratio.name}_macro"] = macro_average(values)
        quality[f"{ratio.name}_weighted"] = weighted_average(values, table)
        if micro is not None:
            intervals[f"{ratio.name}_micro"] = normal_interval(micro, _error_of_micro(state, table, ratio), z, 0.0, 1.0)
    for name in _SAMPLES:
        total, squares, count = getattr(state, name), getattr(state, f"{name}_squares"), _rows_of(state, name)
        value = quality[f"{name}_samples"] = total.divided_by(count) if count else None
        if value is not None:
            intervals[f"{name}_samples"] = normal_interval(value, error_of_mean(total, squares, count), z, 0.0, 1.0)
    reasons = {f"quality.{name}": "undefined" for name, value in quality.items() if value is None}
    section, why = as_section(intervals)
    labels, why_labels = per_class(table, _RATIOS, context.quality, z)
    return Report({"quality": {**quality, "intervals": section, "per_class": labels}}, reasons | why | why_labels)


def _table(state: Multilabel) -> ClassTable:
    """The labels as classes, whose margins are all that their ratios need; no matrix says which was taken for which."""
    names = tuple(sorted(state.labels))
    margins = [state.labels[name] for name in names]
    hits, predicted, support = (tuple(rows[i] for rows in margins) for i in range(3))
    none = np.zeros(0, np.int64)
    return ClassTable(names, none, none, none, hits, predicted, support, state.count)


def _hamming_loss(table: ClassTable) -> float | None:
    wrong = sum(table.predicted) + sum(table.support) - 2 * sum(table.hits)
    return wrong / (table.total * len(table.names)) if table.names else None


def _rows_of(state: Multilabel, name: str) -> int:
    """The rows where a ratio of each row's labels is defined."""
    of: Mapping[str, int] = {"precision": state.guessed, "recall": state.true}
    return of.get(name, state.either)


def _error_of_hamming(state: Multilabel, table: ClassTable) -> float:
    """The standard error of the mean number of wrong labels of a row, over the number of labels."""
    if state.count < 2:
        return 0.0
    wrong = sum(table.predicted) + sum(table.support) - 2 * sum(table.hits)
    squares = 4 * (state.hits_hits - state.hits_guesses - state.hits_truths)
    squares += state.guesses_guesses + 2 * state.guesses_truths + state.truths_truths
    variation = state.count * squares - wrong * wrong
    return math.sqrt(variation / (state.count - 1)) / (state.count * len(table.names))


def _error_of_micro(state: Multilabel, table: ClassTable, ratio: ClassRatio) -> float:
    """The standard error of the ratio of sums over rows of ``a h`` and of ``b p + c t``."""
    if state.count < 2:
        return 0.0
    a, b, c = (Fraction(factor) for factor in (ratio.hits, ratio.predicted, ratio.support))
    below = b * sum(table.predicted) + c * sum(table.support)
    value = a * sum(table.hits) / below
    b, c = -value * b, -value * c
    # The squares of a h - value (b p + c t), whose sum is zero.
    squares = a * a * state.hits_hits + b * b * state.guesses_guesses + c * c * state.truths_truths
    squares += 2 * (a * b * state.hits_guesses + a * c * state.hits_truths + b * c * state.guesses_truths)
    return math.sqrt(squares * state.count / (state.count - 1)) / float(below)
