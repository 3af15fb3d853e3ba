"""The corrected metrics against scikit-learn's with weights."""

import math
import random
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from pipeline.core.accumulate.confusion import Confusion
from pipeline.core.events import Task
from pipeline.core.family import Context
from pipeline.core.metrics.classes import report_classes
from pipeline.core.metrics.corrected import report_corrected
from pipeline.core.metrics.intervals import normal_deviate
from pipeline.core.metrics.maturity import ALL_COME, ClassShares

Z = normal_deviate(0.95)
NAMES = ["0", "1", "cat"]
outcomes = st.dictionaries(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), st.integers(1, 9), min_size=1, max_size=9
)
some_shares = st.lists(st.floats(0.1, 1), min_size=2, max_size=3)


def confusion_of(counts: dict[tuple[str, str], int]) -> Confusion:
    state = Confusion()
    state.counts = dict(counts)
    return state


def shares_of(shares: list[float]) -> ClassShares:
    """Of two or three classes; the last is that of all others."""
    return ClassShares(dict(zip(NAMES, shares[:-1], strict=False)), shares[-1])


def by_sklearn(counts: dict[tuple[str, str], int], shares: ClassShares) -> dict[str, float]:
    rows = [outcome for outcome, count in counts.items() for _ in range(count)]
    guess, truth = [row[0] for row in rows], [row[1] for row in rows]
    weight = [1 / shares.of(name) for name in truth]
    found = {"accuracy": sk.accuracy_score(truth, guess, sample_weight=weight)}
    # Over the classes where it is defined, which scikit-learn does with nan.
    more = {"average": "macro", "zero_division": math.nan, "sample_weight": weight}
    positive = {"average": "binary", "pos_label": "1", "zero_division": math.nan, "sample_weight": weight}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, score in (("precision", sk.precision_score), ("recall", sk.recall_score), ("f1", sk.f1_score)):
            found[f"{name}_macro"] = score(truth, guess, **more)
            if set(truth) | set(guess) == {"0", "1"}:
                found[name] = score(truth, guess, **positive)
    return found


@given(outcomes, some_shares, st.sampled_from([Task.BINARY, Task.MULTICLASS]))
def test_each_row_counts_as_often_as_its_class_is_missing(
    counts: dict[tuple[str, str], int], shares: list[float], task: Task
) -> None:
    if task is Task.BINARY:
        counts = {outcome: count for outcome, count in counts.items() if "cat" not in outcome} or {("0", "1"): 1}
    values, reasons = report_corrected(confusion_of(counts), task, shares_of(shares), 0.1, Z)
    nulls = {f"quality.corrected.{name}" for name, value in values.items() if value is None}
    assert nulls == {path for path in reasons if ".intervals." not in path}
    for name, expected in by_sklearn(counts, shares_of(shares)).items():
        if task is Task.BINARY or name in values:
            told = values[name]
            assert (told is None) == math.isnan(expected), name
            assert told is None or told == pytest.approx(expected, rel=1e-12), name


def raw(counts: dict[tuple[str, str], int], task: Task) -> dict[str, float]:
    context = Context("m", "1", task, "", 60_000, False, None, 0.2, 0.1)  # noqa: FBT003 - final
    quality: dict[str, float] = dict(report_classes(confusion_of(counts), context).values["quality"])
    return quality


@given(outcomes, st.floats(0.1, 1))
def test_shares_that_are_equal_change_nothing(counts: dict[tuple[str, str], int], share: float) -> None:
    for task in (Task.BINARY, Task.MULTICLASS):
        told, _ = report_corrected(confusion_of(counts), task, ClassShares({"0": share}, share), 0.1, Z)
        final, _ = report_corrected(confusion_of(counts), task, ALL_COME, 0.1, Z)
        assert told.pop("intervals").keys() == final.pop("intervals").keys()
        for name, value in told.items():
            expected = raw(counts, task)[name]
            assert final[name] == expected, name
            assert value == (None if expected is None else pytest.approx(expected, rel=1e-12)), name


@given(outcomes, some_shares, st.randoms())
def test_the_order_of_merging_leaves_no_trace(
    counts: dict[tuple[str, str], int], shares: list[float], rng: random.Random
) -> None:
    shuffled = list(counts.items())
    rng.shuffle(shuffled)
    one = report_corrected(confusion_of(counts), Task.MULTICLASS, shares_of(shares), 0.1, Z)
    assert report_corrected(confusion_of(dict(shuffled)), Task.MULTICLASS, shares_of(shares), 0.1, Z) == one


@pytest.mark.parametrize(
    ("counts", "shares", "why"),
    [
        ({}, ALL_COME, "no_labels"),
        ({("1", "1"): 5}, None, "no_history"),
        ({("1", "1"): 5}, ClassShares({"0": 0.09}, 1.0), "too_immature"),
        ({("1", "1"): 5}, ClassShares({"0": 0.5}, 0.0), "too_immature"),
    ],
)
def test_what_cannot_be_corrected_says_why(
    counts: dict[tuple[str, str], int], shares: ClassShares | None, why: str
) -> None:
    values, reasons = report_corrected(confusion_of(counts), Task.BINARY, shares, 0.1, Z)
    assert values.pop("intervals") == {}
    assert list(values.values()) == [None] * 7
    assert reasons == {f"quality.corrected.{name}": why for name in values}


