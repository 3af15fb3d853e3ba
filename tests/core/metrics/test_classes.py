"""Class metrics against scikit-learn."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from pipeline.core.accumulate.confusion import Confusion
from pipeline.core.events import Task
from pipeline.core.family import Context, Report
from pipeline.core.metrics.classes import MAX_CLASSES, report_classes


def report(pairs: Sequence[tuple[str, str]], task: Task = Task.MULTICLASS) -> Report:
    state = Confusion()
    for predicted, label in pairs:
        state.counts[predicted, label] = state.counts.get((predicted, label), 0) + 1
    return report_classes(state, Context("m", "1", task, "", 60_000, False, None, 0.2, 0.1))  # noqa: FBT003 - final


def same(found: float | None, expected: float) -> bool:
    return found is None if np.isnan(expected) else found == pytest.approx(float(expected), abs=1e-12)


names = st.sampled_from(["a", "b", "c", "d"])


@given(pairs=st.lists(st.tuples(names, names), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_ratios_and_averages_are_scikit_learns(pairs: list[tuple[str, str]]) -> None:
    predicted, labels = zip(*pairs, strict=True)
    quality = report(pairs).values["quality"]
    assert quality["accuracy"] == pytest.approx(accuracy_score(labels, predicted))
    classes = sorted({*predicted, *labels})
    by_class = precision_recall_fscore_support(labels, predicted, labels=classes, zero_division=np.nan)
    assert sorted(quality["per_class"]) == classes
    for index, name in enumerate(classes):
        for ratio, expected in zip(("precision", "recall", "f1", "support"), by_class, strict=True):
            assert same(quality["per_class"][name][ratio], expected[index])
    for average in ("macro", "weighted"):
        averages = precision_recall_fscore_support(labels, predicted, average=average, zero_division=np.nan)
        for index, ratio in enumerate(("precision", "recall", "f1")):
            weights = np.where(np.isnan(by_class[index]), 0, by_class[3])
            value = averages[index] if average == "macro" or weights.any() else np.nan
            assert same(quality[f"{ratio}_{average}"], value), (ratio, average)


binary = st.sampled_from(["0", "1"])


@given(pairs=st.lists(st.tuples(binary, binary), min_size=1, max_size=30))
@settings(max_examples=40, deadline=None)
def test_a_binary_model_is_judged_by_its_positive_class(pairs: list[tuple[str, str]]) -> None:
    predicted, labels = zip(*pairs, strict=True)
    found = report(pairs, Task.BINARY)
    expected = precision_recall_fscore_support(labels, predicted, labels=["1"], average=None, zero_division=np.nan)
    for ratio, value in zip(("precision", "recall", "f1"), expected[:3], strict=True):
        assert same(found.values["quality"][ratio], value[0])


@pytest.mark.parametrize(
    ("pairs", "precision", "reason"),
    [
        ([("yes", "yes"), ("yes", "no"), ("no", "no")], 0.5, None),
        ([("no", "no")], None, "unknown_positive_class"),
        ([("a", "b"), ("c", "b")], None, "too_many_classes"),
        ([("1", "1"), ("2", "0")], 1.0, None),
        ([("0", "1")], None, "undefined"),
        ([], None, "no_labels"),
    ],
)
def test_the_positive_class(pairs: list[tuple[str, str]], precision: float | None, reason: str | None) -> None:
    found = report(pairs, Task.BINARY)
    assert found.values["quality"]["precision"] == precision
    assert found.reasons.get("quality.precision") == reason


def test_per_class_is_bounded_by_support() -> None:
    pairs = [(f"{index:03}", f"{index:03}") for index in range(MAX_CLASSES + 50)] + [("149", "149"), ("x", "149")]
    quality = report(pairs).values["quality"]
    shown = list(quality["per_class"])
    assert len(shown) == MAX_CLASSES
    assert shown[:2] == ["149", "000"]
    assert quality["accuracy"] == 151 / 152


def test_other_tasks_have_no_classes() -> None:
    assert report([("a", "a")], Task.RANKING) == Report()
