"""Every number of set predictions against scikit-learn, also in shards and taken back; intervals by simulation."""

import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import (
    f1_score,
    hamming_loss,
    jaccard_score,
    precision_score,
    recall_score,
)
from sklearn.preprocessing import MultiLabelBinarizer

from pipeline.core.accumulate.multilabel import Multilabel, fold_multilabel, halve_multilabel
from pipeline.core.events import Cells, Group, LabelChanges, Ragged, Task
from pipeline.core.family import Context, Report
from pipeline.core.metrics.multilabel import report_multilabel

NAMES = [f"label{number}" for number in range(12)]
Sets = Sequence[frozenset[int]]


def ragged(sets: Sets) -> Ragged:
    flat = np.array([label for one in sets for label in sorted(one)], np.int64)
    return Ragged(np.cumsum([0, *map(len, sets)]), flat, np.ones(len(flat)))


def folded(guess: Sets, truth: Sets, sign: int = 1) -> Multilabel:
    count = len(guess)
    zeros, signs = np.zeros(count, np.int32), np.full(count, sign, np.int64)
    changes = LabelChanges(signs, signs, signs, NAMES, guessed=ragged(guess), stated=ragged(truth))
    group = Group("m", "1", Task.MULTILABEL)
    cells = Cells(np.arange(count, dtype=np.int32), zeros, zeros[:1], [""], np.zeros(1, np.int64), [group])
    return fold_multilabel(changes, cells).get(0, Multilabel())


def report(state: Multilabel) -> Report:
    context = Context("m", "1", Task.MULTILABEL, "", 60_000, False, None, 0.2, 0.1)  # noqa: FBT003 - final
    return report_multilabel(state, context)


def drawn(rng: random.Random, rows: int, labels: int, most: int) -> tuple[Sets, Sets]:
    def one() -> frozenset[int]:
        return frozenset(rng.sample(range(labels), rng.randrange(min(most, labels) + 1)))

    truth = [one() for _ in range(rows)]
    guess = [frozenset(x for x in (row if rng.random() < 0.7 else one()) if rng.random() < 0.9) for row in truth]
    return guess, truth


def oracle(guess: Sets, truth: Sets) -> dict[str, float | None]:
    seen = sorted({label for one in (*guess, *truth) for label in one})
    # With a label that nobody has (zero over zero everywhere): scikit-learn takes a single column for classes.
    matrix = MultiLabelBinarizer(classes=[*seen, -1])
    p, t = matrix.fit_transform(guess), matrix.fit_transform(truth)
    found: dict[str, float] = {"hamming_loss": hamming_loss(t[:, :-1], p[:, :-1]) if seen else math.nan}
    for name, score in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
        for average in ("micro", "macro", "weighted", "samples"):
            found[f"{name}_{average}"] = score(t, p, average=average, zero_division=np.nan) if seen else math.nan
    full = np.flatnonzero((p + t).sum(axis=1))
    found["jaccard_samples"] = jaccard_score(t[full], p[full], average="samples") if len(full) else math.nan
    return {name: None if math.isnan(value) else float(value) for name, value in found.items()}


SHAPES = [(1, 1, 1), (1, 5, 3), (7, 3, 2), (200, 12, 5), (500, 12, 12), (60, 4, 1)]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("rows", "labels", "most"), SHAPES)
def test_every_number_is_that_of_scikit_learn(seed: int, rows: int, labels: int, most: int) -> None:
    rng = random.Random(seed)
    guess, truth = drawn(rng, rows, labels, most)
    extra, other = drawn(rng, 30, 12, 6)
    where = sorted(rng.sample(range(rows + 1), min(3, rows)))
    state = folded(extra, other)
    for low, high in zip([0, *where], [*where, rows], strict=True):
        state.merge(Multilabel.from_wire(folded(guess[low:high], truth[low:high]).to_wire()))
    state.merge(folded(extra, other, sign=-1))
    assert state.to_wire() == folded(guess, truth).to_wire()
    quality = report(state).values["quality"]
    for name, value in oracle(guess, truth).items():
        said = quality[name]
        if value is None or (name == "precision_weighted" and not any(guess)):
            assert said is None, name
        else:
            assert said == pytest.approx(value, rel=1e-12, abs=1e-15), name


def test_each_label_has_its_own_numbers() -> None:
    guess = [frozenset({0, 1}), frozenset({0}), frozenset[int]()]
    truth = [frozenset({0}), frozenset({0, 2}), frozenset({2})]
    found = report(folded(guess, truth))
    classes = found.values["quality"]["per_class"]
    assert classes["label0"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "specificity": 1.0, "support": 2}
    assert classes["label1"] == {"precision": 0.0, "recall": None, "f1": 0.0, "specificity": 2 / 3, "support": 0}
    assert classes["label2"] == {"precision": None, "recall": 0.0, "f1": 0.0, "specificity": 1.0, "support": 2}
    assert found.reasons["quality.per_class.label1.recall"] == "undefined"


@pytest.mark.parametrize("name", ["hamming_loss", "f1_micro", "precision_micro", "recall_micro", "f1_samples"])
def test_intervals_hold_as_often_as_they_say(name: str) -> None:
    rng = random.Random(5)
    guess, truth = drawn(rng, 20_000, 8, 4)
    (value,) = [oracle(guess, truth)[name]]
    held = 0
    for _ in range(200):
        rows = [rng.randrange(20_000) for _ in range(300)]
        quality = report(folded([guess[row] for row in rows], [truth[row] for row in rows])).values["quality"]
        interval: Any = quality["intervals"][name]
        held += interval["low"] <= value <= interval["high"]
    assert 0.9 < held / 200 < 0.99


def test_one_row_has_no_interval() -> None:
    found = report(folded([frozenset({1})], [frozenset({1, 2})]))
    assert found.values["quality"]["intervals"]["f1_samples"] is None
    assert set(found.values["quality"]["intervals"].values()) == {None}
    assert found.reasons["quality.intervals.hamming_loss"] == "no_variance"


def test_halves_merge_to_the_whole() -> None:
    guess, truth = drawn(random.Random(1), 50, 12, 5)
    whole = folded(guess, truth).to_wire()
    halves = halve_multilabel(whole)
    assert halves is not None
    for order in (halves, halves[::-1]):
        first, second = map(Multilabel.from_wire, order)
        first.merge(second)
        assert first.to_wire() == whole
    single = folded([frozenset({1})], [frozenset({1})]).to_wire()
    assert halve_multilabel(single) is None
