"""Regression metrics against scikit-learn, and beyond the doubles."""

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, mean_squared_error, root_mean_squared_error

from pipeline.core.accumulate.errors import Errors, fold_errors
from pipeline.core.accumulate.sets import Sets, fold_sets
from pipeline.core.events import Cells, Float64s, Group, LabelChanges, Task
from pipeline.core.family import Context, Report
from pipeline.core.metrics.errors import report_errors
from pipeline.core.metrics.intervals import normal_deviate, wilson_interval
from pipeline.core.metrics.sets import report_sets

GROUPS = [Group("m", "1", Task.BINARY), Group("r", "1", Task.REGRESSION), Group("s", "1", Task.MULTILABEL)]


def context(task: Task) -> Context:
    return Context("m", "1", task, "", 60_000, True, None, 0.2, 0.1)  # noqa: FBT003 - final


def cells(group: list[int]) -> Cells:
    """Row i stands in cell i mod the number of cells."""
    row = np.arange(len(group), dtype=np.int32)
    count = max(group) + 1
    numbers = np.array(group, np.int32)
    return Cells(row, numbers, np.arange(count, dtype=np.int32), [""] * count, np.zeros(count, np.int64), GROUPS)


def fold(predicted: Float64s, label: Float64s) -> Errors:
    signs = np.ones(len(label), np.int64)
    changes = LabelChanges(predicted.view(np.int64), label.view(np.int64), signs, [])
    return fold_errors(changes, cells([1] * len(label)))[1]


def test_regression_is_scikit_learns() -> None:
    generator = np.random.default_rng(2)
    label, predicted = generator.normal(100, 20, (2, 1000))
    quality = report_errors(fold(predicted, label), context(Task.REGRESSION)).values["quality"]
    assert quality["mse"] == pytest.approx(mean_squared_error(label, predicted), rel=1e-14)
    assert quality["rmse"] == pytest.approx(root_mean_squared_error(label, predicted), rel=1e-14)
    assert quality["mae"] == pytest.approx(mean_absolute_error(label, predicted), rel=1e-14)
    assert quality["bias"] == pytest.approx(np.mean(predicted - label), rel=1e-12)


def test_a_square_beyond_the_doubles_is_null_and_its_root_is_not() -> None:
    found = report_errors(fold(np.array([1e200]), np.array([0.0])), context(Task.REGRESSION))
    quality = found.values["quality"]
    assert (quality["mse"], quality["rmse"], quality["mae"], quality["bias"]) == (None, 1e200, 1e200, 1e200)
    assert found.reasons["quality.mse"] == "overflow"
    assert "quality.rmse" not in found.reasons


def test_an_error_beyond_the_doubles_is_null_until_it_is_taken_back() -> None:
    state = fold(np.array([1.7e308, 3.0]), np.array([-1.7e308, 1.0]))
    assert set(report_errors(state, context(Task.REGRESSION)).reasons.values()) == {"overflow"}
    back = LabelChanges(
        np.array([1.7e308]).view(np.int64), np.array([-1.7e308]).view(np.int64), -np.ones(1, np.int64), []
    )
    state.merge(fold_errors(back, cells([1]))[1])
    assert report_errors(state, context(Task.REGRESSION)).values["quality"]["mse"] == 4.0


def test_no_labels_give_null_with_a_reason() -> None:
    found = report_errors(Errors(), context(Task.REGRESSION))
    quality = found.values["quality"]
    assert quality["intervals"] == {}
    assert {name for name, value in quality.items() if value is not None} == {"intervals"}
    assert found.reasons == {f"quality.{name}": "no_labels" for name in quality}
    none = report_sets(Sets(), context(Task.MULTILABEL))
    assert none.values == {"quality": {"subset_accuracy": None, "intervals": {}}}
    assert set(none.reasons.values()) == {"no_labels"}


def test_each_task_is_folded_by_its_own_family_only() -> None:
    #                     binary  regression  sets     sets
    predicted = np.array([1, np.float64(2.5).view(np.int64), 77, -5], np.int64)
    label = np.array([1, np.float64(2.0).view(np.int64), 77, 6], np.int64)
    changes = LabelChanges(predicted, label, np.ones(4, np.int64), ["a", "b"])
    found = cells([0, 1, 2, 2])
    assert {cell: state.to_wire() for cell, state in fold_sets(changes, found).items()} == {2: [2, 1]}
    assert list(fold_errors(changes, found)) == [1]
    quality = report_sets(Sets(2, 1), context(Task.MULTILABEL)).values["quality"]
    low, high = wilson_interval(1, 2, normal_deviate(0.95))
    assert quality == {"subset_accuracy": 0.5, "intervals": {"subset_accuracy": {"low": low, "high": high}}}


def test_other_tasks_get_empty_reports() -> None:
    assert report_errors(Errors(1), context(Task.BINARY)) == Report()
    assert report_sets(Sets(1, 1), context(Task.REGRESSION)) == Report()


def test_a_state_of_fewer_sums_is_refused() -> None:
    assert Errors.from_wire(Errors(1).to_wire()).count == 1
    with pytest.raises(ValueError, match="14 parts, not 5"):
        Errors.from_wire([1, 0, [0, 0], [0, 0], [0, 0]])
