"""The registry of accumulators: adding one is a file in ``accumulate``, a file in ``metrics`` and a line here."""

from typing import Any

from pipeline.core.accumulate.binned_errors import TASKS as BINNED_ERRORS_TASKS
from pipeline.core.accumulate.binned_errors import BinnedErrors, fold_binned_errors
from pipeline.core.accumulate.bins import Bins, fold_bins, halve_bins
from pipeline.core.accumulate.class_scores import TASKS as CLASS_SCORES_TASKS
from pipeline.core.accumulate.class_scores import ClassScores, fold_class_scores, halve_class_scores
from pipeline.core.accumulate.confidences import TASKS as CONFIDENCES_TASKS
from pipeline.core.accumulate.confidences import Confidences, fold_confidences, halve_confidences
from pipeline.core.accumulate.confusion import TASKS as CONFUSION_TASKS
from pipeline.core.accumulate.confusion import Confusion, fold_confusion, halve_confusion
from pipeline.core.accumulate.delays import Delays, fold_delays, halve_delays
from pipeline.core.accumulate.errors import TASKS as ERRORS_TASKS
from pipeline.core.accumulate.errors import Errors, fold_errors
from pipeline.core.accumulate.key_counts import KeyCounts
from pipeline.core.accumulate.latency import Latency, fold_latency
from pipeline.core.accumulate.moments import Moments, fold_moments, halve_moments
from pipeline.core.accumulate.multilabel import TASKS as MULTILABEL_TASKS
from pipeline.core.accumulate.multilabel import Multilabel, fold_multilabel, halve_multilabel
from pipeline.core.accumulate.offsets import OffsetRanges
from pipeline.core.accumulate.predicted_scores import TASKS as PREDICTED_SCORES_TASKS
from pipeline.core.accumulate.predicted_scores import (
    PredictedScores,
    fold_predicted_scores,
    halve_predicted_scores,
)
from pipeline.core.accumulate.predicted_values import TASKS as PREDICTED_VALUES_TASKS
from pipeline.core.accumulate.predicted_values import fold_predicted_values
from pipeline.core.accumulate.ranking import TASKS as RANKING_TASKS
from pipeline.core.accumulate.ranking import Ranking, fold_ranking
from pipeline.core.accumulate.residuals import TASKS as RESIDUALS_TASKS
from pipeline.core.accumulate.residuals import Residuals, fold_residuals
from pipeline.core.accumulate.scores import TASKS as SCORES_TASKS
from pipeline.core.accumulate.scores import Scores, fold_scores, halve_scores
from pipeline.core.accumulate.sets import TASKS as SETS_TASKS
from pipeline.core.accumulate.sets import Sets, fold_sets
from pipeline.core.family import Context, Family, References, Report, State
from pipeline.core.metrics.class_scores import report_class_scores
from pipeline.core.metrics.classes import report_classes
from pipeline.core.metrics.data_quality import report_data_quality
from pipeline.core.metrics.delays import report_delays
from pipeline.core.metrics.drift import report_drift
from pipeline.core.metrics.errors import report_errors
from pipeline.core.metrics.latency import report_latency
from pipeline.core.metrics.multilabel import report_multilabel
from pipeline.core.metrics.ranking import report_ranking
from pipeline.core.metrics.residuals import report_residuals
from pipeline.core.metrics.scores import report_scores
from pipeline.core.metrics.sets import report_sets

__all__ = ["FAMILIES", "Context", "Family", "References", "Report", "State"]

FAMILIES: tuple[Family[Any], ...] = (
    Family(
        "confusion",
        Confusion,
        Confusion.from_wire,
        fold_labels=fold_confusion,
        report=report_classes,
        halve=halve_confusion,
        tasks=CONFUSION_TASKS,
    ),
    Family(
        "scores",
        Scores,
        Scores.from_wire,
        fold_labels=fold_scores,
        report=report_scores,
        halve=halve_scores,
        tasks=SCORES_TASKS,
    ),
    Family(
        "class_scores",
        ClassScores,
        ClassScores.from_wire,
        fold_labels=fold_class_scores,
        report=report_class_scores,
        halve=halve_class_scores,
        tasks=CLASS_SCORES_TASKS,
    ),
    Family("sets", Sets, Sets.from_wire, fold_labels=fold_sets, report=report_sets, tasks=SETS_TASKS),
    Family(
        "multilabel",
        Multilabel,
        Multilabel.from_wire,
        fold_labels=fold_multilabel,
        report=report_multilabel,
        halve=halve_multilabel,
        tasks=MULTILABEL_TASKS,
    ),
    Family("ranking", Ranking, Ranking.from_wire, fold_labels=fold_ranking, report=report_ranking, tasks=RANKING_TASKS),
    Family("errors", Errors, Errors.from_wire, fold_labels=fold_errors, report=report_errors, tasks=ERRORS_TASKS),
    Family(
        "residuals",
        Residuals,
        Residuals.from_wire,
        fold_labels=fold_residuals,
        report=report_residuals,
        tasks=RESIDUALS_TASKS,
    ),
    Family(
        "binned_errors",
        BinnedErrors,
        BinnedErrors.from_wire,
        fold_labels=fold_binned_errors,
        tasks=BINNED_ERRORS_TASKS,
    ),
    Family("delays", Delays, Delays.from_wire, fold_labels=fold_delays, report=report_delays, halve=halve_delays),
    Family(
        "predicted_scores",
        PredictedScores,
        PredictedScores.from_wire,
        fold_predictions=fold_predicted_scores,
        halve=halve_predicted_scores,
        tasks=PREDICTED_SCORES_TASKS,
    ),
    Family(
        "predicted_values",
        KeyCounts,
        KeyCounts.from_wire,
        fold_predictions=fold_predicted_values,
        tasks=PREDICTED_VALUES_TASKS,
    ),
    Family(
        "confidences",
        Confidences,
        Confidences.from_wire,
        fold_predictions=fold_confidences,
        halve=halve_confidences,
        tasks=CONFIDENCES_TASKS,
    ),
    Family("latency", Latency, Latency.from_wire, fold_predictions=fold_latency, report=report_latency),
    Family(
        "moments",
        Moments,
        Moments.from_wire,
        fold_predictions=fold_moments,
        report=report_data_quality,
        halve=halve_moments,
    ),
    Family(
        "bins",
        Bins,
        Bins.from_wire,
        fold_predictions=fold_bins,
        report=report_drift,
        needs_reference=True,
        halve=halve_bins,
    ),
    # Folded through ``fold_offsets``: a batch's columns do not know the partition they came from.
    Family("offsets", OffsetRanges, OffsetRanges.from_wire),
)
"""Every family, by its key on the wire."""
