"""Quality estimated without labels, beside plain loops, scikit-learn's isotonic fit and the labels themselves."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from pipeline.core.accumulate.confusion import fold_confusion
from pipeline.core.accumulate.predicted_scores import PredictedScores, fold_predicted_scores, halve_predicted_scores
from pipeline.core.accumulate.score_bins import MIDDLE_ERROR
from pipeline.core.accumulate.scores import fold_scores
from pipeline.core.events import Cells, Float64s, Group, Int64s, Json, LabelChanges, Predictions, Task
from pipeline.core.family import Context
from pipeline.core.metrics.classes import report_classes
from pipeline.core.metrics.estimates import ESTIMATED, report_estimates
from pipeline.core.metrics.score_calibration import ScoreCalibration, fit_calibration
from pipeline.core.metrics.score_table import score_table
from pipeline.core.metrics.scores import report_scores

GROUP = Group("m", "1", Task.BINARY)
NAMES = ["0", "1"]
CONTEXT = Context("m", "1", Task.BINARY, "", 60_000, False, None, 0.2, 0.1)  # noqa: FBT003 - final
NO_LABELS: Json = {
    "quality": dict.fromkeys(ESTIMATED),
    "reasons": {f"quality.{name}": "no_labels" for name in ESTIMATED},
}


def cells(count: int) -> Cells:
    zeros = np.zeros(count, np.int32)
    return Cells(np.arange(count, dtype=np.int32), zeros, zeros[:1], [""], np.zeros(1, np.int64), [GROUP])


def fold(score: Float64s, guess: Int64s, names: Sequence[str] = NAMES) -> PredictedScores:
    count = len(score)
    zeros, times = np.zeros(count, np.int32), np.zeros(count, np.int64)
    rows = Predictions(
        times, zeros, np.zeros((count, 2), np.uint64), times, zeros, guess, score, score, zeros, [GROUP], names, [()]
    )
    return fold_predicted_scores(rows, cells(count), {}).get(0, PredictedScores())


def labelled(score: Float64s, label: Int64s, guess: Int64s) -> tuple[Json, ScoreCalibration]:
    """What labels say of a window, and what they teach."""
    kept = score.astype(np.float32).astype(np.float64)
    changes = LabelChanges(guess, label, np.ones(len(label), np.int64), NAMES, score=kept)
    where = cells(len(label))
    state = fold_scores(changes, where)[0]
    classes = report_classes(fold_confusion(changes, where)[0], CONTEXT)
    scores = report_scores(state, CONTEXT)
    event = {
        "quality": {**classes.values["quality"], **scores.values["quality"]},
        "reasons": {**classes.reasons, **scores.reasons},
    }
    return event, fit_calibration(score_table(state, "1"), NAMES, 0.95)


def estimated(score: Float64s, guess: Int64s, fit: ScoreCalibration | None = None, event: Json = NO_LABELS) -> Json:
    return report_estimates(fold(score, guess), fit, (), event).values["estimated"]


def by_hand(chance: Float64s, guess: Int64s) -> dict[str, float]:
    """The expected counts row by row, and every pair of rows."""
    tp, fp = math.fsum(chance[guess == 1]), math.fsum(1 - chance[guess == 1])
    fn, tn = math.fsum(chance[guess == 0]), math.fsum(1 - chance[guess == 0])
    above = (chance[:, None] > chance) + 0.5 * (chance[:, None] == chance)
    pairs = chance[:, None] * (1 - chance)
    return {
        "accuracy": (tp + tn) / len(guess),
        "precision": tp / (tp + fp),
        "recall": tp / (tp + fn),
        "f1": 2 * tp / (2 * tp + fp + fn),
        "specificity": tn / (tn + fp),
        "roc_auc": float((above * pairs).sum() / pairs.sum()),
    }


def made(seed: int, rows: int, *, power: float = 1.0) -> tuple[Float64s, Int64s, Int64s]:
    """Scores, labels and guesses; the scores are probabilities raised to a power."""
    generator = np.random.default_rng(seed)
    chance = 1 / (1 + np.exp(-generator.normal(-0.5, 2, rows)))
    score = chance**power
    return score, (generator.random(rows) < chance).astype(np.int64), (score > 0.5).astype(np.int64)


@pytest.mark.parametrize("seed", range(3))
def test_expected_counts_make_the_metrics(seed: int) -> None:
    score, _, guess = made(seed, 800)
    said = estimated(score, guess)
    assert said["calibration"] == "none"
    for name, value in by_hand(score, guess).items():
        assert said[name] == pytest.approx(value, abs=2 * MIDDLE_ERROR), name


def test_scores_in_thousandths_are_exact() -> None:
    score = np.random.default_rng(1).integers(0, 1001, 500) / 1000
    guess = (score > 0.4).astype(np.int64)
    said = estimated(score, guess)
    for name, value in by_hand(score.astype(np.float32).astype(np.float64), guess).items():
        assert said[name] == pytest.approx(value, rel=1e-12), name


def test_probabilities_are_left_alone() -> None:
    assert labelled(*made(5, 20_000))[1].method == "identity"


@pytest.mark.parametrize("power", [0.4, 3.0])
def test_other_scores_are_corrected_as_scikit_learn_does(power: float) -> None:
    score, label, guess = made(6, 5_000, power=power)
    _, fit = labelled(score, label, guess)
    assert fit.method == "isotonic"
    assert list(fit.rates) == sorted(fit.rates)
    kept = score.astype(np.float32).astype(np.float64)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(kept, label).predict(kept)
    # Rows that share a fine bin are one to our fit: it may move a step by their width.
    assert np.abs(fit.probabilities(kept) - theirs).mean() < 0.002


def test_an_estimate_is_near_what_labels_say_and_the_error_is_the_difference() -> None:
    _, fit = labelled(*made(7, 20_000, power=3.0))
    score, label, guess = made(8, 20_000, power=3.0)
    event, _ = labelled(score, label, guess)
    said = estimated(score, guess, fit, event)
    raw = estimated(score, guess, None, event)
    for name in ESTIMATED:
        assert said["error"][name] == said[name] - event["quality"][name]
        assert abs(said["error"][name]) < 0.02, name
    assert abs(raw["error"]["recall"]) > 0.2  # what the correction is for


def test_a_fit_of_many_rows_is_scikit_learns_function() -> None:
    score = np.repeat(np.arange(0, 1001, 10) / 1000, 30)
    label = (np.random.default_rng(2).random(len(score)) < score**2).astype(np.int64)
    _, fit = labelled(score, label, label)
    kept = score.astype(np.float32).astype(np.float64)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(kept, label)
    between = np.linspace(0, 1, 997)
    np.testing.assert_allclose(fit.probabilities(between), theirs.predict(between), atol=1e-12)


def test_corrected_estimates_are_nannymls() -> None:
    """What NannyML 0.13.1's CBPE said of the same rows, in one chunk."""
    theirs = {
        "accuracy": 0.7164180343274729,
        "precision": 0.9019604093872937,
        "recall": 0.37648564649292193,
        "f1": 0.5312310930560099,
        "specificity": 0.9695293665909913,
        "roc_auc": 0.8613760613608323,
    }
    score, _, guess = made(8, 20_000, power=3.0)
    said = estimated(score, guess, labelled(*made(7, 20_000, power=3.0))[1])
    for name, value in theirs.items():
        assert said[name] == pytest.approx(value, abs=1e-4), name


