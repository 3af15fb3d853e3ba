"""Quality of the probabilities that a multiclass model gives its classes, over the rows that carried them.

With p_c the probability of class c as a 32-bit float, 0 where it is not listed, and t the true class:

- ``log_loss`` mean of -log p_t (Good 1952, "Rational decisions"), p_t within 2^-23 of 0 or 1 moved there,
- ``brier`` mean of (1 - p_t)^2 + sum over the other classes of p_c^2, 0 to 2 (Brier 1950, "Verification of forecasts
  expressed in terms of probability"),
- ``top_k_accuracy_<k>`` the share of rows whose true class is among the k of the greatest probability; what ties with
  it stands before it,
- ``ece``, ``mce``, ``adaptive_ece`` and ``calibration`` as for binary models, of the predicted class's probability
  against how often it is right (Guo et al. 2017, "On Calibration of Modern Neural Networks").
"""

from pipeline.core.accumulate.class_scores import RIGHT, ClassScores
from pipeline.core.events import Json, Task
from pipeline.core.family import Context, Report
from pipeline.core.metrics.intervals import (
    Interval,
    as_section,
    error_of_mean,
    normal_deviate,
    normal_interval,
    wilson_interval,
)
from pipeline.core.metrics.score_table import score_table
from pipeline.core.metrics.scores import NO_SCORES, calibration_numbers

_OF_SURENESS = ("ece", "mce", "adaptive_ece")


def report_class_scores(state: ClassScores, context: Context) -> Report:
    """Report the quality of a multiclass model's scores.

    Args:
        state: the scored rows of the window.
        context: what the window is of, and which k are asked for.

    Returns:
        The section ``quality``; empty for other tasks.
    """
    if context.task is not Task.MULTICLASS:
        return Report()
    settings = context.quality
    z = normal_deviate(settings.interval_level)
    names = ("log_loss", "brier", *(f"top_k_accuracy_{k}" for k in settings.top_k), *_OF_SURENESS)
    quality: dict[str, Json] = {**dict.fromkeys(names), "calibration": []}
    intervals: dict[str, Interval | None] = {}
    if state.count:
        means = {
            "log_loss": (state.log_loss, state.log_loss_squares, float("inf")),
            "brier": (state.brier, state.brier_squares, 2.0),
        }
        for name, (total, squares, most) in means.items():
            value = quality[name] = total.divided_by(state.count)
            intervals[name] = normal_interval(value, error_of_mean(total, squares, state.count), z, 0.0, most)
        for k in settings.top_k:
            hits = sum(rows for rank, rows in state.ranks.items() if rank <= k)
            quality[f"top_k_accuracy_{k}"] = hits / state.count
            intervals[f"top_k_accuracy_{k}"] = wilson_interval(hits, state.count, z)
    if state.sureness.classes:
        values, bounds = calibration_numbers(score_table(state.sureness, RIGHT), settings, z)
        quality |= values
        intervals |= bounds
    reasons = {f"quality.{name}": NO_SCORES for name in names if quality[name] is None}
    if not quality["calibration"]:
        reasons["quality.calibration"] = NO_SCORES
    section, why = as_section(intervals)
    return Report({"quality": {**quality, "intervals": section}}, reasons | why)
