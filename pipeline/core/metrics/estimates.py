"""Quality of a binary model estimated without labels: confidence-based performance estimation.

A row with probability p of the positive class is p of a true positive where that class was predicted, and 1 - p of a
false one, and so on: the expected counts make the metrics (NannyML's CBPE; Kivimäki et al. 2025, "Confidence-based
Estimators for Predictive Performance in Model Monitoring"). p is the score, corrected where the first labelled rows of
the version say that it must be (``score_calibration.py``). The estimate holds while the inputs alone change; where what
they mean for the label changes it is wrong, which ``estimated.error`` shows when labels are in.

``roc_auc`` is that of rows each of which is p of a positive and 1 - p of a negative one.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.core.accumulate.predicted_scores import PredictedScores
from pipeline.core.accumulate.score_bins import middle_scores
from pipeline.core.events import Float64s, Json
from pipeline.core.family import Report
from pipeline.core.kernels.scores import weighted_sum
from pipeline.core.metrics.positive_class import positive_class, without_positive
from pipeline.core.metrics.score_calibration import ScoreCalibration
from pipeline.core.metrics.scores import NO_SCORES

ESTIMATED = ("accuracy", "precision", "recall", "f1", "specificity", "roc_auc")
UNDEFINED = "undefined"


def report_estimates(
    state: PredictedScores, calibration: ScoreCalibration | None, names: Sequence[str], event: Mapping[str, Json]
) -> Report:
    """Report what quality is expected.

    Args:
        state: the scored predictions of the window.
        calibration: what scores mean; None while too few labelled rows are known.
        names: the classes that labels of the window have.
        event: its ``quality``, and ``reasons`` for what is null there.

    Returns:
        The section ``estimated``, and in it ``error``, the estimates less what labels say of the same window.
    """
    if state.is_zero():
        return Report({"estimated": {}}, {"estimated": NO_SCORES})
    known = sorted({*state.classes, *names, *(calibration.names if calibration else ())})
    positive = positive_class(known)
    found: dict[str, float | None] = dict.fromkeys(ESTIMATED)
    code = UNDEFINED
    if positive is None:
        code = without_positive(known)
    else:
        found |= _estimates(state, positive, calibration)
    reasons = {f"estimated.{name}": code for name, value in found.items() if value is None}
    errors: dict[str, Json] = {}
    for name, value in found.items():
        real = event["quality"][name]
        errors[name] = None if value is None or real is None else value - real
        if errors[name] is None:
            why = event["reasons"].get(f"quality.{name}") if real is None else code
            reasons[f"estimated.error.{name}"] = why or code
    method = calibration.method if calibration else "none"
    return Report({"estimated": {**found, "calibration": method, "error": errors}}, reasons)


def _estimates(state: PredictedScores, positive: str, calibration: ScoreCalibration | None) -> dict[str, float | None]:
    of_class = {name: counted.arrays for name, counted in state.classes.items()}
    keys = np.unique(np.concatenate([keys for keys, _ in of_class.values()]))
    rows = np.zeros((2, len(keys)))
    for name, (own, counts) in of_class.items():
        rows[int(name == positive), np.searchsorted(keys, own)] += counts
    middle = middle_scores(keys)
    chance = calibration.probabilities(middle) if calibration else middle
    (fn, tp), (tn, fp) = ([weighted_sum(side, one) for side in rows] for one in (chance, 1 - chance))
    return {
        "accuracy": (tp + tn) / (tp + fp + fn + tn),
        "precision": _share(tp, fp),
        "recall": _share(tp, fn),
        "f1": _share(2 * tp, fp + fn),
        "specificity": _share(tn, fp),
        "roc_auc": _roc_auc(rows[0] + rows[1], chance, tp + fn, fp + tn),
    }


def _share(part: float, rest: float) -> float | None:
    return part / (part + rest) if part + rest > 0 else None


def _roc_auc(rows: Float64s, chance: Float64s, positives: float, negatives: float) -> float | None:
    negative = rows * (1 - chance)
    ordered = weighted_sum(rows * chance, np.cumsum(negative) - negative / 2)
    pairs = positives * negatives
    return min(ordered / pairs, 1.0) if pairs > 0 else None
