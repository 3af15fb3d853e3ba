"""The registry against what real windows say, in both directions, and ``docs/metrics.md`` against the registry."""

import importlib
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config import Config
from pipeline.core.accumulate.binned_errors import BinnedErrors, fold_binned_errors
from pipeline.core.accumulate.bins import Bins
from pipeline.core.accumulate.class_scores import ClassScores, fold_class_scores
from pipeline.core.accumulate.confidences import Confidences, fold_confidences
from pipeline.core.accumulate.confusion import Confusion, fold_confusion
from pipeline.core.accumulate.counts import Counts
from pipeline.core.accumulate.delays import Delays, fold_delays
from pipeline.core.accumulate.errors import fold_errors
from pipeline.core.accumulate.hosts import fold_resources
from pipeline.core.accumulate.key_counts import KeyCounts
from pipeline.core.accumulate.latency import fold_latency
from pipeline.core.accumulate.moments import fold_moments
from pipeline.core.accumulate.multilabel import fold_multilabel
from pipeline.core.accumulate.past_labels import PastLabels
from pipeline.core.accumulate.predicted_scores import PredictedScores, fold_predicted_scores
from pipeline.core.accumulate.predicted_values import fold_predicted_values
from pipeline.core.accumulate.ranking import fold_ranking
from pipeline.core.accumulate.residuals import fold_residuals
from pipeline.core.accumulate.scores import Scores, fold_scores
from pipeline.core.accumulate.sets import Sets
from pipeline.core.events import (
    Cells,
    FeatureColumn,
    FeatureTable,
    Float64s,
    Group,
    Int64s,
    Json,
    LabelChanges,
    Members,
    Predictions,
    Ragged,
    Resources,
    Task,
)  # fmt: skip
from pipeline.core.families import Context, State
from pipeline.core.metrics.ageing import Trend, report_ageing
from pipeline.core.metrics.class_estimates import report_class_estimates
from pipeline.core.metrics.document import as_markdown
from pipeline.core.metrics.estimates import report_estimates
from pipeline.core.metrics.expected_errors import learn_errors, report_expected_errors
from pipeline.core.metrics.generalisation import report_generalisation
from pipeline.core.metrics.maturity import Age, MaturitySettings
from pipeline.core.metrics.objectives import Objective
from pipeline.core.metrics.registry import METRICS, REASONS, metrics_at
from pipeline.core.metrics.score_calibration import ScoreCalibration
from pipeline.core.metrics.settings import QualitySettings
from pipeline.core.metrics.worst_segments import RankingSettings
from pipeline.core.paths import find
from pipeline.core.reference import ReferenceProfile, build_profile
from pipeline.core.rules import RuleState, judge, subjects
from pipeline.core.window import WindowSize
from pipeline.processors.maturity import add_maturity
from pipeline.processors.monitor_config import monitor_settings
from pipeline.processors.objectives import Objectives
from pipeline.processors.ranking import worst_segments
from pipeline.processors.tracks import Track
from pipeline.processors.window_events import SECTIONS, add_report, host_event, window_event
from tests.processors.schema import check

ROOT = Path(__file__).parents[3]
CALIBRATION = ScoreCalibration("identity", (), (), ("0", "1"))
COMPARED = ("worst_segments",)
MEASURED: Mapping[str, Mapping[str, Json]] = {
    "train": {"accuracy": 0.9, "f1_macro": 0.9, "mae": 1e100},
    "test": {"accuracy": 0.8, "mae": 3.0, "r2": 0.5},
}
TRENDS = {name: Trend() for name in ("f1", "mae", "rmse", "r2")}
for place, values in enumerate(((0.5, 1.0, 1e308, 0.1), (0.6, 2.0, -1e308, 0.2), (0.9, 3.0, 1.0, None))):
    for trend, value in zip(TRENDS.values(), values, strict=True):
        if value is not None:
            trend.add(place * 60_000, value, 5)
