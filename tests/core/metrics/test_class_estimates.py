"""Quality of multiclass models estimated without labels, beside plain loops and the labels themselves."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from pipeline.core.accumulate.class_scores import RIGHT, fold_class_scores
from pipeline.core.accumulate.confidences import MAX_CLASSES, Confidences, fold_confidences, halve_confidences
from pipeline.core.accumulate.confusion import fold_confusion
from pipeline.core.events import Cells, Float64s, Group, Int64s, Json, LabelChanges, Members, Predictions, Ragged, Task
from pipeline.core.family import Context
from pipeline.core.kernels.confidences import CONFIDENCE_KEYS
from pipeline.core.metrics.class_estimates import ESTIMATED, report_class_estimates
from pipeline.core.metrics.classes import report_classes
from pipeline.core.metrics.score_calibration import ScoreCalibration, fit_calibration
from pipeline.core.metrics.score_table import score_table

GROUP = Group("m", "1", Task.MULTICLASS)
NAMES = [f"class{number}" for number in range(5)]
CONTEXT = Context("m", "1", Task.MULTICLASS, "", 60_000, False, None, 0.2, 0.1)  # noqa: FBT003 - final
NO_LABELS: Json = {
    "quality": dict.fromkeys(ESTIMATED),
    "reasons": {f"quality.{name}": "no_labels" for name in ESTIMATED},
}


def cells(count: int) -> Cells:
    zeros = np.zeros(count, np.int32)
    return Cells(np.arange(count, dtype=np.int32), zeros, zeros[:1], [""], np.zeros(1, np.int64), [GROUP])


def ragged(rows: Float64s, lead: Int64s | None = None) -> Ragged:
    """All classes of each row; with the predicted one before them, as labels have it."""
    count, classes = rows.shape
    codes, weights = np.tile(np.arange(classes), (count, 1)), rows
    if lead is not None:
        codes, weights = np.column_stack((lead, codes)), np.column_stack((np.zeros(count), rows))
    return Ragged(np.arange(count + 1) * codes.shape[1], codes.ravel(), weights.ravel())


def fold(chances: Float64s, guess: Int64s | None = None) -> Confidences:
    """The state of rows, each class listed in all of them."""
    count = len(chances)
    return fold_lists(chances.argmax(axis=1) if guess is None else guess, ragged(chances), np.arange(count), count)


def fold_lists(guess: Int64s, lists: Ragged, rows: Int64s, count: int, names: Sequence[str] = NAMES) -> Confidences:
    zeros, times, missing = np.zeros(count, np.int32), np.zeros(count, np.int64), np.full(count, np.nan)
    predictions = Predictions(
        times, zeros, np.zeros((count, 2), np.uint64), times, zeros, guess, missing, missing, zeros, [GROUP], names,
        [()], members=Members(rows, lists),
    )  # fmt: skip
    return fold_confidences(predictions, cells(count), {}).get(0, Confidences())


def labelled(chances: Float64s, label: Int64s) -> tuple[Json, ScoreCalibration]:
    """What labels say of a window, and what they teach."""
    guess = chances.argmax(axis=1)
    kept = chances.astype(np.float32).astype(np.float64)
    changes = LabelChanges(guess, label, np.ones(len(label), np.int64), NAMES, guessed=ragged(kept, guess))
    classes = report_classes(fold_confusion(changes, cells(len(label)))[0], CONTEXT)
    sureness = fold_class_scores(changes, cells(len(label)))[0].sureness
    event = {"quality": classes.values["quality"], "reasons": classes.reasons}
    return event, fit_calibration(score_table(sureness, RIGHT), ["0", "1"], 0.95)


def estimated(state: Confidences, fit: ScoreCalibration | None = None, event: Json = NO_LABELS) -> Json:
    return report_class_estimates(state, fit, event).values["estimated"]


def by_hand(chances: Float64s, guess: Int64s, fit: ScoreCalibration | None = None) -> dict[str, float]:
    """Row by row: what is said of the predicted class, and the rest shared out among the others."""
    count, classes = chances.shape
    hits, expected, predicted = np.zeros(classes), np.zeros(classes), np.bincount(guess, minlength=classes)
    for row, own in zip(chances, guess.tolist(), strict=True):
        sure = float(fit.probabilities(row[own : own + 1])[0]) if fit else row[own]
        hits[own] += sure
        others = np.delete(np.arange(classes), own)
        expected[own] += sure
        expected[others] += (1 - sure) * row[others] / row[others].sum()
    used = predicted > 0
    f1 = 2 * hits / (predicted + expected)
    return {
        "accuracy": hits.sum() / count,
        "precision_macro": float((hits[used] / predicted[used]).mean()),
        "recall_macro": float((hits / expected).mean()),
        "f1_macro": float(f1.mean()),
    }


def made(
    seed: int, rows: int, *, power: float = 1.0, mix: Sequence[float] = (2, 1, 1, 0, -1)
) -> tuple[Float64s, Int64s]:
    """Probabilities of five classes, and labels; with a power above 1 the model is too sure of itself."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(mix, 1.5, (rows, len(NAMES)))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    label = (chances.cumsum(axis=1) < generator.random((rows, 1))).sum(axis=1)
    said = chances**power
    return said / said.sum(axis=1, keepdims=True), label.clip(0, len(NAMES) - 1)


