"""Quality of a multiclass model estimated without labels: confidence-based performance estimation.

A row predicted as a class with probability s of it is s of a true positive, and s more of a row of that class; what is
left, 1 - s, is rows of the other classes, shared out as the model's probabilities of these are (NannyML's CBPE for
several classes; Kivimäki et al. 2025, "Confidence-based Estimators for Predictive Performance in Model Monitoring"). s
is corrected where labelled rows of the version say that it must be, by the predicted class's probability against how
often it is right (``score_calibration.py``); the shares of the others stay as they are. Where no other class is listed,
what is left is of none.

Of the predictions P_c of a class, TP_c are expected to be right, and T_c rows of it among all n:

- ``accuracy`` the sum of TP_c / n,
- ``precision_macro`` the mean of TP_c / P_c over classes that were predicted,
- ``recall_macro`` the mean of TP_c / T_c over classes with an expected half row or more,
- ``f1_macro`` the mean of 2 TP_c / (P_c + T_c) over classes of either.

Averages leave out the classes that are too many to be counted apart.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.core.accumulate.confidences import Confidences
from pipeline.core.accumulate.delays import NO_CLASS
from pipeline.core.events import Float64s, Json
from pipeline.core.family import Report
from pipeline.core.kernels.confidences import CONFIDENCE_KEYS, HALF_OCTAVE, OF_OTHERS, OF_SURE, PLACES, UNIT
from pipeline.core.metrics.estimates import UNDEFINED
from pipeline.core.metrics.score_calibration import ScoreCalibration
from pipeline.core.metrics.scores import NO_SCORES

ESTIMATED = ("accuracy", "precision_macro", "recall_macro", "f1_macro")
LEAST_ROWS = 0.5
"""A class that is expected to have fewer rows has none, when rounded: labels would leave it out of averages."""


def report_class_estimates(
    state: Confidences, calibration: ScoreCalibration | None, event: Mapping[str, Json]
) -> Report:
    """Report what quality is expected.

    Args:
        state: the scored predictions of the window.
        calibration: what the probabilities of predicted classes mean; None while too few labelled rows are known.
        event: the window's ``quality``, and ``reasons`` for what is null there.

    Returns:
        The section ``estimated``, and in it ``error``, the estimates less what labels say of the same window.
    """
    if state.is_zero():
        return Report({"estimated": {}}, {"estimated": NO_SCORES})
    found = _estimates(state, calibration)
    reasons = {f"estimated.{name}": UNDEFINED for name, value in found.items() if value is None}
    errors: dict[str, Json] = {}
    for name, value in found.items():
        real = event["quality"][name]
        errors[name] = None if value is None or real is None else value - real
        if errors[name] is None:
            why = event["reasons"].get(f"quality.{name}") if real is None else UNDEFINED
            reasons[f"estimated.error.{name}"] = why or UNDEFINED
    method = calibration.method if calibration else "none"
    return Report({"estimated": {**found, "calibration": method, "error": errors}}, reasons)


def _estimates(state: Confidences, calibration: ScoreCalibration | None) -> dict[str, float | None]:
    names = sorted(state.classes)
    table = np.zeros((len(names), CONFIDENCE_KEYS))
    for place, name in enumerate(names):
        keys, counts = state.classes[name].arrays
        table[place, keys] = counts
    rows, units, others = table[:, :OF_SURE], table[:, OF_SURE:OF_OTHERS], table[:, OF_OTHERS:]
    sure = np.minimum(units / UNIT / np.maximum(rows, 1), 1.0)
    right = rows * (calibration.probabilities(sure) if calibration else sure)
    hits, predicted = _sums(right), [int(one) for one in rows.sum(axis=1)]
    # What rows of a place leave to the classes that they were not predicted as, a unit of these.
    starts = np.arange(0, PLACES, HALF_OCTAVE)
    left = np.array(_sums(np.add.reduceat((rows - right).T, starts, axis=0)))
    given = others.sum(axis=0)
    missed = _sums(others * np.divide(left, given, out=np.zeros_like(left), where=given > 0))
    expected = [own + rest for own, rest in zip(hits, missed, strict=True)]
    known = [place for place, name in enumerate(names) if name != NO_CLASS]
    ratios = [(hits[place], predicted[place], expected[place]) for place in known]
    return {
        "accuracy": math.fsum(hits) / sum(predicted),
        "precision_macro": _mean([hit / guesses for hit, guesses, _ in ratios if guesses]),
        "recall_macro": _mean([hit / truths for hit, _, truths in ratios if truths >= LEAST_ROWS]),
        "f1_macro": _mean(
            [2 * hit / (guesses + truths) for hit, guesses, truths in ratios if guesses or truths >= LEAST_ROWS]
        ),
    }


def _sums(table: Float64s) -> list[float]:
    """The sum of each row, the same in any order."""
    return [math.fsum(row) for row in table.tolist()]


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None
