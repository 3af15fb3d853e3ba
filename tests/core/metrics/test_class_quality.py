"""Every metric of classes beside scikit-learn's, over generated and real data, sharded, merged and taken back."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import datasets, metrics
from sklearn.naive_bayes import GaussianNB

from pipeline.core.accumulate.confusion import Confusion, fold_confusion
from pipeline.core.events import Cells, Group, LabelChanges, Task
from pipeline.core.family import Context, Report
from pipeline.core.metrics.classes import report_classes
from pipeline.core.metrics.settings import QualitySettings

Names = NDArray[np.str_]
Number = float | None

SETTINGS = QualitySettings(betas=(2.0, 0.5), class_intervals=True)


def fold(predicted: Names, labels: Names, task: Task, sign: int = 1) -> Confusion:
    classes = sorted({*predicted.tolist(), *labels.tolist()})
    count = len(labels)
    guess, truth = (
        np.array([classes.index(name) for name in names.tolist()], np.int64) for names in (predicted, labels)
    )
    zeros = np.zeros(count, np.int32)
    group = [Group("m", "1", task)]
    cells = Cells(np.arange(count, dtype=np.int32), zeros, zeros[:1], [""], np.zeros(1, np.int64), group)
    states = fold_confusion(LabelChanges(guess, truth, np.full(count, sign, np.int64), classes), cells)
    return states.get(0, Confusion())


def report(state: Confusion, task: Task = Task.MULTICLASS, quality: QualitySettings = SETTINGS) -> Report:
    return report_classes(state, Context("m", "1", task, "", 60_000, False, None, 0.2, 0.1, quality))  # noqa: FBT003 - final


def _generated(classes: int, rows: int, right: float) -> tuple[Names, Names]:
    generator = np.random.default_rng(classes)
    labels = generator.integers(0, classes, (2, rows)).min(axis=0)
    predicted = np.where(generator.random(rows) < right, labels, generator.integers(0, classes, rows))
    return predicted.astype(str), labels.astype(str)


def _real(load: Callable[..., Any], columns: int) -> tuple[Names, Names]:
    """A plain model of a few columns: it errs often enough."""
    features, labels = load(return_X_y=True)
    features = features[:, :columns]
    predicted = GaussianNB().fit(features[::2], labels[::2]).predict(features[1::2])
    return predicted.astype(str), labels[1::2].astype(str)


DATA: Mapping[str, tuple[Names, Names]] = {
    "two classes": _generated(2, 500, 0.8),
    "twelve classes": _generated(12, 3_000, 0.6),
    "no better than chance": _generated(5, 400, 0.0),
    "iris": _real(datasets.load_iris, 2),
    "digits": _real(datasets.load_digits, 30),
    "breast cancer": _real(datasets.load_breast_cancer, 3),
}

ORACLES: Mapping[str, Callable[[Names, Names], float]] = {
    "accuracy": metrics.accuracy_score,
    "balanced_accuracy": metrics.balanced_accuracy_score,
    "mcc": metrics.matthews_corrcoef,
    "cohen_kappa": metrics.cohen_kappa_score,
    **{
        f"{name}_{average}": partial(score, average=average, zero_division=np.nan, **options)
        for name, score, options in (
            ("precision", metrics.precision_score, {}),
            ("recall", metrics.recall_score, {}),
            ("f1", metrics.f1_score, {}),
            ("fbeta_2", metrics.fbeta_score, {"beta": 2}),
            ("fbeta_0.5", metrics.fbeta_score, {"beta": 0.5}),
        )
        for average in ("micro", "macro", "weighted")
    },
}


def shards(predicted: Names, labels: Names, seed: int, task: Task) -> Confusion:
    """The same rows in another order and in parts, with rows that are counted and taken back again."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(labels))
    parts = [fold(predicted[part], labels[part], task) for part in np.array_split(order, 4)]
    extra = generator.integers(0, len(labels), 50)
    wrong = predicted[extra], labels[extra[::-1]]
    parts += [fold(*wrong, task, -1), fold(*wrong, task)]
    merged = Confusion()
    for part in generator.permutation(len(parts)):
        merged.merge(parts[part])
    return merged


@pytest.mark.parametrize("data", DATA)
def test_every_metric_is_scikit_learns(data: str) -> None:
    predicted, labels = DATA[data]
    found = report(shards(predicted, labels, 1, Task.MULTICLASS))
    assert found == report(fold(predicted, labels, Task.MULTICLASS))
    for name, oracle in ORACLES.items():
        assert found.values["quality"][name] == pytest.approx(oracle(labels, predicted), rel=1e-12, abs=1e-15), name
    for name, one in found.values["quality"]["per_class"].items():
        others = labels != name
        assert one["specificity"] == pytest.approx(np.mean(predicted[others] != name), rel=1e-12)
        beta = metrics.fbeta_score(labels == name, predicted == name, beta=2, zero_division=np.nan)
        assert one["fbeta_2"] == pytest.approx(beta, rel=1e-12)


@pytest.mark.parametrize("data", ["two classes", "breast cancer"])
def test_a_binary_model_has_the_ratios_of_its_positive_class(data: str) -> None:
    predicted, labels = DATA[data]
    found = report(shards(predicted, labels, 2, Task.BINARY), Task.BINARY).values["quality"]
    options: dict[str, Any] = {"pos_label": "1", "zero_division": np.nan}
    assert found["specificity"] == pytest.approx(metrics.recall_score(labels, predicted, pos_label="0"), rel=1e-12)
    assert found["fbeta_2"] == pytest.approx(metrics.fbeta_score(labels, predicted, beta=2, **options), rel=1e-12)
    assert found["fbeta_0.5"] == pytest.approx(metrics.fbeta_score(labels, predicted, beta=0.5, **options), rel=1e-12)


