"""Quality of class predictions: what a confusion matrix says, as a whole, of the positive class and of each class.

An undefined ratio (the precision of a class never predicted, the recall of one never true) is None, and the averages
run over the classes where the ratio is defined, as scikit-learn computes them with ``zero_division=nan``. A weighted
average whose classes all have no support is None too (scikit-learn drops the weights there).

Where each row has one class, the micro averages of precision, recall and F1 are all the accuracy; balanced accuracy is
the macro average of recall (Brodersen et al. 2010, "The Balanced Accuracy and Its Posterior Distribution").
"""

from collections.abc import Mapping

from pipeline.core.accumulate.confusion import Confusion
from pipeline.core.events import Json, Task
from pipeline.core.family import Context, Report
from pipeline.core.metrics.agreement import cohen_kappa, matthews_correlation
from pipeline.core.metrics.business_value import business_value
from pipeline.core.metrics.class_ratios import (
    F1,
    PRECISION,
    RECALL,
    ClassRatio,
    class_gradient,
    class_values,
    f_beta,
    macro_average,
    macro_gradient,
    weighted_average,
    weighted_gradient,
)
from pipeline.core.metrics.class_table import ClassTable, class_table, standard_error
from pipeline.core.metrics.intervals import (
    Interval,
    as_section,
    f1_interval,
    mean_interval,
    normal_deviate,
    normal_interval,
    wilson_interval,
)
from pipeline.core.metrics.positive_class import positive_class, without_positive
from pipeline.core.metrics.settings import QualitySettings

MAX_CLASSES = 100
"""The most classes in ``per_class``: those with the greatest support (ties: the lesser name). Averages cover all."""

_OF_VALUE = ("business_value", "business_value_per_prediction")


def report_classes(state: Confusion, context: Context) -> Report:
    """Report the quality of a model that predicts one class.

    Args:
        state: the confusion matrix of the window.
        context: what the window is of.

    Returns:
        The section ``quality``; empty for other tasks.
    """
    if not context.task.is_classes:
        return Report()
    table, settings = class_table(state), context.quality
    ratios = (PRECISION, RECALL, F1, *(f_beta(beta) for beta in settings.betas))
    z = normal_deviate(settings.interval_level)
    quality, intervals = _of_all(table, ratios, z)
    reasons = _because(quality, "undefined")
    if context.task is Task.BINARY:
        positive = positive_class(table.names)
        found = dict.fromkeys(("specificity", *(one.name for one in ratios)))
        if positive is not None:
            place = table.names.index(positive)
            found |= _of_class(table, place, ratios)
            intervals |= _class_intervals(table, place, ratios, z)
        quality |= found
        without = "undefined" if positive is not None else without_positive(table.names)
        reasons |= _because(found, without)
    gains = settings.gains.get(context.model)
    if gains is not None:
        values, interval = business_value(state, gains, z) if table.total else (dict.fromkeys(_OF_VALUE), {})
        quality |= values
        intervals |= interval
    if not table.total:
        reasons = {**_because(quality, "no_labels"), "quality.intervals": "no_labels"}
    section, why = as_section(intervals)
    by_class, why_classes = per_class(table, ratios, settings, z)
    return Report({"quality": {**quality, "intervals": section, "per_class": by_class}}, reasons | why | why_classes)