@pytest.mark.parametrize("seed", range(3))
def test_probabilities_are_summed_up_as_they_are(seed: int) -> None:
    chances, _ = made(seed, 800)
    said = estimated(fold(chances))
    assert said["calibration"] == "none"
    for name, value in by_hand(chances, chances.argmax(axis=1)).items():
        assert said[name] == pytest.approx(value, abs=2**-20), name


def test_a_class_that_is_not_the_likeliest_may_be_predicted() -> None:
    chances, _ = made(4, 500)
    guess = np.random.default_rng(4).integers(0, 5, 500)
    said = estimated(fold(chances, guess))
    for name, value in by_hand(chances, guess).items():
        assert said[name] == pytest.approx(value, abs=1e-5), name


@pytest.mark.parametrize("power", [0.5, 2.5])
def test_corrected_estimates_are_those_of_each_row(power: float) -> None:
    _, fit = labelled(*made(5, 20_000, power=power))
    assert fit.method == "isotonic"
    chances, _ = made(6, 3_000, power=power)
    said = estimated(fold(chances), fit)
    # Bins are an eighth of an octave wide, and the others' by the half: a step of the fit may lie within.
    for name, value in by_hand(chances, chances.argmax(axis=1), fit).items():
        assert said[name] == pytest.approx(value, abs=0.003), name


def test_estimates_follow_what_labels_say_when_the_inputs_shift() -> None:
    past, fit = labelled(*made(7, 20_000, power=2.5))
    chances, label = made(8, 20_000, power=2.5, mix=(0.3, 0.2, 0.1, 0, 0))
    event, _ = labelled(chances, label)
    said, raw = estimated(fold(chances), fit, event), estimated(fold(chances), None, event)
    for name in ESTIMATED:
        assert said["error"][name] == said[name] - event["quality"][name]
        assert abs(said["error"][name]) < 0.03, name
    assert past["quality"]["accuracy"] - event["quality"]["accuracy"] > 2 * abs(said["error"]["accuracy"])
    assert abs(raw["error"]["accuracy"]) > 0.1  # what the correction is for


def test_of_some_classes_alone_the_rest_is_theirs() -> None:
    chances, _ = made(9, 300)
    guess, listed = chances.argmax(axis=1), np.argsort(-chances, axis=1)[:, :2]
    weights = np.take_along_axis(chances, listed, axis=1)
    lists = Ragged(np.arange(301) * 2, listed.ravel(), weights.ravel())
    whole = np.zeros_like(chances)
    np.put_along_axis(whole, listed, np.column_stack((weights[:, 0], 1 - weights[:, 0])), axis=1)
    said = estimated(fold_lists(guess, lists, np.arange(300), 300))
    for name, value in by_hand(whole, guess).items():
        assert said[name] == pytest.approx(value, abs=0.02), name


def test_rows_without_their_class_are_in_no_number() -> None:
    chances, _ = made(1, 40)
    lists = ragged(np.vstack((chances, chances[:5])))
    cut = Ragged(lists.starts, np.where(np.arange(225) < 200, lists.codes, 1), lists.weights)
    guess = np.concatenate((chances.argmax(axis=1), np.full(8, 3)))
    state = fold_lists(guess, cut, np.arange(45), 48)
    assert state.to_wire() == fold(chances).to_wire()


