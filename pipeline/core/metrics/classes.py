"""Quality of class predictions: accuracy; precision, recall and F1 by class, macro and weighted.

An undefined ratio (the precision of a class never predicted, the recall of one never true) is None, and the averages
run over the classes where the ratio is defined, as scikit-learn computes them with ``zero_division=nan``. A weighted
average whose classes all have no support is None too (scikit-learn drops the weights there).
"""

import math
from collections import Counter
from dataclasses import dataclass

from pipeline.core.accumulate.confusion import Confusion
from pipeline.core.events import Json, Task
from pipeline.core.family import Context, Report

MAX_CLASSES = 100
"""The most classes in ``per_class``: those with the greatest support (ties: the lesser name). Averages cover all."""

POSITIVE = "1"
"""The positive class of a binary model where it is among the classes; else the greater of the two names."""

_RATIOS = ("precision", "recall", "f1")


@dataclass(frozen=True, slots=True)
class _Class:
    hits: int
    predicted: int
    support: int

    def ratios(self) -> dict[str, float | None]:
        both = self.predicted + self.support
        return {
            "precision": self.hits / self.predicted if self.predicted else None,
            "recall": self.hits / self.support if self.support else None,
            "f1": 2 * self.hits / both if both else None,
        }


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
    classes = _by_class(state)
    quality: dict[str, Json] = _averages(classes)
    reasons = dict.fromkeys((f"quality.{name}" for name, value in quality.items() if value is None), "undefined")
    if context.task is Task.BINARY:
        positive = _positive(classes)
        quality.update(dict.fromkeys(_RATIOS) if positive is None else classes[positive].ratios())
        without = "undefined" if positive else "unknown_positive_class" if len(classes) < 2 else "too_many_classes"
        reasons.update({f"quality.{name}": without for name in _RATIOS if quality[name] is None})
    if not classes:
        reasons = {f"quality.{name}": "no_labels" for name in quality}
    shown = sorted(classes, key=lambda name: (-classes[name].support, name))[:MAX_CLASSES]
    quality["per_class"] = {name: {**classes[name].ratios(), "support": classes[name].support} for name in shown}
    for name in shown:
        for ratio, value in classes[name].ratios().items():
            if value is None:
                reasons[f"quality.per_class.{name}.{ratio}"] = "undefined"
    return Report({"quality": quality}, reasons)


def _by_class(state: Confusion) -> dict[str, _Class]:
    hits: Counter[str] = Counter()
    predicted: Counter[str] = Counter()
    support: Counter[str] = Counter()
    for (guess, truth), count in state.counts.items():
        predicted[guess] += count
        support[truth] += count
        if guess == truth:
            hits[truth] += count
    return {name: _Class(hits[name], predicted[name], support[name]) for name in sorted({*predicted, *support})}


def _averages(classes: dict[str, _Class]) -> dict[str, float | None]:
    total = sum(one.support for one in classes.values())
    averages = {"accuracy": sum(one.hits for one in classes.values()) / total if total else None}
    ratios = [(one.ratios(), one.support) for one in classes.values()]
    for name in _RATIOS:
        defined = [(value, support) for by_name, support in ratios if (value := by_name[name]) is not None]
        weight = sum(support for _, support in defined)
        macro = math.fsum(value for value, _ in defined)
        weighted = math.fsum(value * support for value, support in defined)
        averages[f"{name}_macro"] = macro / len(defined) if defined else None
        averages[f"{name}_weighted"] = weighted / weight if weight else None
    return averages


def _positive(classes: dict[str, _Class]) -> str | None:
    """The positive class; None while one name alone cannot tell, or when there are more than two."""
    if POSITIVE in classes:
        return POSITIVE
    return max(classes) if len(classes) == 2 else None