RANKING = RankingSettings(("accuracy", "mae"), 3, 2)
SCALARS = ("label_coverage", "throughput_per_s", "expected_label_coverage", "label_maturity")
PAST = PastLabels(80, Delays({"0": np.array([[0, 40]]), "1": np.array([[300, 40]])}))
SIZE = WindowSize(60_000, 60_000)
ROWS = 150
SETTINGS = QualitySettings(betas=(2.0, 0.5), class_intervals=True, gains={"m": {("1", "1"): 1.0}})
FEATURES = {"a": FeatureColumn(np.arange(float(ROWS))), "b.c": FeatureColumn(np.full(ROWS, math.nan))}
PROFILE = build_profile(FEATURES, model="m", model_version="1", rows=ROWS, bins=4, max_categories=4)
GONE = {"b.c": FeatureColumn(np.full(ROWS, math.nan), np.zeros(ROWS, np.int32), ["x"])}


def cells(task: Task, rows: int) -> Cells:
    zeros = np.zeros(rows, np.int32)
    return Cells(
        np.arange(rows, dtype=np.int32), zeros, zeros[:1], [""], np.zeros(1, np.int64), [Group("m", "1", task)]
    )


def of_predictions(task: Task) -> dict[str, State]:
    zeros, times = np.zeros(ROWS, np.int32), np.zeros(ROWS, np.int64)
    table = FeatureTable(0, np.arange(ROWS, dtype=np.int32), FEATURES | GONE)
    rows = Predictions(
        times, zeros, np.zeros((ROWS, 2), np.uint64), times, zeros, times, times.astype(float),
        np.geomspace(1, 50, ROWS), zeros, [Group("m", "1", task)], [], [()], [table],
    )  # fmt: skip
    bins = Bins(PROFILE.id, ROWS, np.zeros(PROFILE.size, np.int64))
    feature = PROFILE.features["a"]
    bins.counts[PROFILE.places["a"]] = np.bincount(feature.slot(FEATURES["a"]), minlength=feature.slots)[:-1]
    return {
        "latency": fold_latency(rows, cells(task, ROWS), {})[0],
        "moments": fold_moments(rows, cells(task, ROWS), {})[0],
        "bins": bins,
    }


def lists_of(rows: Sequence[Sequence[int]]) -> Ragged:
    flat = np.array([member for row in rows for member in row], np.int64)
    return Ragged(np.cumsum([0, *map(len, rows)]), flat, np.ones(len(flat)))


def predicted_scores(guess: Int64s, score: Float64s, names: Sequence[str]) -> dict[str, State]:
    count, zeros, times = len(guess), np.zeros(len(guess), np.int32), np.zeros(len(guess), np.int64)
    rows = Predictions(
        times, zeros, np.zeros((count, 2), np.uint64), times, zeros, guess, score, score, zeros,
        [Group("m", "1", Task.BINARY)], names, [()],
    )  # fmt: skip
    return {"predicted_scores": fold_predicted_scores(rows, cells(Task.BINARY, count), {})[0]}


def predicted_values(guess: Int64s) -> dict[str, State]:
    count, zeros, none = len(guess), np.zeros(len(guess), np.int32), np.full(len(guess), math.nan)
    rows = Predictions(
        guess, zeros, np.zeros((count, 2), np.uint64), guess, zeros, guess, none, none, zeros,
        [Group("m", "1", Task.REGRESSION)], [], [()],
    )  # fmt: skip
    return {"predicted_values": fold_predicted_values(rows, cells(Task.REGRESSION, count), {})[0]}


def class_scores(changes: LabelChanges, where: Cells) -> dict[str, State]:
    """Half sure of what was predicted, but of the last row."""
    lists = lists_of([[guess, guess] for guess in changes.predicted[:-1].tolist()] + [[]])
    guessed = replace(lists, weights=lists.weights / 2)
    rows = len(changes) - 1
    listed = Ragged(np.arange(rows + 1), changes.predicted[:-1], np.linspace(0.25, 0.75, rows))
    zeros, times, missing = np.zeros(rows + 1, np.int32), np.zeros(rows + 1, np.int64), np.full(rows + 1, math.nan)
    predictions = Predictions(
        times, zeros, np.zeros((rows + 1, 2), np.uint64), times, zeros, changes.predicted, missing, missing, zeros,
        where.groups, changes.classes, [()],
        members=Members(np.arange(rows), listed),
    )  # fmt: skip
    return {
        "class_scores": fold_class_scores(replace(changes, guessed=guessed), where).get(0, ClassScores()),
        "confidences": fold_confidences(predictions, where, {}).get(0, Confidences()),
    }


