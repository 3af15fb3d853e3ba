"""The digits and their network; events as the pipeline publishes them, with only what a test cares about given."""

from collections.abc import Callable
from typing import Any

import pytest

from pipeline.demo.model import Digits, Model, load_data, train

Event = dict[str, Any]


@pytest.fixture(scope="session")
def data() -> Digits:
    return load_data()


@pytest.fixture(scope="session")
def model(data: Digits) -> Model:
    return train(data)


@pytest.fixture
def window_event() -> Callable[..., Event]:
    def make(start_s: int, **changes: Any) -> Event:
        predictions = changes.pop("predictions", 600)
        labelled = changes.pop("labelled", 570)
        return {
            "model": "digits",
            "model_version": "1",
            "segment": "",
            "window": "5s",
            "window_start_ms": start_s * 1000,
            "window_end_ms": (start_s + 5) * 1000,
            "revision": 0,
            "final": False,
            "counts": {"predictions": predictions, "labelled": labelled, "duplicates": 0, "late": 0},
            "label_coverage": labelled / predictions,
            "quality": {"accuracy": 0.97},
            "estimated": {},
            "latency_ms": {"mean": 0.4, "p50": 0.3, "p95": 0.8, "p99": 1.2, "max": 4.0},
            "throughput_per_s": predictions / 5,
            "drift": {name: {"psi": 0.02, "js": 0.05, "drifted": False} for name in ("contrast", "centre_x")},
            "data_quality": {},
        } | changes

    return make


@pytest.fixture
def alert_event() -> Callable[..., Event]:
    def make(rule: str, end_s: int, **changes: Any) -> Event:
        return {
            "alert_id": f"{rule}-1",
            "state": "firing",
            "rule": rule,
            "severity": "critical",
            "model": "digits",
            "model_version": "1",
            "segment": "",
            "metric": "quality.accuracy",
            "value": 0.4,
            "threshold": 0.85,
            "window": "5s",
            "window_start_ms": (end_s - 5) * 1000,
            "window_end_ms": end_s * 1000,
            "started_ms": end_s * 1000,
            "summary": f"{rule} is out of bounds",
        } | changes

    return make


@pytest.fixture
def trigger_event() -> Callable[..., Event]:
    def make(at_s: int) -> Event:
        return {
            "trigger_id": "t-1",
            "model": "digits",
            "model_version": "1",
            "alerts": ["accuracy-drop-1"],
            "timestamp_ms": at_s * 1000,
            "summary": "retrain digits 1",
            "evidence": {"predictions": {"0": [0, 10]}},
        }

    return make