def test_a_single_class_name_is_not_taken_for_the_positive_one() -> None:
    values, reasons = report_corrected(confusion_of({("0", "0"): 5}), Task.BINARY, ALL_COME, 0.1, Z)
    assert (values["accuracy"], values["f1"]) == (1.0, None)
    assert reasons["quality.corrected.f1"] == "unknown_positive_class"


@pytest.mark.parametrize("task", [Task.REGRESSION, Task.RANKING, Task.MULTILABEL])
def test_other_tasks_have_no_classes_to_correct(task: Task) -> None:
    assert report_corrected(Confusion(), task, ALL_COME, 0.1, Z) == ({}, {})


def by_hand(weights: dict[tuple[str, str], float]) -> dict[str, float]:
    """The metrics of a matrix of weights, by their definitions."""
    seen = sorted({name for outcome in weights for name in outcome})
    total = sum(weights.values())
    found = {"accuracy": sum(weight for (guess, truth), weight in weights.items() if guess == truth) / total}
    each: dict[str, list[float]] = {"precision_macro": [], "recall_macro": [], "f1_macro": []}
    for one in seen:
        hits = weights.get((one, one), 0.0)
        guessed = sum(weight for (guess, _), weight in weights.items() if guess == one)
        true = sum(weight for (_, truth), weight in weights.items() if truth == one)
        each["precision_macro"] += [hits / guessed] if guessed else []
        each["recall_macro"] += [hits / true] if true else []
        each["f1_macro"] += [2 * hits / (guessed + true)]
        if one == "1" and guessed:
            found["precision"] = hits / guessed
        if one == "1" and true:
            found["recall"] = hits / true
        if one == "1":
            found["f1"] = 2 * hits / (guessed + true)
    return found | {name: math.fsum(values) / len(values) for name, values in each.items()}


@given(outcomes, some_shares)
def test_an_interval_is_that_of_the_delta_method(counts: dict[tuple[str, str], int], shares: list[float]) -> None:
    """With slopes found by moving the weight of one outcome a little."""
    counts = {outcome: count for outcome, count in counts.items() if "cat" not in outcome} or {("1", "1"): 3}
    weight = {outcome: 1 / shares_of(shares).of(outcome[1]) for outcome in counts}
    weights = {outcome: count * weight[outcome] for outcome, count in counts.items()}
    values, reasons = report_corrected(confusion_of(counts), Task.BINARY, shares_of(shares), 0.1, Z)
    for name, interval in values["intervals"].items():
        variance = 0.0
        for outcome, count in counts.items():
            step = 1e-5 * weights[outcome]
            up, down = (by_hand({**weights, outcome: weights[outcome] + one})[name] for one in (step, -step))
            variance += count * (weight[outcome] * (up - down) / (2 * step)) ** 2
        half, value = Z * math.sqrt(variance), values[name]
        if interval is None:
            assert half < 1e-4
            assert reasons[f"quality.corrected.intervals.{name}"] == "no_variance"
        else:
            assert interval["low"] == pytest.approx(max(value - half, 0.0), abs=1e-5), name
            assert interval["high"] == pytest.approx(min(value + half, 1.0), abs=1e-5), name


def test_an_interval_holds_about_as_often_as_it_says() -> None:
    """Of 400 rows those of class 0 are labelled nine times of ten, those of class 1 three times."""
    rng = np.random.default_rng(8)
    shares = ClassShares({"0": 0.9, "1": 0.3}, 0.5)
    hit = {"accuracy": 0, "f1": 0, "precision": 0}
    # A third is of class 1: found in 60 % of them; the others are right in 95 %.
    truth = {"accuracy": (2 * 0.95 + 0.6) / 3, "precision": 0.6 / (0.6 + 2 * 0.05), "f1": 1.2 / (0.6 + 0.1 + 1)}
    for _ in range(500):
        drawn = rng.multinomial(400, np.array([2 * 0.95, 2 * 0.05, 0.4, 0.6]) / 3)
        labelled = rng.binomial(drawn, [0.9, 0.9, 0.3, 0.3]).tolist()
        counts = dict(zip([("0", "0"), ("1", "0"), ("0", "1"), ("1", "1")], labelled, strict=True))
        state = confusion_of({outcome: count for outcome, count in counts.items() if count})
        values, _ = report_corrected(state, Task.BINARY, shares, 0.1, Z)
        for name in hit:
            interval = values["intervals"][name]
            hit[name] += interval["low"] <= truth[name] <= interval["high"]
    assert all(0.92 <= count / 500 <= 0.98 for count in hit.values()), hit