def of_labels(task: Task, predicted: Sequence[Any], label: Sequence[Any]) -> dict[str, State]:
    signs, where = np.ones(len(label), np.int64), cells(task, len(label))
    if task is Task.REGRESSION:
        guesses, truths = (np.array(column, np.float64).view(np.int64) for column in (predicted, label))
        changes = LabelChanges(guesses, truths, signs, [])
        return {
            "errors": fold_errors(changes, where)[0],
            "residuals": fold_residuals(changes, where)[0],
            "binned_errors": fold_binned_errors(changes, where).get(0, BinnedErrors()),
            **predicted_values(guesses),
        }
    if task is Task.RANKING:
        gains = replace(
            lists_of([sorted(one) for one in label]), weights=np.array([g for one in label for g in one.values()])
        )
        changes = LabelChanges(signs, signs, signs, [], guessed=lists_of(predicted), stated=gains)
        return {"ranking": fold_ranking(changes, where)[0]}
    if task is Task.MULTILABEL:
        changes = LabelChanges(
            signs, signs, signs, ["a", "b", "c"], guessed=lists_of(predicted), stated=lists_of(label)
        )
        return {"sets": Sets(len(label), 1), "multilabel": fold_multilabel(changes, where)[0]}
    names = ["0", "1", "x", "y"]
    guess, truth = (np.array([names.index(str(one)) for one in column], np.int64) for column in (predicted, label))
    scores = np.linspace(0.125, 0.875, len(label))
    estimable = predicted_scores(guess, scores, names) if task is Task.BINARY else {}
    changes = LabelChanges(guess, truth, signs, names, delay_ms=np.arange(len(label)), score=scores)
    return {
        "confusion": fold_confusion(changes, where).get(0, Confusion()),
        "delays": fold_delays(changes, where).get(0, Delays()),
        "scores": fold_scores(changes, where).get(0, Scores()),
        **estimable,
        **(class_scores(changes, where) if task is Task.MULTICLASS else {}),
    }


def event_of(
    task: Task,
    states: Mapping[str, State],
    reference: ReferenceProfile | None,
    *,
    rows: int,
    past: PastLabels = PAST,
    age_ms: int = 10**9,
) -> Json:
    track = Track(Group("m", "1", task), "")
    track.merge_pane(0, {"counts": Counts({"predictions": rows, "labelled": rows and 5}), **states})
    context = Context("m", "1", task, "", 60_000, False, reference, 0.2, 0.1, SETTINGS)  # noqa: FBT003 - final
    event = window_event(context, track.merged(0, 60_000, 60_000), SIZE, 0, revision=0, now_ms=9)
    if task is Task.BINARY:
        predicted = states.get("predicted_scores", PredictedScores())
        assert isinstance(predicted, PredictedScores)
        known = None if "scores" in states else CALIBRATION
        add_report(event, report_estimates(predicted, known, event["quality"]["per_class"], event))
    if task is Task.REGRESSION:
        values, rows_of = states.get("predicted_values", KeyCounts()), states.get("binned_errors", BinnedErrors())
        assert isinstance(values, KeyCounts)
        assert isinstance(rows_of, BinnedErrors)
        # Learned from the window itself: predictions that are off by too much to be learned from are unseen.
        past_errors = learn_errors(rows_of) if len(rows_of.bins) else None
        add_report(event, report_expected_errors(values, past_errors, event))
    if task is Task.MULTICLASS:
        confidences = states.get("confidences", Confidences())
        assert isinstance(confidences, Confidences)
        add_report(event, report_class_estimates(confidences, None, event))
    age = Age(age_ms, 60_000, final=False)
    add_maturity(event, track.merged(0, 60_000, 60_000), past, age, MaturitySettings(20, 0.1, 0.95))
    tracked = ("accuracy", "f1_macro", "mae", "r2")
    add_report(event, report_generalisation(tracked, event["quality"], MEASURED if states else {}))
    objectives = Objectives([Objective("o", 0.9, 60_000, (SIZE,), latency_ms=20.0)], 60_000, 0, 60_000)
    objectives.count(track.group, "", 0, states)
    for report in objectives.report(track.group, "", 60_000, states):
        add_report(event, report)
    add_report(event, report_ageing(TRENDS, 0.95))
    window = (0, 60_000, 60_000)
    event["worst_segments"], why = worst_segments(RANKING, context, event["quality"], [track] if states else [], window)
    event["reasons"] |= why
    check("window_metrics.v1", event)
    check("window_metrics.v1", event)
    return event