def _of_all(
    table: ClassTable, ratios: tuple[ClassRatio, ...], z: float
) -> tuple[dict[str, Json], dict[str, Interval | None]]:
    """What is said of all classes together."""
    right = sum(table.hits)
    accuracy = right / table.total if table.total else None
    recalls = [(hits, rows) for hits, rows in zip(table.hits, table.support, strict=True) if rows]
    guesses = [(hits, rows) for hits, rows in zip(table.hits, table.predicted, strict=True) if rows]
    quality: dict[str, Json] = {"accuracy": accuracy, "balanced_accuracy": macro_average(class_values(RECALL, table))}
    intervals: dict[str, Interval | None] = {}
    if table.total:
        intervals["accuracy"] = intervals["recall_weighted"] = wilson_interval(right, table.total, z)
        intervals["balanced_accuracy"] = intervals["recall_macro"] = mean_interval(recalls, z)
        intervals["precision_macro"] = mean_interval(guesses, z)
    for ratio in ratios:
        values = class_values(ratio, table)
        macro, weighted = macro_average(values), weighted_average(values, table)
        quality |= {f"{ratio.name}_micro": accuracy, f"{ratio.name}_macro": macro, f"{ratio.name}_weighted": weighted}
        for name, value, gradient_of in (("macro", macro, macro_gradient), ("weighted", weighted, weighted_gradient)):
            if value is not None and f"{ratio.name}_{name}" not in intervals:
                error = standard_error(table, gradient_of(ratio, table))
                intervals[f"{ratio.name}_{name}"] = normal_interval(value, error, z, 0.0, 1.0)
    for name, agreement in (("mcc", matthews_correlation(table)), ("cohen_kappa", cohen_kappa(table))):
        quality[name] = agreement.value if agreement else None
        if agreement:
            error = standard_error(table, agreement.gradient)
            intervals[name] = normal_interval(agreement.value, error, z, -1.0, 1.0)
    return quality, intervals


def _of_class(table: ClassTable, place: int, ratios: tuple[ClassRatio, ...]) -> dict[str, float | None]:
    hits, predicted, support = table.hits[place], table.predicted[place], table.support[place]
    others = table.total - support
    found = {ratio.name: ratio.of(hits, predicted, support) for ratio in ratios}
    return {**found, "specificity": (others - predicted + hits) / others if others else None}


def _class_intervals(
    table: ClassTable, place: int, ratios: tuple[ClassRatio, ...], z: float
) -> dict[str, Interval | None]:
    hits, predicted, support = table.hits[place], table.predicted[place], table.support[place]
    others = table.total - support
    intervals: dict[str, Interval | None] = {}
    if predicted:
        intervals["precision"] = wilson_interval(hits, predicted, z)
    if support:
        intervals["recall"] = wilson_interval(hits, support, z)
    if predicted or support:
        intervals["f1"] = f1_interval(hits, predicted, support, z)
    if others:
        intervals["specificity"] = wilson_interval(others - predicted + hits, others, z)
    for ratio in ratios[3:]:
        value = ratio.of(hits, predicted, support)
        if value is not None:
            error = standard_error(table, class_gradient(ratio, table, place))
            intervals[ratio.name] = normal_interval(value, error, z, 0.0, 1.0)
    return intervals


def per_class(
    table: ClassTable, ratios: tuple[ClassRatio, ...], settings: QualitySettings, z: float
) -> tuple[dict[str, Json], dict[str, str]]:
    """The classes one by one, as ``quality.per_class`` has them.

    Args:
        table: the counts.
        ratios: precision, recall, F1 and maybe others.
        settings: whether each class has intervals.
        z: the normal deviate.

    Returns:
        Each class's numbers, and the reason of each null by its path.
    """
    section: dict[str, Json] = {}
    reasons: dict[str, str] = {}
    by_support = sorted(range(len(table.names)), key=lambda place: (-table.support[place], table.names[place]))
    for place in by_support[:MAX_CLASSES]:
        name, values = table.names[place], _of_class(table, place, ratios)
        section[name] = {**values, "support": table.support[place]}
        reasons |= _because(values, "undefined", f"quality.per_class.{name}")
        if settings.class_intervals:
            intervals, why = as_section(_class_intervals(table, place, ratios, z))
            section[name]["intervals"] = intervals
            reasons |= {path.replace("quality", f"quality.per_class.{name}", 1): code for path, code in why.items()}
    return section, reasons


def _because(values: Mapping[str, Json], code: str, within: str = "quality") -> dict[str, str]:
    return {f"{within}.{name}": code for name, value in values.items() if value is None}