# --- nothing to say --------------------------------------------------------------------------------------------------


def test_without_scores_there_is_no_estimate() -> None:
    report = report_estimates(fold(np.full(3, np.nan), np.zeros(3, np.int64)), None, (), NO_LABELS)
    assert report.values == {"estimated": {}}
    assert report.reasons == {"estimated": "no_scores"}


def test_without_labels_there_is_no_error() -> None:
    score, _, guess = made(1, 50)
    report = report_estimates(fold(score, guess), None, (), NO_LABELS)
    assert set(report.values["estimated"]["error"].values()) == {None}
    assert report.reasons == {f"estimated.error.{name}": "no_labels" for name in ESTIMATED}


def test_without_a_positive_class_all_is_null() -> None:
    report = report_estimates(fold(np.array([0.2, 0.3]), np.zeros(2, np.int64)), None, (), NO_LABELS)
    assert report.reasons["estimated.accuracy"] == "unknown_positive_class"
    taught = ScoreCalibration("identity", (), (), NAMES)
    report = report_estimates(fold(np.array([0.2, 0.3]), np.zeros(2, np.int64)), taught, (), NO_LABELS)
    assert report.values["estimated"]["accuracy"] == pytest.approx(0.75)
    assert (report.values["estimated"]["precision"], report.reasons["estimated.precision"]) == (None, "undefined")
    report = report_estimates(fold(np.array([0.2]), np.array([0]), ["a"]), None, ("b", "c"), NO_LABELS)
    assert report.reasons["estimated.accuracy"] == "too_many_classes"


def test_halves_merge_to_the_whole() -> None:
    score, _, guess = made(3, 400)
    wire = fold(score, guess).to_wire()
    halves = halve_predicted_scores(wire)
    assert halves is not None
    first, second = map(PredictedScores.from_wire, halves)
    first.merge(second)
    assert first.to_wire() == wire
    assert halve_predicted_scores(fold(score[:1], guess[:1]).to_wire()) is None
