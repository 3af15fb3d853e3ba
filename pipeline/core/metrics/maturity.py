"""How far the labels of a window have come, by what past windows of the same kind knew at the same age.

A window is looked at when labels have been read up to some moment; its *age* is that moment less the window's end, and
a prediction of time P is then ``age + end - P`` old. Predictions are taken to be spread evenly over their window: of
the labels that take a delay d, the share ``min(max((age + size - d) / size, 0), 1)`` has come by then. Its mean over
the delays in the past windows' sketches is the share of all labels that has come at this age.

- ``expected_label_coverage``: the labels of past windows that had come at this age, over their predictions. A window
  whose ``label_coverage`` is far below it misses labels that should be there.
- ``label_maturity``: the labels of past windows that had come at this age, over all that came; 1 for a final window.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.core.accumulate.delays import NO_CLASS, VALUES_MS, add_all, count_labels
from pipeline.core.accumulate.past_labels import PastLabels
from pipeline.core.events import Int64s, Json

MIN_LABELS = 30
"""Fewer labels than this, of past windows or of one class in them, are no ground to say how labels come."""

NO_HISTORY = "no_history"
"""The reason while too few labels of past windows are known."""


@dataclass(frozen=True, slots=True)
class MaturitySettings:
    """What past windows are asked.

    Attributes:
        windows: how many past windows of a kind speak.
        min_share: below this share of any class's labels, above 0, nothing is corrected.
        interval_level: the confidence of the corrected metrics' intervals.
    """

    windows: int
    min_share: float
    interval_level: float


@dataclass(frozen=True, slots=True)
class Age:
    """When a window is looked at.

    Attributes:
        age_ms: how long after the window's end labels have been read to; below 0 where labels lag behind predictions.
        size_ms: the window's length.
        final: whether all labels have come.
    """

    age_ms: int
    size_ms: int
    final: bool

    def share_come(self, sketch: Int64s) -> float:
        """The share of labels that has come.

        Args:
            sketch: int64[b, 2], past delays as in ``Delays``, not empty.

        Returns:
            From 0 to 1.
        """
        if self.final:
            return 1.0
        come = np.clip((self.age_ms + self.size_ms - VALUES_MS[sketch[:, 0]]) / self.size_ms, 0.0, 1.0)
        return math.fsum((come * sketch[:, 1]).tolist()) / count_labels(sketch)


def report_maturity(past: PastLabels, age: Age) -> tuple[dict[str, Json], dict[str, str]]:
    """Say how far the labels of a window have come.

    Args:
        past: final windows of the same kind.
        age: when the window is looked at.

    Returns:
        ``expected_label_coverage`` and ``label_maturity``, and the reasons of what is null.
    """
    sketch = past.delays.of_all()
    labels = count_labels(sketch)
    coverage = maturity = None
    if labels >= MIN_LABELS:
        maturity = age.share_come(sketch)
        coverage = maturity * labels / past.predictions
    values: dict[str, Json] = {"expected_label_coverage": coverage, "label_maturity": 1.0 if age.final else maturity}
    return values, {name: NO_HISTORY for name, value in values.items() if value is None}


@dataclass(frozen=True, slots=True)
class ClassShares:
    """The share of each true class's labels that has come.

    Attributes:
        by_class: the classes with enough past labels of their own.
        rest: all others.
    """

    by_class: Mapping[str, float]
    rest: float

    def of(self, name: str) -> float:
        """The share of a class.

        Args:
            name: the class.

        Returns:
            From 0 to 1.
        """
        return self.by_class.get(name, self.rest)

    @property
    def least(self) -> float:
        """The least share of any class."""
        return min((*self.by_class.values(), self.rest))


ALL_COME = ClassShares({}, 1.0)
"""The shares of a final window."""


def class_shares(past: PastLabels, age: Age) -> ClassShares | None:
    """The share of each true class's labels that has come.

    Classes with fewer than ``MIN_LABELS`` past labels share one estimate; where they have fewer together, that of all.

    Args:
        past: final windows of the same kind.
        age: when the window is looked at.

    Returns:
        The shares; None while too few labels of past windows are known.
    """
    if age.final:
        return ALL_COME
    labels = {name: count_labels(sketch) for name, sketch in past.delays.sketches.items()}
    if sum(labels.values()) < MIN_LABELS:
        return None
    own = [name for name, count in sorted(labels.items()) if count >= MIN_LABELS and name != NO_CLASS]
    others = add_all(past.delays.sketches[name] for name in labels if name not in own)
    if count_labels(others) < MIN_LABELS:
        others = past.delays.of_all()
    return ClassShares({name: age.share_come(past.delays.sketches[name]) for name in own}, age.share_come(others))