names = st.sampled_from(["a", "b", "c", "1"])


@pytest.mark.filterwarnings("ignore:y_pred contains:UserWarning", "ignore:A single label:UserWarning")
@given(pairs=st.lists(st.tuples(names, names), min_size=1, max_size=12), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_small_windows_are_scikit_learns_or_null(pairs: list[tuple[str, str]], seed: int) -> None:
    predicted, labels = (np.array(column) for column in zip(*pairs, strict=True))
    found = report(shards(predicted, labels, seed, Task.MULTICLASS)).values["quality"]
    one_sided = len(set(labels)) == 1 or len(set(predicted)) == 1
    assert (found["mcc"] is None) == one_sided
    same = len({*labels, *predicted}) == 1
    assert (found["cohen_kappa"] is None) == same
    for name in ("mcc", "cohen_kappa", "balanced_accuracy"):
        if found[name] is not None:
            with np.errstate(all="ignore"):
                assert found[name] == pytest.approx(ORACLES[name](labels, predicted), rel=1e-12, abs=1e-15)
    for interval in found["intervals"].values():
        assert interval is None or -1 <= interval["low"] <= interval["high"] <= 1


@pytest.mark.parametrize(
    ("pairs", "undefined"),
    [
        ([("1", "1")] * 5, {"mcc", "cohen_kappa", "specificity"}),
        ([("1", "0")] * 5, {"mcc", "recall", "precision_weighted"}),
        ([("0", "1"), ("0", "0")], {"mcc", "precision"}),
    ],
    ids=["one class", "always wrong", "one guess"],
)
def test_degenerate_windows_say_why(pairs: Sequence[tuple[str, str]], undefined: set[str]) -> None:
    predicted, labels = (np.array(column) for column in zip(*pairs, strict=True))
    found = report(fold(predicted, labels, Task.BINARY), Task.BINARY)
    quality = found.values["quality"]
    assert {name for name, value in quality.items() if value is None} == undefined
    assert {found.reasons[f"quality.{name}"] for name in undefined} == {"undefined"}


def test_without_labels_all_is_null_and_one_reason_stands_for_the_intervals() -> None:
    found = report(Confusion(), Task.BINARY, QualitySettings(gains={"m": {}}))
    quality = found.values["quality"]
    assert {name for name, value in quality.items() if value is not None} == {"intervals", "per_class"}
    assert quality["intervals"] == quality["per_class"] == {}
    assert found.reasons == {f"quality.{name}": "no_labels" for name in quality if name != "per_class"}


def test_gains_are_summed_exactly() -> None:
    predicted, labels = DATA["two classes"]
    gains = {("1", "1"): 0.1, ("1", "0"): -10.0, ("0", "1"): -0.7}
    state = fold(predicted, labels, Task.BINARY)
    quality = report(state, Task.BINARY, QualitySettings(gains={"m": gains, "other": {}})).values["quality"]
    worth = np.array([gains.get(pair, 0.0) for pair in zip(predicted.tolist(), labels.tolist(), strict=True)])
    assert quality["business_value"] == pytest.approx(worth.sum(), rel=1e-12)
    assert quality["business_value_per_prediction"] == pytest.approx(worth.mean(), rel=1e-12)
    interval = quality["intervals"]["business_value_per_prediction"]
    half = 1.959963984540054 * worth.std(ddof=1) / np.sqrt(len(worth))
    assert (interval["low"], interval["high"]) == pytest.approx((worth.mean() - half, worth.mean() + half), rel=1e-12)
    assert "business_value" not in report(state, Task.BINARY).values["quality"]


@pytest.mark.parametrize("gains", [{("1", "1"): 5.0}, {}], ids=["one row", "all alike"])
def test_gains_without_variance_have_no_interval(gains: dict[tuple[str, str], float]) -> None:
    rows = np.array(["1"] * (1 if gains else 3))
    found = report(fold(rows, rows, Task.BINARY), Task.BINARY, QualitySettings(gains={"m": gains}))
    assert found.values["quality"]["intervals"]["business_value_per_prediction"] is None
    assert found.reasons["quality.intervals.business_value_per_prediction"] == "no_variance"


def test_the_classes_have_intervals_where_they_are_asked_for() -> None:
    predicted, labels = DATA["iris"]
    state = fold(predicted, labels, Task.MULTICLASS)
    asked = report(state).values["quality"]["per_class"]["1"]
    assert set(asked["intervals"]) == {"precision", "recall", "f1", "specificity", "fbeta_2", "fbeta_0.5"}
    for name, interval in asked["intervals"].items():
        assert interval["low"] < asked[name] < interval["high"]
    assert "intervals" not in report(state, quality=QualitySettings()).values["quality"]["per_class"]["1"]


def test_a_class_without_variance_says_so_in_its_own_place() -> None:
    rows = np.array(["a", "b"])
    found = report(fold(rows, rows, Task.MULTICLASS))
    assert found.values["quality"]["per_class"]["a"]["intervals"]["fbeta_2"] is None
    assert found.reasons["quality.per_class.a.intervals.fbeta_2"] == "no_variance"
