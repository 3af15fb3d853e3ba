"""Every number of a multiclass model's scores against scikit-learn and plain loops, in shards and taken back."""

import math
import random
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import log_loss, top_k_accuracy_score

from pipeline.core.accumulate.class_scores import ClassScores, fold_class_scores, halve_class_scores
from pipeline.core.events import Cells, Group, LabelChanges, Ragged, Task
from pipeline.core.family import Context, Report
from pipeline.core.metrics.class_scores import report_class_scores

NAMES = [f"class{number}" for number in range(8)]
Rows = Sequence[tuple[int, Mapping[int, float], int]]
"""Predicted class, probabilities, true class."""


def folded(rows: Rows, sign: int = 1, order: Sequence[int] = range(8)) -> ClassScores:
    """The state of rows; ``order`` numbers the classes, as partitions do in any way."""
    count = len(rows)
    zeros, signs = np.zeros(count, np.int32), np.full(count, sign, np.int64)
    lists = [
        [(order[guess], 0.0), *sorted((order[name], one) for name, one in scores.items())] if scores else []
        for guess, scores, _ in rows
    ]
    flat = [member for one in lists for member in one]
    guessed = Ragged(
        np.cumsum([0, *map(len, lists)]),
        np.array([code for code, _ in flat], np.int64),
        np.array([score for _, score in flat], np.float64),
    )
    names = [NAMES[order.index(code)] for code in range(8)]
    guess = np.array([order[one] for one, _, _ in rows], np.int64)
    label = np.array([order[one] for _, _, one in rows], np.int64)
    changes = LabelChanges(guess, label, signs, names, guessed=guessed)
    group = Group("m", "1", Task.MULTICLASS)
    cells = Cells(np.arange(count, dtype=np.int32), zeros, zeros[:1], [""], np.zeros(1, np.int64), [group])
    return fold_class_scores(changes, cells).get(0, ClassScores())


def report(state: ClassScores) -> Report:
    context = Context("m", "1", Task.MULTICLASS, "", 60_000, False, None, 0.2, 0.1)  # noqa: FBT003 - final
    return report_class_scores(state, context)


def drawn(rng: random.Random, count: int) -> Rows:
    rows = []
    for _ in range(count):
        weights = [rng.random() ** 3 for _ in NAMES]
        scores = {place: weight / sum(weights) for place, weight in enumerate(weights)}
        guess = max(scores, key=scores.__getitem__)
        truth = rng.choices(range(8), weights)[0]
        rows.append((guess, scores, truth))
    return rows


@pytest.mark.parametrize("seed", range(4))
def test_every_number_is_that_of_scikit_learn_in_any_shards(seed: int) -> None:
    rng = random.Random(seed)
    rows, extra = drawn(rng, 300), drawn(rng, 20)
    orders = [rng.sample(range(8), 8) for _ in range(4)]
    state = folded(extra, order=orders[3])
    for order, (low, high) in zip(orders, ((150, 300), (0, 40), (40, 150)), strict=False):
        state.merge(ClassScores.from_wire(folded(rows[low:high], order=order).to_wire()))
    state.merge(folded(extra, sign=-1))
    assert state.to_wire() == folded(rows).to_wire()
    quality = report(state).values["quality"]
    matrix, truth = (
        np.array([[scores[name] for name in range(8)] for _, scores, _ in rows]),
        [one for _, _, one in rows],
    )
    assert quality["log_loss"] == pytest.approx(log_loss(truth, matrix, labels=range(8)), rel=1e-12)
    for k in (3, 5):
        assert quality[f"top_k_accuracy_{k}"] == top_k_accuracy_score(truth, matrix, k=k, labels=range(8))
    squares = ((matrix - np.eye(8)[truth]) ** 2).sum(axis=1)
    assert quality["brier"] == pytest.approx(squares.mean(), rel=1e-12)
    sure, right = matrix.max(axis=1).astype(np.float32).astype(float), matrix.argmax(axis=1) == truth
    place = np.ceil(sure * 10).astype(int)
    gaps = [abs(sure[place == one].sum() - right[place == one].sum()) for one in set(place.tolist())]
    assert quality["ece"] == pytest.approx(sum(gaps) / 300, abs=1e-9)
    assert sum(one["count"] for one in quality["calibration"]) == 300


def plainly(guess: int, scores: Mapping[int, float], truth: int) -> tuple[float, float, int]:
    chance = scores.get(truth, 0.0)
    others = [score for name, score in scores.items() if name != truth]
    brier = (1 - Fraction(chance)) ** 2 + sum(Fraction(score) ** 2 for score in others)
    return -math.log(min(max(chance, 2.0**-23), 1 - 2.0**-23)), float(brier), 1 + sum(one >= chance for one in others)


@pytest.mark.parametrize(
    ("guess", "scores", "truth"),
    [
        (0, {0: 1.0}, 0),
        (0, {0: 1.0}, 1),
        (1, {0: 0.5, 1: 0.5}, 1),
        (1, {0: 0.25, 1: 0.25, 2: 0.25, 3: 0.25}, 3),
        (2, {0: 0.3}, 2),
        (0, {0: 1e-300, 1: 1.0 - 2**-53}, 0),
        (0, dict.fromkeys(range(8), 1.0), 5),
    ],
)
def test_odd_rows_are_what_their_definitions_say(guess: int, scores: dict[int, float], truth: int) -> None:
    loss, brier, rank = plainly(guess, scores, truth)
    found = report(folded([(guess, scores, truth)]))
    quality = found.values["quality"]
    assert quality["log_loss"] == pytest.approx(loss, rel=1e-13)
    assert quality["brier"] == pytest.approx(brier, rel=1e-13)
    assert [quality["top_k_accuracy_3"], quality["top_k_accuracy_5"]] == [float(rank <= 3), float(rank <= 5)]
    assert (quality["ece"] is None) == (guess not in scores)
    assert (found.reasons.get("quality.ece") == "no_scores") == (guess not in scores)


def test_rows_without_scores_are_in_no_number() -> None:
    rows = drawn(random.Random(2), 30)
    assert folded([*rows, (1, {}, 1), (2, {}, 3)]).to_wire() == folded(rows).to_wire()
    nothing = report(folded([(1, {}, 1)]))
    assert nothing.values["quality"]["log_loss"] is None
    assert set(nothing.reasons.values()) == {"no_scores"}


def test_intervals_hold_as_often_as_they_say() -> None:
    rng = random.Random(5)
    rows = drawn(rng, 5_000)
    whole = report(folded(rows)).values["quality"]
    held = dict.fromkeys(("log_loss", "brier", "top_k_accuracy_3"), 0)
    for _ in range(150):
        quality = report(folded([rows[rng.randrange(5_000)] for _ in range(200)])).values["quality"]
        for name in held:
            interval: Any = quality["intervals"][name]
            held[name] += interval["low"] <= whole[name] <= interval["high"]
    assert all(0.88 < count / 150 < 1 for count in held.values())


def test_halves_merge_to_the_whole() -> None:
    whole = folded(drawn(random.Random(1), 50)).to_wire()
    halves = halve_class_scores(whole)
    assert halves is not None
    for order in (halves, halves[::-1]):
        first, second = map(ClassScores.from_wire, order)
        first.merge(second)
        assert first.to_wire() == whole
    assert halve_class_scores(folded([(0, {0: 1.0}, 0)]).to_wire()) is None
