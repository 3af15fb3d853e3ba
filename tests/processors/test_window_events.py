from typing import Any

import orjson

from pipeline.core.accumulate.counts import Counts
from pipeline.core.events import Task
from pipeline.core.families import Context
from pipeline.core.window import WindowSize
from pipeline.processors.tracks import Track
from pipeline.processors.window_events import EVENT_BYTES, encode_event, host_event, window_event
from tests.processors.schema import check

SIZE = WindowSize(60_000, 60_000)


def context(**changes: Any) -> Context:
    fields: dict[str, Any] = {
        "model": "m",
        "model_version": "1",
        "task": Task.BINARY,
        "segment": "",
        "window_size_ms": 60_000,
        "final": False,
        "reference": None,
        "psi_threshold": 0.2,
        "js_threshold": 0.1,
    }
    return Context(**{**fields, **changes})


def event_of(counts: dict[str, int], **changes: Any) -> dict[str, Any]:
    track = Track(None, "")  # type: ignore[arg-type]  # whose it is does not matter here
    track.merge_pane(60_000, {"counts": Counts(counts)})
    pane = track.merged(60_000, 60_000, 60_000)
    return window_event(context(**changes), pane, SIZE, 60_000, revision=2, now_ms=99)


def test_a_window_says_whose_it_is_and_how_much_it_holds() -> None:
    event = event_of({"predictions": 30, "labelled": 12, "labels": 13, "late": 1})
    check("window_metrics.v1", event)
    assert (event["window"], event["window_start_ms"], event["window_end_ms"]) == ("1m", 60_000, 120_000)
    assert (event["revision"], event["final"], event["published_ms"], event["task"]) == (2, False, 99, "binary")
    assert event["counts"]["predictions"] == 30
    assert event["counts"]["duplicates"] == 0
    assert event["label_coverage"] == 0.4
    assert event["throughput_per_s"] == 0.5


def test_what_cannot_be_computed_is_null_with_its_reason() -> None:
    event = event_of({"predictions": 0})
    check("window_metrics.v1", event)
    assert event["label_coverage"] is None
    assert event["reasons"]["label_coverage"] == "no_predictions"
    assert event["quality"]["accuracy"] is None
    assert event["latency_ms"]["p99"] is None
    assert {path.split(".")[0] for path in event["reasons"]} >= {"quality", "latency_ms", "drift"}


def test_labels_without_a_prediction_belong_to_no_version() -> None:
    event = event_of({"unmatched_labels": 3}, model_version="")
    check("window_metrics.v1", event)
    assert event["counts"]["unmatched_labels"] == 3
    assert event["quality"] == event["drift"] == {}


def test_an_event_that_no_record_could_hold_loses_its_largest_sections_and_says_so() -> None:
    event = event_of({"predictions": 5})
    # Names of four bytes a character, as long as they may be, for as many features as a window keeps.
    names = [f"{number:04}" + "\U0001f600" * 124 for number in range(1_024)]
    event["data_quality"] = {name: {"mean": 0.1234567890123456, "missing": 0} for name in names}
    event["drift"] = {name: {"psi": None} for name in names}
    event["reasons"] |= {f"drift.{name}.psi": "too_few_rows" for name in names}
    assert len(orjson.dumps(event)) > 1_500_000
    encoded = encode_event(event)
    assert len(encoded) <= EVENT_BYTES
    said = orjson.loads(encoded)
    check("window_metrics.v1", said)
    assert said["drift"] == {}
    assert said["reasons"]["drift"] == "too_large"
    assert said["reasons"]["quality.accuracy"] == event["reasons"]["quality.accuracy"]
    assert said["counts"] == event["counts"]
    assert said["data_quality"] == event["data_quality"]


def test_an_event_of_usual_size_is_written_as_it_is() -> None:
    event = event_of({"predictions": 5})
    assert orjson.loads(encode_event(event)) == event


def test_a_host_window() -> None:
    metrics = {"cpu.usage_ratio": {"mean": 0.5, "min": 0.1, "max": 0.9, "last": 0.3}}
    event = host_event("node-1", SIZE, 60_000, metrics)
    check("host_metrics.v1", event)
    assert event["metrics"] == metrics
