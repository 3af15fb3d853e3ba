"""Every metric of scores beside scikit-learn's, scipy's and plain Python's, sharded, merged and taken back."""

import math
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from sklearn import datasets, metrics
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression

from pipeline.core.accumulate.scores import Scores, fold_scores
from pipeline.core.events import Cells, Float64s, Group, Json, LabelChanges, Task
from pipeline.core.family import Context
from pipeline.core.metrics.intervals import normal_deviate, wilson_interval
from pipeline.core.metrics.scores import report_scores
from pipeline.core.metrics.settings import QualitySettings

Z = normal_deviate(0.95)
NAMES = ["0", "1"]
Rows = tuple[Float64s, NDArray[np.int64]]


def context(**quality: Json) -> Context:
    return Context("m", "1", Task.BINARY, "", 60_000, False, None, 0.2, 0.1, QualitySettings(**quality))  # noqa: FBT003 - final


def fold(rows: Rows, sign: int = 1, names: list[str] = NAMES, predicted: list[int] | None = None) -> Scores:
    score, label = rows
    count = len(label)
    zeros = np.zeros(count, np.int32)
    group = [Group("m", "1", Task.BINARY)]
    cells = Cells(np.arange(count, dtype=np.int32), zeros, zeros[:1], [""], np.zeros(1, np.int64), group)
    guess = (score > 0.5).astype(np.int64) if predicted is None else np.array(predicted, np.int64)
    kept = np.asarray(score, np.float32).astype(np.float64)
    changes = LabelChanges(guess, np.asarray(label, np.int64), np.full(count, sign, np.int64), names, score=kept)
    return fold_scores(changes, cells).get(0, Scores())


def shards(rows: Rows, seed: int) -> Scores:
    """The same rows in another order and in parts, with rows that are counted and taken back again."""
    score, label = rows
    generator = np.random.default_rng(seed)
    parts = [fold((score[part], label[part])) for part in np.array_split(generator.permutation(len(label)), 4)]
    extra = generator.beta(0.1, 0.1, 30), generator.integers(0, 2, 30)
    parts += [fold(extra, -1), fold(extra)]
    merged = Scores()
    for place in generator.permutation(len(parts)):
        merged.merge(parts[place])
    return merged


def report(state: Scores, **quality: Json) -> tuple[dict[str, Json], Mapping[str, str]]:
    found = report_scores(state, context(**quality))
    return dict(found.values["quality"]), found.reasons


def _calibrated(logits: Float64s, seed: int) -> Rows:
    score = 1 / (1 + np.exp(-logits))
    return score, (np.random.default_rng(seed).random(len(score)) < score).astype(np.int64)


def _real() -> Rows:
    features, label = datasets.load_breast_cancer(return_X_y=True)
    features = (features - features.mean(0)) / features.std(0)
    return LogisticRegression(C=0.1).fit(features[::2], label[::2]).predict_proba(features[1::2])[:, 1], label[1::2]


def _beta(count: int) -> Rows:
    generator = np.random.default_rng(8)
    label = (generator.random(count) < 0.3).astype(np.int64)
    return np.where(label == 1, generator.beta(4, 2, count), generator.beta(2, 5, count)), label


def _uniform(count: int) -> Rows:
    generator = np.random.default_rng(9)
    return generator.random(count), generator.integers(0, 2, count)


GENERATOR = np.random.default_rng(7)
DATA: Mapping[str, Rows] = {
    "calibrated": _calibrated(GENERATOR.normal(0, 2, 3_000), 1),
    "beta": _beta(2_000),
    "rare": _calibrated(GENERATOR.normal(-5, 2, 3_000), 2),
    "saturated": _calibrated(GENERATOR.normal(0, 30, 1_000), 3),
    "no better than chance": _uniform(700),
    "two decimals": (np.round(_uniform(900)[0], 2), _uniform(900)[1]),
    "all alike": (np.full(50, 0.7), np.arange(50) % 2),
    "breast cancer": _real(),
}


@pytest.mark.parametrize("data", DATA)
def test_exact_metrics_are_scikit_learns(data: str) -> None:
    score, label = DATA[data]
    state = shards(DATA[data], 1)
    assert state.to_wire() == fold(DATA[data]).to_wire()
    quality, reasons = report(state)
    kept = score.astype(np.float32).astype(np.float64)
    clipped = np.clip(kept, 2.0**-23, 1 - 2.0**-23)
    assert quality["brier"] == pytest.approx(metrics.brier_score_loss(label, kept), rel=1e-12)
    assert quality["log_loss"] == pytest.approx(metrics.log_loss(label, clipped), rel=1e-12)
    assert list(reasons) == (["quality.intervals.roc_auc"] if data == "all alike" else [])


