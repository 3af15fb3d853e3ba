"""Every number that a window can give: what it is, how exact, what checks it. ``docs/metrics.md`` is made from this."""

import re
from functools import cache

from pipeline.core.metrics.definition import Metric
from pipeline.core.metrics.definitions_class_scores import CLASS_ESTIMATES, CLASS_SCORES
from pipeline.core.metrics.definitions_classes import CLASSES
from pipeline.core.metrics.definitions_compared import AGEING, GENERALISATION, OBJECTIVES, WORST_SEGMENTS
from pipeline.core.metrics.definitions_inputs import COUNTS, DATA_QUALITY, DRIFT, HOSTS, LATENCY
from pipeline.core.metrics.definitions_lists import RANKINGS, SETS
from pipeline.core.metrics.definitions_maturity import CORRECTED, LABEL_DELAYS, LABEL_MATURITY
from pipeline.core.metrics.definitions_numbers import INTERVALS, NUMBERS
from pipeline.core.metrics.definitions_scores import ESTIMATES, SCORES

SECTIONS: dict[str, tuple[Metric, ...]] = {
    "Counts and rates": COUNTS,
    "Classes": CLASSES,
    "Scores": SCORES,
    "Scores of several classes": CLASS_SCORES,
    "Estimates without labels": (*ESTIMATES, *CLASS_ESTIMATES),
    "Sets of labels": SETS,
    "Rankings": RANKINGS,
    "Numbers": NUMBERS,
    "Intervals": INTERVALS,
    "Training against live": GENERALISATION,
    "Trends": AGEING,
    "Worst segments": WORST_SEGMENTS,
    "Service-level objectives": OBJECTIVES,
    "Delays of labels": LABEL_DELAYS,
    "Labels still to come": LABEL_MATURITY,
    "Classes, corrected for labels still to come": CORRECTED,
    "Latency": LATENCY,
    "Drift": DRIFT,
    "Features": DATA_QUALITY,
    "Hosts": HOSTS,
}
"""The metrics of ``window_metrics.v1`` and ``host_metrics.v1``, by what they speak of."""

METRICS: tuple[Metric, ...] = tuple(metric for section in SECTIONS.values() for metric in section)
"""All of them."""

REASONS = {
    "no_predictions": "the window holds no prediction",
    "no_labels": "no prediction of the window has a usable label yet; it stands once for all intervals",
    "no_relevant_items": "no labelled ranking of the window has an item of a gain above zero",
    "undefined": "zero over zero, such as the precision of a class that was never predicted",
    "unknown_positive_class": "a single class name, other than `1`, was seen: which class is positive cannot be told",
    "too_many_classes": "a binary model with more than two class names, none of them `1`",
    "no_past_errors": "too few labelled rows (`quality.calibration_rows`) in earlier final windows of the version",
    "unseen_predictions": "over a tenth of the predictions are unlike all those whose errors were learned from",
    "no_scores": "no prediction carried a score, for quality none with a label; once for sections and bounds",
    "one_class": "all labels are of one class: there is no order to measure",
    "no_variance": "rows that are all alike, or a single one, give no standard error; that is not certainty",
    "too_few_rows": "fewer rows than the number needs",
    "not_measured": "the version's `model.v1` event has no such metric; once for all where it has none",
    "live_null": "the live metric is null; `reasons` has why",
    "too_few_windows": "fewer than three windows of the version have a value so far",
    "no_events": "nothing was counted that could be good or bad",
    "no_segments": "no segment of the version has a labelled row in this window",
    "constant_target": "all labels are the same: there is no variance to explain",
    "not_above_minus_one": "a prediction or label of -1 or less has no logarithm of one more",
    "overflow": "beyond the doubles; for quantiles of errors, 2^64 or more",
    "no_history": "too few labels in final windows of the version, segment and size to know how labels come",
    "too_immature": "of some class less than `quality.maturity.min_share` of its labels has come",
    "no_latencies": "no prediction carried a latency",
    "reference_learning": "the reference is still being learned",
    "no_features": "the reference, or the window, has no features",
    "reference_changed": "the window was counted against another reference",
    "no_numbers": "the feature had no number in this window",
    "too_many_features": "more features than a window keeps; the others are there",
    "too_large": "the event would not have fitted into a record; its largest sections are empty",
}
"""Why a number is null: each code of ``reasons`` in a window event."""


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], Metric], ...]:
    found = []
    for metric in METRICS:
        pattern = re.escape(metric.path).replace("<beta>", "[0-9.e+-]+").replace("<k>", "[0-9]+")
        found.append((re.compile(re.sub(r"<\w+>", ".+", pattern)), metric))
    return tuple(found)


def metrics_at(path: str) -> list[Metric]:
    """The metrics that a path can be of.

    Args:
        path: a path into ``window_metrics.v1``, or ``host.`` and one into the ``metrics`` of ``host_metrics.v1``.

    Returns:
        One for every number that is reported; none for a path that leads nowhere.
    """
    bound = ".intervals." in path
    if bound or ".bounds." in path:
        path = path.removesuffix(".low").removesuffix(".high")
    # A class may have any name; so may what stands in its place in a pattern.
    found = [metric for pattern, metric in _patterns() if pattern.fullmatch(path)]
    return [metric for metric in found if (".intervals." in metric.path) == bound]
