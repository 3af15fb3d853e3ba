"""The corrected metrics against scikit-learn's with weights."""

import math
import random
import warnings
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from pipeline.core.accumulate.confusion import Confusion
from pipeline.core.events import Task
from pipeline.core.family import Context
from pipeline.core.metrics.classes import report_classes
from pipeline.core.metrics.corrected import report_corrected
from pipeline.core.metrics.maturity import ALL_COME, ClassShares

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
    values, reasons = report_corrected(confusion_of(counts), task, shares_of(shares), 0.1)
    assert {f"quality.corrected.{name}" for name, value in values.items() if value is None} == set(reasons)
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
        told, _ = report_corrected(confusion_of(counts), task, ClassShares({"0": share}, share), 0.1)
        final, _ = report_corrected(confusion_of(counts), task, ALL_COME, 0.1)
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
    one = report_corrected(confusion_of(counts), Task.MULTICLASS, shares_of(shares), 0.1)
    assert report_corrected(confusion_of(dict(shuffled)), Task.MULTICLASS, shares_of(shares), 0.1) == one


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
    values, reasons = report_corrected(confusion_of(counts), Task.BINARY, shares, 0.1)
    assert Counter(values.values()) == {None: 7}
    assert reasons == {f"quality.corrected.{name}": why for name in values}


def test_a_single_class_name_is_not_taken_for_the_positive_one() -> None:
    values, reasons = report_corrected(confusion_of({("0", "0"): 5}), Task.BINARY, ALL_COME, 0.1)
    assert (values["accuracy"], values["f1"]) == (1.0, None)
    assert reasons["quality.corrected.f1"] == "unknown_positive_class"


@pytest.mark.parametrize("task", [Task.REGRESSION, Task.RANKING, Task.MULTILABEL])
def test_other_tasks_have_no_classes_to_correct(task: Task) -> None:
    assert report_corrected(Confusion(), task, ALL_COME, 0.1) == ({}, {})
