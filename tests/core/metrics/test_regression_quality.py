"""Every metric of a regression beside scikit-learn's and numpy's, sharded, merged and taken back."""

import math
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import datasets, metrics
from sklearn.linear_model import LinearRegression

from pipeline.core.accumulate.buckets import RELATIVE_ERROR
from pipeline.core.accumulate.errors import Errors, fold_errors
from pipeline.core.accumulate.residuals import Residuals, fold_residuals
from pipeline.core.events import Cells, Float64s, Group, Json, LabelChanges, Task
from pipeline.core.family import Context
from pipeline.core.metrics.errors import report_errors
from pipeline.core.metrics.residuals import report_residuals

CONTEXT = Context("m", "1", Task.REGRESSION, "", 60_000, False, None, 0.2, 0.1)  # noqa: FBT003 - final
Rows = tuple[Float64s, Float64s]


def fold(rows: Rows, sign: int = 1) -> tuple[Errors, Residuals]:
    predicted, label = (np.array(column, np.float64) for column in rows)
    count = len(label)
    zeros = np.zeros(count, np.int32)
    group = [Group("m", "1", Task.REGRESSION)]
    cells = Cells(np.arange(count, dtype=np.int32), zeros, zeros[:1], [""], np.zeros(1, np.int64), group)
    signs = np.full(count, sign, np.int64)
    changes = LabelChanges(predicted.view(np.int64), label.view(np.int64), signs, [])
    return fold_errors(changes, cells).get(0, Errors()), fold_residuals(changes, cells).get(0, Residuals())


def shards(rows: Rows, seed: int) -> tuple[Errors, Residuals]:
    """The same rows in another order and in parts, with rows that are counted and taken back again."""
    predicted, label = rows
    generator = np.random.default_rng(seed)
    parts = [
        fold((predicted[part], label[part]))
        for part in np.array_split(generator.permutation(len(label)), 4)
        if len(part)
    ]
    extra = generator.lognormal(0, 9, (2, 30))
    parts += [fold((extra[0], -extra[1]), -1), fold((extra[0], -extra[1]))]
    merged = Errors(), Residuals()
    for place in generator.permutation(len(parts)):
        merged[0].merge(parts[place][0])
        merged[1].merge(parts[place][1])
    return merged


def report(states: tuple[Errors, Residuals]) -> tuple[dict[str, Json], dict[str, str]]:
    both = report_errors(states[0], CONTEXT), report_residuals(states[1], CONTEXT)
    quality = {name: value for one in both for name, value in one.values["quality"].items()}
    quality["intervals"] = {name: value for one in both for name, value in one.values["quality"]["intervals"].items()}
    return quality, {path: code for one in both for path, code in one.reasons.items()}


def _generated(location: float, scale: float, noise: float) -> Rows:
    generator = np.random.default_rng(3)
    label = np.abs(generator.normal(location, scale, 1_500))
    return np.abs(label + generator.normal(0.02 * scale, noise, 1_500)), label


def _real() -> Rows:
    features, label = datasets.load_diabetes(return_X_y=True)
    return LinearRegression().fit(features[::2], label[::2]).predict(features[1::2]), label[1::2]


DATA: Mapping[str, Rows] = {
    "prices": _generated(100.0, 20.0, 5.0),
    "wide": tuple(np.random.default_rng(5).lognormal(0, 6, (2, 999))),
    "far from zero": _generated(1e9, 3.0, 0.5),
    "tiny": _generated(0.0, 1e-9, 1e-10),
    "diabetes": _real(),
}

ORACLES: Mapping[str, Callable[[Float64s, Float64s], float]] = {
    "mse": metrics.mean_squared_error,
    "rmse": metrics.root_mean_squared_error,
    "mae": metrics.mean_absolute_error,
    "mape": metrics.mean_absolute_percentage_error,
    "r2": metrics.r2_score,
    "explained_variance": metrics.explained_variance_score,
    "smape": lambda label, guess: float(np.mean(2 * np.abs(guess - label) / (np.abs(guess) + np.abs(label)))),
    "bias": lambda label, guess: math.fsum((guess - label).tolist()) / len(label),
}


@pytest.mark.parametrize("data", DATA)
def test_every_exact_metric_is_scikit_learns(data: str) -> None:
    predicted, label = DATA[data]
    states = shards(DATA[data], 1)
    assert [one.to_wire() for one in states] == [one.to_wire() for one in fold(DATA[data])]
    quality, reasons = report(states)
    for name, oracle in ORACLES.items():
        # scikit-learn sums rounded numbers: where 1 - a/b cancels, its own error is as large as this.
        assert quality[name] == pytest.approx(oracle(label, predicted), rel=1e-12, abs=1e-12), name
    if data != "tiny":  # there, the difference of logarithms is all rounding, in scikit-learn as well
        assert quality["msle"] == pytest.approx(metrics.mean_squared_log_error(label, predicted), rel=1e-12)
        assert quality["rmsle"] == pytest.approx(metrics.root_mean_squared_log_error(label, predicted), rel=1e-12)
    assert reasons == {}


