"""Quality of a binary model's scores, the probabilities that it gives the positive class.

With s a score and y 1 for a row of the positive class, 0 for one of the other:

- ``brier`` mean of (s - y)^2 (Brier 1950, "Verification of forecasts expressed in terms of probability"),
- ``log_loss`` mean of -log s for y = 1 and of -log(1 - s) for y = 0 (Good 1952, "Rational decisions"), scores nearer to
  0 or 1 than 2^-23 taken as that near,

both from exact sums. Order and calibration have files of their own, ``score_curves.py`` and ``calibration.py``. Scores
are 32-bit floats. The normal intervals of both means take the spread of their terms from the fine bins.
"""

import math
from collections.abc import Mapping

from pipeline.core.accumulate.exact_sum import ExactSum
from pipeline.core.accumulate.score_bins import terms_of
from pipeline.core.accumulate.scores import Scores
from pipeline.core.events import Float64s, Json, Task
from pipeline.core.family import Context, Report
from pipeline.core.kernels.scores import weighted_sum
from pipeline.core.metrics.calibration import (
    equal_mass_bins,
    equal_width_bins,
    expected_error,
    expected_error_interval,
    greatest_error,
    greatest_error_interval,
    reliability_table,
)
from pipeline.core.metrics.intervals import Interval, as_section, normal_deviate, normal_interval
from pipeline.core.metrics.positive_class import positive_class, without_positive
from pipeline.core.metrics.score_curves import (
    Bounded,
    average_precision,
    average_precision_interval,
    kolmogorov_smirnov,
    roc_auc,
    roc_auc_interval,
)
from pipeline.core.metrics.score_table import ScoreTable, score_table
from pipeline.core.metrics.settings import QualitySettings

NO_SCORES = "no_scores"
"""The reason where no labelled prediction carried a score."""
ONE_CLASS = "one_class"
"""The reason where rows of one class alone have no order."""

_CURVES = ("roc_auc", "average_precision", "ks")
_MEANS = ("log_loss", "brier", "ece", "mce", "adaptive_ece")
_SECTIONS: Mapping[str, Json] = {"bounds": {}, "calibration": [], "intervals": {}}


def report_scores(state: Scores, context: Context) -> Report:
    """Report the quality of a binary model's scores.

    Args:
        state: the scored rows of the window.
        context: what the window is of.

    Returns:
        The section ``quality``; empty for other tasks.
    """
    if context.task is not Task.BINARY:
        return Report()
    names = sorted({*state.classes, *state.predicted})
    positive = positive_class(names)
    if positive is None:
        code = without_positive(names) if names else NO_SCORES
        reasons = {f"quality.{name}": code for name in (*_CURVES, *_MEANS, "bounds", "calibration")}
        return Report({"quality": {**dict.fromkeys((*_CURVES, *_MEANS)), **_SECTIONS}}, reasons)
    table = score_table(state, positive)
    z = normal_deviate(context.quality.interval_level)
    curves, intervals = _curves(table, z)
    quality: dict[str, Json] = {name: one.value if one else None for name, one in curves.items()}
    quality["bounds"] = {name: {"low": one.low, "high": one.high} if one else None for name, one in curves.items()}
    lost = [name for name, one in curves.items() if one is None]
    reasons = {f"quality.{within}{name}": ONE_CLASS for name in lost for within in ("", "bounds.")}
    for values, bounds in (_means(table, z), calibration_numbers(table, context.quality, z)):
        quality |= values
        intervals |= bounds
    quality["intervals"], why = as_section(intervals)
    return Report({"quality": quality}, reasons | why)


def _curves(table: ScoreTable, z: float) -> tuple[dict[str, Bounded | None], dict[str, Interval | None]]:
    """What is said of the order of rows, None where there is none."""
    found: dict[str, Bounded | None] = dict.fromkeys(_CURVES)
    intervals: dict[str, Interval | None] = {}
    if table.positives:
        precision = found["average_precision"] = average_precision(table)
        intervals["average_precision"] = average_precision_interval(precision.value, table.positives, z)
    if table.positives and table.negatives:
        area = found["roc_auc"] = roc_auc(table)
        intervals["roc_auc"] = roc_auc_interval(table, area.value, z)
        found["ks"] = kolmogorov_smirnov(table)
    return found, intervals


def _means(table: ScoreTable, z: float) -> tuple[dict[str, Json], dict[str, Interval | None]]:
    """What is a mean over the rows, exactly."""
    squares = ExactSum(table.positives)  # of s - y: s^2, and for y = 1 less 2 s, plus 1
    squares.merge(table.of_negative.squares)
    squares.merge(table.of_positive.squares)
    squares.merge(ExactSum(-2 * table.of_positive.total.mantissa, table.of_positive.total.exponent))
    logs = ExactSum()
    logs.merge(table.of_positive.hits)
    logs.merge(table.of_negative.misses)
    values = {"brier": squares.divided_by(table.rows), "log_loss": logs.divided_by(table.rows)}
    of_positive, of_negative = terms_of(table.middle).logs
    spread = {
        "brier": ((table.middle - 1) ** 2, table.middle**2),
        "log_loss": (of_positive, of_negative),
    }
    errors = {name: _error_of_mean(table, *terms) for name, terms in spread.items()}
    intervals = {
        "brier": normal_interval(values["brier"], errors["brier"], z, 0.0, 1.0),
        "log_loss": normal_interval(values["log_loss"], errors["log_loss"], z, 0.0),
    }
    return dict(values), intervals


def _error_of_mean(table: ScoreTable, of_positive: Float64s, of_negative: Float64s) -> float:
    """The standard error of the mean of what each row of a part of a fine bin adds; 0 for one row."""
    rows = table.rows
    if rows < 2:
        return 0.0
    mean = (weighted_sum(table.positive, of_positive) + weighted_sum(table.negative, of_negative)) / rows
    squares = weighted_sum(table.positive, (of_positive - mean) ** 2)
    squares += weighted_sum(table.negative, (of_negative - mean) ** 2)
    return math.sqrt(squares / (rows - 1) / rows)


def calibration_numbers(
    table: ScoreTable, settings: QualitySettings, z: float
) -> tuple[dict[str, Json], dict[str, Interval | None]]:
    """How far scores are from rates.

    Args:
        table: at least one row.
        settings: how many bins, and the level of intervals.
        z: the normal deviate of that level.

    Returns:
        The metrics with the reliability table, and their intervals.
    """
    bins = equal_width_bins(table, settings.calibration_bins)
    adaptive = equal_mass_bins(table, settings.calibration_bins)
    values: dict[str, Json] = {
        "ece": expected_error(bins),
        "mce": greatest_error(bins),
        "adaptive_ece": expected_error(adaptive),
        "calibration": reliability_table(bins, z),
    }
    intervals: dict[str, Interval | None] = {
        "ece": expected_error_interval(bins, settings.interval_level),
        "mce": greatest_error_interval(bins, settings.interval_level),
        "adaptive_ece": expected_error_interval(adaptive, settings.interval_level),
    }
    return values, intervals