def test_the_clip_of_the_log_loss_is_scikit_learns_for_32_bit_floats() -> None:
    score, label = np.array([0.0, 1.0, 0.25]), np.array([1, 1, 0])
    quality, _ = report(fold((score, label)))
    assert quality["log_loss"] == pytest.approx(
        metrics.log_loss(label, score.astype(np.float32)), rel=1e-6
    )  # it sums 32-bit floats


@pytest.mark.parametrize("data", DATA)
def test_sketched_metrics_are_within_their_bounds(data: str) -> None:
    score, label = DATA[data]
    kept = score.astype(np.float32).astype(np.float64)
    quality, _ = report(shards(DATA[data], 2))
    true = {
        "roc_auc": metrics.roc_auc_score(label, kept),
        "average_precision": metrics.average_precision_score(label, kept),
        "ks": stats.ks_2samp(kept[label == 1], kept[label == 0]).statistic,
    }
    for name, value in true.items():
        bounds = quality["bounds"][name]
        assert bounds["low"] - 1e-12 <= value <= bounds["high"] + 1e-12, name
        assert bounds["low"] <= quality[name] <= bounds["high"], name


@pytest.mark.parametrize("data", ["two decimals", "all alike"])
def test_rounded_scores_leave_nothing_open(data: str) -> None:
    score, label = DATA[data]
    quality, _ = report(fold(DATA[data]))
    for name, oracle in (("roc_auc", metrics.roc_auc_score), ("average_precision", metrics.average_precision_score)):
        assert quality["bounds"][name]["low"] == quality["bounds"][name]["high"] == quality[name]
        assert quality[name] == pytest.approx(oracle(label, score.astype(np.float32)), rel=1e-12)


@pytest.mark.parametrize(
    "rows",
    [
        _uniform(100_000),
        _beta(100_000),
        _calibrated(np.random.default_rng(4).normal(0, 2, 100_000), 5),
        _calibrated(np.random.default_rng(4).normal(-4, 1, 100_000), 6),
        _calibrated(np.random.default_rng(4).normal(3, 3, 100_000), 7),
    ],
    ids=["uniform", "beta", "logistic", "rare", "frequent"],
)
def test_bounds_are_close_for_a_hundred_thousand_rows(rows: Rows) -> None:
    bounds = report(fold(rows))[0]["bounds"]
    for name in ("roc_auc", "average_precision"):
        assert bounds[name]["high"] - bounds[name]["low"] <= 0.001, name


def test_bounds_of_scores_that_crowd_are_wide_and_hold() -> None:
    generator = np.random.default_rng(3)
    score, label = 0.4111 + generator.random(10_000) * 2e-4, generator.integers(0, 2, 10_000)
    quality, _ = report(fold((score, label)))
    low, high = quality["bounds"]["roc_auc"].values()
    assert high - low > 0.4
    assert low <= metrics.roc_auc_score(label, score.astype(np.float32)) <= high


# --- calibration -----------------------------------------------------------------------------------------------------


def _by_bin(rows: Rows, bins: int) -> list[tuple[int, float, float]]:
    """Rows, mean score and positive rate of each bin, in plain Python."""
    found = []
    edges = [float(np.float32(place / bins)) for place in range(bins + 1)]
    scores, labels = rows[0].astype(np.float32).tolist(), rows[1].tolist()
    for low, high in pairwise(edges):
        mine = [(s, y) for s, y in zip(scores, labels, strict=True) if low < s <= high or s == low == 0]
        if mine:
            rate = sum(y for _, y in mine) / len(mine)
            found.append((len(mine), math.fsum(s for s, _ in mine) / len(mine), rate))
    return found


@pytest.mark.parametrize("bins", [5, 10, 20])
@pytest.mark.parametrize("data", DATA)
def test_calibration_is_what_plain_loops_say(data: str, bins: int) -> None:
    quality, _ = report(shards(DATA[data], 3), calibration_bins=bins)
    by_bin = _by_bin(DATA[data], bins)
    gaps = [abs(mean - rate) for _, mean, rate in by_bin]
    rows = sum(count for count, _, _ in by_bin)
    weighted = math.fsum(count * gap for (count, _, _), gap in zip(by_bin, gaps, strict=True))
    assert quality["ece"] == pytest.approx(weighted / rows, abs=1e-12)
    assert quality["mce"] == pytest.approx(max(gaps), abs=1e-12)
    assert [row["count"] for row in quality["calibration"]] == [count for count, _, _ in by_bin]
    for row, (count, mean, rate) in zip(quality["calibration"], by_bin, strict=True):
        assert row["mean_score"] == pytest.approx(mean, abs=1e-12)
        assert row["positive_rate"] == rate
        assert (row["rate_low"], row["rate_high"]) == wilson_interval(round(rate * count), count, Z)
        assert row["high"] - row["low"] == pytest.approx(1 / bins)


