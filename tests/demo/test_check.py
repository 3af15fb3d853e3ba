"""Columnar records are taken apart as the contract says, and every fault is found in its place."""

import orjson
import pytest
from confluent_kafka import Producer

from pipeline.config import Config
from pipeline.demo.check import check_events, rows_of
from pipeline.topics import create_topics
from tests.conftest import MakeConfig

BATCH = {
    "n": 2,
    "prediction_id": ["a", "b"],
    "model": "digits",
    "model_version": "1",
    "task": "multiclass",
    "timestamp_ms": [1, 2],
    "prediction": [3, 4],
    "score": [0.5, None],
    "features": {"ink": [0.1, None], "site": "north"},
}


def test_rows_get_their_own_cells_and_the_shared_values() -> None:
    shared = {"model": "digits", "model_version": "1", "task": "multiclass"}
    assert list(rows_of(BATCH)) == [
        {"prediction_id": "a", "timestamp_ms": 1, "prediction": 3, "score": 0.5, **shared}
        | {"features": {"ink": 0.1, "site": "north"}},
        {"prediction_id": "b", "timestamp_ms": 2, "prediction": 4, **shared}
        | {"features": {"ink": None, "site": "north"}},
    ]


@pytest.fixture
def config(make_config: MakeConfig) -> Config:
    config = make_config()
    create_topics(config)
    return config


def _produce(config: Config, event: object, **headers: str) -> None:
    producer = Producer(config.kafka.properties)
    producer.produce(config.kafka.topic("predictions"), orjson.dumps(event), headers=list(headers.items()), partition=0)
    assert producer.flush(10) == 0


def test_good_rows_of_both_layouts_are_clean(config: Config) -> None:
    _produce(config, BATCH, schema="prediction.v1", layout="columns")
    _produce(config, next(rows_of(BATCH)))
    findings = check_events(config)
    assert findings.faults == []
    assert findings.rows["predictions"] == 3
    assert findings.is_clean


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"prediction_id": ["a", ""]}, "row 1"),
        ({"score": [0.5]}, "columns of another length than n = 2: score"),
        ({"features": {"ink": [1, 2, 3]}}, "features.ink"),
        ({"n": 0}, "n is 0"),
    ],
)
def test_a_bad_batch_is_found(config: Config, changes: dict[str, object], expected: str) -> None:
    _produce(config, BATCH | changes, layout="columns")
    findings = check_events(config)
    assert len(findings.faults) == 1
    assert expected in findings.faults[0]
    assert not findings.is_clean


def test_an_unknown_schema_is_a_fault(config: Config) -> None:
    _produce(config, next(rows_of(BATCH)), schema="prediction.v9")
    assert "prediction.v9" in check_events(config).faults[0]