@cache
def events() -> tuple[Json, ...]:
    full = {task: of_predictions(task) for task in Task}
    some: dict[Task, list[tuple[Any, Any]]] = {
        Task.BINARY: [
            ([0, 1, 1, 0, 1], [0, 1, 0, 0, 1]), ([1], [1]), ([0], [0]), (["x", "x", "y"], ["y", "x", 0]),
            ([0, 0], [0, 1]), ([1, 1], [0, 0]), ([0, 0], [1, 1]),
        ],
        Task.MULTICLASS: [([0, 1, "x", "y", 1], [0, 1, "x", 1, 1]), ([1, 1], [1, 1])],
        Task.MULTILABEL: [
            ([[0, 1], [0], [], [2], []], [[0], [0, 1], [1], [2], []]), ([[]], [[]]), ([[0]], [[]]),
            ([[], []], [[0], [1]]),
        ],
        Task.REGRESSION: [
            (np.arange(20.0) ** 2, np.arange(20.0)), ([1.0], [3.0]), ([1.0, 2.0], [3.0, 3.0]),
            ([-5.0, 1.0], [1.0, 2.0]), ([1e-300], [0.0]),
            ([1.7e308, 1.0], [-1.7e308, 1.0]), ([1e300, 1.0], [0.0, 3.0]), ([1e20] * 30, [0.0, 1.0] * 15),
            ([1e200, 1.7e308] * 9, [0.0, 1.0] * 9),
        ],
        Task.RANKING: [([[5, 3], [3], [4, 5]], [{3: 1.0, 5: 0.0}, {3: 2.0, 5: 3.0}, {7: 1.0}]), ([[1]], [{1: 0.0}])],
    }  # fmt: skip
    found = [event_of(task, {}, None, rows=0) for task in Task]
    found += [event_of(task, {}, PROFILE, rows=0) for task in Task]
    found.append(event_of(Task.RANKING, {}, ReferenceProfile("m", "1", 5, {}), rows=5))
    found.append(event_of(Task.RANKING, {"bins": Bins("other", ROWS)}, PROFILE, rows=5))
    young = of_labels(Task.BINARY, [0, 1], [0, 1])
    found += [event_of(Task.BINARY, young, PROFILE, rows=5, past=past, age_ms=0) for past in (PAST, PastLabels())]
    for guess, score in (([0, 0], 0.0), ([1, 1], 0.0), ([1, 1], 1.0)):
        states = predicted_scores(np.array(guess), np.full(2, score), ["0", "1"])
        found.append(event_of(Task.BINARY, states, PROFILE, rows=5))
    for task, pairs in some.items():
        found += [event_of(task, full[task] | of_labels(task, *columns), PROFILE, rows=ROWS) for columns in pairs]
    return tuple(found)


def host() -> Json:
    readings = Resources(
        np.zeros(2, np.int64), np.zeros(2, np.int32), np.array([1, 2]), np.zeros(2, np.int32), np.zeros(2, np.int32),
        np.array([0.5, 0.7]), ["node"], ["cpu.usage_ratio"], 2,
    )  # fmt: skip
    folded = fold_resources(readings, np.arange(2, dtype=np.int32), 60_000)
    return host_event("node", SIZE, 0, {metric: one.report() for (_, metric, _), one in folded.items()})