@pytest.mark.parametrize("data", ["calibrated", "beta", "rare", "breast cancer"])
def test_the_reliability_table_is_scikit_learns(data: str) -> None:
    score, label = DATA[data]
    table = report(fold(DATA[data]))[0]["calibration"]
    rates, means = calibration_curve(label, score.astype(np.float32), n_bins=10)
    assert [row["positive_rate"] for row in table] == pytest.approx(rates.tolist(), rel=1e-12)
    assert [row["mean_score"] for row in table] == pytest.approx(means.tolist(), rel=1e-6)  # of 32-bit floats


@pytest.mark.parametrize("data", ["calibrated", "beta", "rare", "no better than chance", "breast cancer"])
def test_adaptive_bins_hold_about_equally_many_rows(data: str) -> None:
    score, label = DATA[data]
    quality, _ = report(fold(DATA[data]))
    order = np.argsort(score, kind="stable")
    parts = np.array_split(order, 10)
    equal = sum(abs(score[part].sum() - label[part].sum()) for part in parts) / len(score)
    # A bin's edge may move by the rows of one fine bin, each of which can change the sum by two of its own.
    assert quality["adaptive_ece"] == pytest.approx(equal, abs=2 * 9 * 30 / len(score))


def test_well_calibrated_scores_are_within_their_interval_of_nothing() -> None:
    rows = _calibrated(np.random.default_rng(4).normal(0, 2, 50_000), 5)
    intervals = report(fold(rows))[0]["intervals"]
    assert intervals["ece"]["low"] == intervals["mce"]["low"] == 0.0
    assert intervals["ece"]["high"] < 0.02
    score, label = rows
    worse = report(fold((np.sqrt(score), label)))[0]
    assert 0.08 < worse["intervals"]["ece"]["low"] < worse["ece"] < worse["intervals"]["ece"]["high"]
    assert worse["intervals"]["mce"]["low"] < worse["mce"] < worse["intervals"]["mce"]["high"]


# --- intervals -------------------------------------------------------------------------------------------------------


def _de_long(rows: Rows) -> float:
    """The standard error of the area, from every pair."""
    score, label = rows
    positive, negative = score[label == 1], score[label == 0]
    wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    parts = (wins.mean(1).var(ddof=1) / len(positive), wins.mean(0).var(ddof=1) / len(negative))
    return math.sqrt(sum(parts))


@pytest.mark.parametrize("data", ["calibrated", "beta", "rare", "two decimals", "breast cancer"])
def test_intervals_are_those_of_the_rows(data: str) -> None:
    score, label = DATA[data]
    quality, _ = report(shards(DATA[data], 4))
    kept = score.astype(np.float32).astype(np.float64)
    squares = (kept - label) ** 2
    losses = -np.log(np.clip(np.where(label == 1, kept, 1 - kept), 2.0**-23, 1))
    for name, error in (
        ("roc_auc", _de_long((kept, label))),
        ("brier", squares.std(ddof=1) / math.sqrt(len(label))),
        ("log_loss", losses.std(ddof=1) / math.sqrt(len(label))),
    ):
        low, high = quality["intervals"][name].values()
        assert low == pytest.approx(quality[name] - Z * error, rel=1e-3), name
        assert high == pytest.approx(min(quality[name] + Z * error, 1.0 if name != "log_loss" else 9.0), rel=1e-3), name


def test_intervals_hold_about_as_often_as_they_say() -> None:
    generator = np.random.default_rng(11)
    true = {name: report(fold(_calibrated(generator.normal(0, 2, 400_000), 12)))[0][name] for name in _JUDGED}
    hits = dict.fromkeys(_JUDGED, 0)
    for seed in range(300):
        quality, _ = report(fold(_calibrated(generator.normal(0, 2, 300), seed)))
        for name in _JUDGED:
            low, high = quality["intervals"][name].values()
            hits[name] += low <= true[name] <= high
    assert all(0.91 * 300 <= count <= 0.99 * 300 for count in hits.values()), hits


_JUDGED = ("roc_auc", "average_precision", "brier", "log_loss")


def test_distances_that_are_chance_alone_are_seldom_surely_there() -> None:
    generator = np.random.default_rng(13)
    lows = [report(fold(_calibrated(generator.normal(0, 2, 300), seed)))[0]["intervals"] for seed in range(200)]
    for name in ("ece", "mce", "adaptive_ece"):
        assert sum(one[name]["low"] > 0 for one in lows) <= 0.1 * 200, name