@pytest.mark.parametrize("data", DATA)
def test_every_quantile_is_within_the_sketchs_bound(data: str) -> None:
    predicted, label = DATA[data]
    quality, _ = report(shards(DATA[data], 2))
    error, bound = predicted - label, RELATIVE_ERROR * (1 + 1e-9)
    assert quality["median_absolute_error"] == pytest.approx(metrics.median_absolute_error(label, predicted), rel=bound)
    for name, share in (("absolute_error_p90", 0.9), ("absolute_error_p99", 0.99)):
        assert quality[name] == pytest.approx(np.quantile(np.abs(error), share), rel=bound)
    for name in ("residual_p05", "residual_p25", "residual_p50", "residual_p75", "residual_p95"):
        assert quality[name] == pytest.approx(np.quantile(error, int(name[-2:]) / 100, method="lower"), rel=bound), name


@given(
    rows=st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=1, max_size=12), seed=st.integers(0, 99)
)
@settings(max_examples=40, deadline=None)
def test_small_windows_in_any_order_are_numpys(rows: list[tuple[float, float]], seed: int) -> None:
    predicted, label = (np.array(column) for column in zip(*rows, strict=True))
    states = shards((predicted, label), seed)
    assert [one.to_wire() for one in states] == [one.to_wire() for one in fold((predicted, label))]
    quality, reasons = report(states)
    error = predicted - label
    median = float(np.median(np.abs(error)))
    assert quality["median_absolute_error"] == pytest.approx(median, rel=RELATIVE_ERROR * (1 + 1e-9), abs=2.0**-64)
    logs = bool(((predicted > -1) & (label > -1)).all())
    assert (quality["msle"] is not None) == logs
    assert reasons.get("quality.msle") == (None if logs else "not_above_minus_one")
    if len(set(label.tolist())) == 1:
        assert reasons["quality.r2"] == ("too_few_rows" if len(label) == 1 else "constant_target")
    elif np.var(label) > 1e-3:
        with np.errstate(all="ignore"):
            assert quality["r2"] == pytest.approx(metrics.r2_score(label, predicted), rel=1e-9, abs=1e-9)


def test_intervals_of_means_are_the_normal_ones() -> None:
    predicted, label = DATA["prices"]
    quality, _ = report(fold(DATA["prices"]))
    error = predicted - label
    for name, values in (("mae", np.abs(error)), ("bias", error), ("mse", error**2)):
        half = 1.959963984540054 * values.std(ddof=1) / math.sqrt(len(values))
        expected = values.mean() - half, values.mean() + half
        found = quality["intervals"][name]
        assert (found["low"], found["high"]) == pytest.approx(expected, rel=1e-9)
    mse, rmse = quality["intervals"]["mse"], quality["intervals"]["rmse"]
    assert (rmse["low"], rmse["high"]) == (math.sqrt(mse["low"]), math.sqrt(mse["high"]))


def test_the_interval_of_the_median_holds() -> None:
    generator = np.random.default_rng(9)
    held, rounds = 0, 300
    for _ in range(rounds):
        quality, _ = report(fold((generator.exponential(1.0, 60), np.zeros(60))))
        found = quality["intervals"]["median_absolute_error"]
        held += found["low"] <= math.log(2) <= found["high"]
    assert held / rounds > 0.92


def test_few_rows_or_rows_all_alike_have_no_intervals() -> None:
    one, why = report(fold((np.array([2.0]), np.array([1.0]))))
    assert dict.fromkeys(one["intervals"]) == one["intervals"]
    assert why["quality.intervals.mae"] == "no_variance"
    assert why["quality.intervals.median_absolute_error"] == "too_few_rows"
    _, why = report(fold((np.full(50, 0.1), np.zeros(50))))
    assert {why[f"quality.intervals.{name}"] for name in ("mae", "bias", "mse", "rmse")} == {"no_variance"}


def test_far_errors_are_null_where_the_doubles_or_the_sketch_end() -> None:
    rows = np.array([1e200, 3e19, 1.0]), np.zeros(3)
    quality, reasons = report(fold(rows))
    assert (quality["median_absolute_error"], quality["residual_p95"]) == (None, None)
    assert reasons["quality.residual_p95"] == reasons["quality.mse"] == "overflow"
    assert quality["residual_p05"] == pytest.approx(1.0, rel=RELATIVE_ERROR * (1 + 1e-9))
    assert "mse" not in quality["intervals"]
    quality, reasons = report(fold((np.array([1e300]), np.array([0.0]))))
    assert (quality["mape"], reasons["quality.mape"]) == (None, "overflow")


def test_a_smape_of_nothing_against_nothing_is_zero() -> None:
    assert report(fold((np.zeros(2), np.zeros(2))))[0]["smape"] == 0.0
    assert report(fold((np.array([1.7e308]), np.array([1.6e308]))))[0]["smape"] == pytest.approx(0.2 / 3.3)


def test_other_tasks_have_no_residuals() -> None:
    context = Context("m", "1", Task.BINARY, "", 60_000, False, None, 0.2, 0.1)  # noqa: FBT003 - final
    assert report_residuals(Residuals(), context).values == {}