def leaves(path: str, value: Json) -> Iterator[tuple[str, Json]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from leaves(f"{path}.{name}", inner)
    elif isinstance(value, list):
        yield from leaves(path, {str(place): inner for place, inner in enumerate(value)})
    elif not isinstance(value, str):
        yield path, value


def said() -> Iterator[tuple[str, Json, Mapping[str, str]]]:
    for event in events():
        for section in (*SECTIONS, *COMPARED, *SCALARS, "counts"):
            for path, value in leaves(section, event[section]):
                yield path, value, event["reasons"]
    for path, value in leaves("host", host()["metrics"]):
        yield path, value, {}


def test_every_number_is_in_the_registry_once_and_every_entry_is_a_number_somewhere() -> None:
    numbers: set[str] = set()
    nulls: set[str] = set()
    for path, value, _ in said():
        (metric,) = metrics_at(path)
        (numbers if value is not None else nulls).add(metric.path)
    assert {metric.path for metric in METRICS} == numbers
    assert nulls == {metric.path for metric in METRICS if metric.nulls}


def test_every_null_has_a_reason_of_its_metric_and_every_reason_can_be() -> None:
    found = {(metric.path, code): False for metric in METRICS for code in metric.nulls}
    for path, value, reasons in said():
        (metric,) = metrics_at(path)
        if value is None:
            assert (metric.path, reasons[path]) in found, (path, reasons[path])
            found[metric.path, reasons[path]] = True
    empty = {
        (path, code) for event in events() for path, code in event["reasons"].items() if not list(find(event, path))
    }
    assert not empty
    # One reason stands for a section that is left empty.
    sections = {("quality.intervals.<metric>", "no_labels")}
    assert {key for key, seen in found.items() if not seen} == sections


def test_every_code_is_explained() -> None:
    codes = {code for event in events() for code in event["reasons"].values()}
    assert codes <= REASONS.keys()
    # The others stand for whole sections: of too many features, of an event that is too large.
    assert REASONS.keys() - codes == {"too_many_features", "too_large"}


@pytest.mark.parametrize("oracle", sorted({metric.oracle for metric in METRICS}))
def test_every_oracle_exists(oracle: str) -> None:
    if oracle in {"plain Python", "see the metric"}:
        return
    module, _, name = oracle.rpartition(".")
    assert callable(getattr(importlib.import_module(module), name, None)) or hasattr(
        getattr(importlib.import_module(module), name), "ppf"
    )


@pytest.mark.parametrize("path", ["quality.nothing", "quality.fbeta_x", "drift", "host.cpu", "quality.fbeta_2.low"])
def test_a_path_that_leads_nowhere_has_no_metric(path: str) -> None:
    assert metrics_at(path) == []


def test_the_document_is_made_from_the_registry() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert text == as_markdown(), "run `make docs`"
    assert all(f"`{metric.path}`" in text for metric in METRICS)


def test_the_documents_objective_can_be_configured() -> None:
    example = tomllib.loads(as_markdown().split("```toml\n")[2].split("```")[0])
    settings = monitor_settings(Config(**example))
    ((objective,), (rule,)) = settings.objectives, settings.rules
    assert metrics_at(rule.metric)
    assert rule.above == pytest.approx(0.02 * objective.period_ms / objective.burn_rates[0].size_ms)


def test_the_documents_rule_asks_for_confidence() -> None:
    example = as_markdown().split("```toml\n")[1].split("```")[0]
    (rule,) = monitor_settings(Config(rules=tomllib.loads(example)["rules"])).rules
    few = [1] * 3 + [0] * 2
    for label, surely in ((few, False), (few * 20, True)):
        event = event_of(Task.BINARY, of_labels(Task.BINARY, [1] * len(label), label), None, rows=ROWS)
        assert event["quality"]["accuracy"] == 0.6  # below in both
        ((path, value),) = subjects(rule, event)
        assert path == "quality.intervals.accuracy.high"
        assert (judge(rule, RuleState(), event, path, value, None) is not None) == surely