# --- nothing to say --------------------------------------------------------------------------------------------------


def test_without_scores_all_is_null() -> None:
    quality, reasons = report(Scores())
    names = {"roc_auc", "average_precision", "ks", "log_loss", "brier", "ece", "mce", "adaptive_ece"}
    assert {name for name, value in quality.items() if value is None} == names
    assert (quality["bounds"], quality["calibration"], quality["intervals"]) == ({}, [], {})
    assert set(reasons.values()) == {"no_scores"}
    assert reasons.keys() == {f"quality.{name}" for name in (*names, "bounds", "calibration")}


@pytest.mark.parametrize(
    ("names", "label", "predicted", "code"),
    [
        (["no", "yes"], [0, 0], [0, 0], "unknown_positive_class"),
        (["a", "b", "c"], [0, 1], [2, 0], "too_many_classes"),
    ],
)
def test_without_a_positive_class_all_is_null(
    names: list[str], label: list[int], predicted: list[int], code: str
) -> None:
    state = fold((np.array([0.2, 0.7]), np.array(label)), names=names, predicted=predicted)
    quality, reasons = report(state)
    assert quality["brier"] is quality["roc_auc"] is None
    assert set(reasons.values()) == {code}


def test_the_positive_class_is_the_greater_of_two_names() -> None:
    rows = np.array([0.2, 0.7, 0.6]), np.array([0, 1, 0])
    assert report(fold(rows, names=["no", "yes"]))[0] == report(fold(rows))[0]
    assert report(fold(rows, names=["yes", "no"], predicted=[0, 0, 0]))[0]["roc_auc"] == 0.0


def test_one_class_has_no_order() -> None:
    for label, precision in (([1, 1], 1.0), ([0, 0], None)):
        quality, reasons = report(fold((np.array([0.2, 0.7]), np.array(label)), predicted=[0, 1]))
        assert quality["roc_auc"] is quality["ks"] is quality["bounds"]["roc_auc"] is None
        assert quality["average_precision"] == precision
        assert reasons["quality.roc_auc"] == reasons["quality.bounds.roc_auc"] == "one_class"
        assert quality["brier"] == pytest.approx(((0.2 - label[0]) ** 2 + (0.7 - label[0]) ** 2) / 2, rel=1e-6)


def test_one_row_has_no_variance() -> None:
    quality, reasons = report(fold((np.array([0.25]), np.array([1]))))
    assert quality["brier"] == 0.5625
    assert quality["log_loss"] == pytest.approx(math.log(4), rel=1e-14)
    assert (quality["ece"], quality["mce"], quality["adaptive_ece"]) == (0.75, 0.75, pytest.approx(0.75))
    assert reasons["quality.intervals.brier"] == reasons["quality.intervals.log_loss"] == "no_variance"


def test_perfect_scores_are_perfect() -> None:
    quality, reasons = report(fold((np.array([0.0, 0.0, 1.0, 1.0]), np.array([0, 0, 1, 1]))))
    assert (quality["roc_auc"], quality["average_precision"], quality["ks"]) == (1.0, 1.0, 1.0)
    assert (quality["brier"], quality["ece"]) == (0.0, 0.0)
    assert reasons["quality.intervals.roc_auc"] == "no_variance"


@given(
    rows=st.lists(
        st.tuples(st.floats(0, 1) | st.sampled_from([0.0, 1.0, 0.5, 0.3, 0.3 + 1e-6]), st.integers(0, 1)),
        min_size=1,
        max_size=12,
    )
)
@settings(max_examples=150, deadline=None)
def test_small_windows_are_scikit_learns_or_null(rows: list[tuple[float, int]]) -> None:
    score, label = (np.array(column) for column in zip(*rows, strict=True))
    kept = score.astype(np.float32).astype(np.float64)
    quality, reasons = report(fold((score, label), predicted=[0, *[1] * (len(rows) - 1)] if len(rows) > 1 else [1]))
    assert quality["brier"] == pytest.approx(float(((kept - label) ** 2).mean()), rel=1e-12, abs=1e-300)
    if 0 < label.sum() < len(label):
        assert quality["bounds"]["roc_auc"]["low"] <= metrics.roc_auc_score(label, kept) + 1e-15
        assert metrics.roc_auc_score(label, kept) <= quality["bounds"]["roc_auc"]["high"] + 1e-15
    else:
        assert reasons["quality.roc_auc"] == "one_class"
    if label.any():
        precision = metrics.average_precision_score(label, kept)
        assert quality["bounds"]["average_precision"]["low"] <= precision + 1e-15
        assert precision <= quality["bounds"]["average_precision"]["high"] + 1e-15