def test_a_class_takes_a_bounded_number_of_counts() -> None:
    generator = np.random.default_rng(3)
    state = fold(generator.dirichlet(np.full(5, 0.2), 20_000))
    assert max(len(counted.arrays[0]) for counted in state.classes.values()) <= CONFIDENCE_KEYS < 200


def test_classes_that_are_too_many_are_counted_together_whatever_the_order() -> None:
    generator = np.random.default_rng(2)
    listed = np.array([generator.choice(1_500, 40, replace=False) for _ in range(200)])
    weights = generator.dirichlet(np.full(40, 0.3), 200)
    guess = np.take_along_axis(listed, weights.argmax(axis=1)[:, None], axis=1)[:, 0]
    names = [f"c{number}" for number in generator.permutation(1_500)]

    def part(start: int, end: int) -> Confidences:
        lists = Ragged(np.arange(end - start + 1) * 40, listed[start:end].ravel(), weights[start:end].ravel())
        return fold_lists(guess[start:end], lists, np.arange(end - start), end - start, names)

    whole = part(0, 200)
    assert len(whole.classes) == MAX_CLASSES + 1
    parts = (0, 50), (50, 120), (120, 200)
    for order in (parts, parts[::-1]):
        merged = Confidences()
        for start, end in order:
            merged.merge(part(start, end))
        assert merged.to_wire() == whole.to_wire()
    said = estimated(whole)
    assert said["accuracy"] == pytest.approx(weights.max(axis=1).mean(), abs=2**-20)
    kept = np.isin(guess, [place for place, name in enumerate(names) if name in whole.classes])
    by_class = [weights.max(axis=1)[guess == name].mean() for name in np.unique(guess[kept])]
    assert said["precision_macro"] == pytest.approx(np.mean(by_class), abs=2**-20)


def test_halves_merge_to_the_whole() -> None:
    wire = fold(made(3, 400)[0]).to_wire()
    halves = halve_confidences(wire)
    assert halves is not None
    for order in (halves, halves[::-1]):
        first, second = map(Confidences.from_wire, order)
        first.merge(second)
        assert first.to_wire() == wire
    assert halve_confidences(wire[:2]) is None


# --- nothing to say --------------------------------------------------------------------------------------------------


def test_without_scores_there_is_no_estimate() -> None:
    report = report_class_estimates(Confidences(), None, NO_LABELS)
    assert report.values == {"estimated": {}}
    assert report.reasons == {"estimated": "no_scores"}


def test_without_labels_there_is_no_error() -> None:
    report = report_class_estimates(fold(made(1, 50)[0]), None, NO_LABELS)
    assert set(report.values["estimated"]["error"].values()) == {None}
    assert report.reasons == {f"estimated.error.{name}": "no_labels" for name in ESTIMATED}


def test_classes_that_no_row_is_expected_of_have_no_recall() -> None:
    report = report_class_estimates(fold(np.array([[0.4, 0.3, 0.3, 0, 0]])), None, NO_LABELS)
    found = report.values["estimated"]
    assert (found["recall_macro"], report.reasons["estimated.recall_macro"]) == (None, "undefined")
    assert found["accuracy"] == found["precision_macro"] == pytest.approx(0.4, abs=1e-6)
    assert found["f1_macro"] == pytest.approx(0.8 / 1.4, abs=1e-6)


def test_a_model_that_is_all_sure_has_nothing_to_share_out() -> None:
    certain = fold(np.eye(5)[[0, 1, 1]])
    assert {name: estimated(certain)[name] for name in ESTIMATED} == dict.fromkeys(ESTIMATED, 1.0)
    doubted = estimated(certain, ScoreCalibration("isotonic", (0.0, 1.0), (0.0, 0.75), ["0", "1"]))
    assert doubted["accuracy"] == 0.75
    assert doubted["recall_macro"] == 1.0  # what else the rows may be, nothing says
    assert all(math.isfinite(doubted[name]) for name in ESTIMATED)
