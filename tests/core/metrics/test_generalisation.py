import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, mean_absolute_error

from pipeline.core.family import Report
from pipeline.core.metrics.generalisation import report_generalisation

TRACKED = ("accuracy", "mae")


def test_the_errors_of_training_test_and_live_rows_are_compared() -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 2, 3_000)
    guess = np.where(rng.random(3_000) < np.repeat([0.05, 0.1, 0.2], 1_000), 1 - truth, truth)
    scores = [accuracy_score(truth[part], guess[part]) for part in np.split(np.arange(3_000), 3)]
    losses = [mean_absolute_error(truth[part], 3 * guess[part]) for part in np.split(np.arange(3_000), 3)]
    measured = {name: {"accuracy": scores[place], "mae": losses[place]} for place, name in enumerate(("train", "test"))}
    report = report_generalisation(TRACKED, {"accuracy": scores[2], "mae": losses[2]}, measured)
    assert report.reasons == {}
    for metric, errors in (("accuracy", [1 - score for score in scores]), ("mae", losses)):
        found = report.values["generalisation"][metric]
        assert found["overfit_gap"] == pytest.approx(errors[1] - errors[0], rel=1e-12)
        assert found["live_gap"] == pytest.approx(errors[2] - errors[0], rel=1e-12)
        assert found["train_live_ratio"] == pytest.approx(errors[0] / errors[2], rel=1e-12)
        assert found["complement"] == pytest.approx(1 - errors[0] / errors[2], rel=1e-12)
    of_accuracy = report.values["generalisation"]["accuracy"]
    assert (of_accuracy["train"], of_accuracy["test"]) == (scores[0], scores[1])
    assert of_accuracy["live_gap"] > of_accuracy["overfit_gap"] > 0


def test_what_was_not_measured_or_is_not_known_has_its_reason() -> None:
    measured = {"train": {"mae": 2.0}, "test": {"accuracy": 0.5}}
    report = report_generalisation(TRACKED, {"accuracy": 1.0, "mae": None}, measured)
    nothing = dict.fromkeys(("overfit_gap", "live_gap", "train_live_ratio", "complement"))
    assert report.values["generalisation"] == {
        "accuracy": {"train": None, "test": 0.5, **nothing},
        "mae": {"train": 2.0, "test": None, **nothing},
    }
    said = {path.removeprefix("generalisation."): code for path, code in report.reasons.items()}
    assert said["accuracy.train"] == said["accuracy.live_gap"] == said["mae.overfit_gap"] == "not_measured"
    assert said["mae.live_gap"] == said["mae.train_live_ratio"] == said["mae.complement"] == "live_null"


def test_a_perfect_model_has_no_ratio() -> None:
    report = report_generalisation(TRACKED, {"accuracy": 1.0}, {"train": {"accuracy": 0.75}})
    assert report.values["generalisation"]["accuracy"]["live_gap"] == -0.25
    assert report.reasons["generalisation.accuracy.train_live_ratio"] == "undefined"


@pytest.mark.parametrize("measured", [{}, {"train": {}, "test": {}}, {"train": {"loss": 1.0, "accuracy": None}}])
def test_a_model_event_without_the_metrics_leaves_the_section_empty(
    measured: dict[str, dict[str, float | None]],
) -> None:
    report = report_generalisation(TRACKED, {"accuracy": 1.0}, measured)
    assert report.values == {"generalisation": {}}
    assert report.reasons == {"generalisation": "not_measured"}


def test_where_nothing_is_tracked_nothing_is_missing() -> None:
    assert report_generalisation((), {"accuracy": 1.0}, {}) == Report({"generalisation": {}})


numbers = st.none() | st.floats(-1e100, 1e100)


@given(numbers, numbers, st.none() | st.floats(0, 1e300))
def test_every_null_has_a_reason_and_nothing_is_infinite(
    train: float | None, test: float | None, live: float | None
) -> None:
    report = report_generalisation(TRACKED, {"mae": live}, {"train": {"mae": train}, "test": {"mae": test}})
    found = report.values["generalisation"].get("mae", {})
    assert all(value is None or math.isfinite(value) for value in found.values())
    nulls = {f"generalisation.mae.{name}" for name, value in found.items() if value is None}
    assert nulls == {path for path in report.reasons if path != "generalisation"}
