import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
import pytest

from pipeline import Publisher
from pipeline.core.codec.rows import label_event, model_event, prediction_event, resource_event

Topics: TypeAlias = Any
FRAUD: dict[str, Any] = {"model": "fraud", "model_version": "3", "task": "binary"}


def test_every_row_arrives_once_where_its_key_belongs(topics: Topics) -> None:
    with Publisher(topics.address, topic_prefix=topics.prefix, linger_ms=5, batch_rows=100) as publisher:
        ids = [
            publisher.log_prediction(
                **FRAUD, prediction=at % 2, score=0.5, features={"amount": float(at)}, segments={"country": "DE"}
            )
            for at in range(700)
        ]
        ids.append(publisher.log_prediction(**FRAUD, prediction=1, prediction_id="größe-☃"))
        for prediction_id in ids:
            publisher.log_label(model="fraud", prediction_id=prediction_id, label=1)
    assert publisher.stats["acknowledged"] == 1_402
    assert publisher.stats["last_error"] is None

    predictions = topics.rows("predictions")
    labels = topics.rows("labels")
    placed = topics.keyed_partitions(ids)
    assert sorted(row["prediction_id"] for _, row in predictions) == sorted(ids)
    assert {row["prediction_id"]: partition for partition, row in predictions} == placed
    assert {row["prediction_id"]: partition for partition, row in labels} == placed
    assert len(set(placed.values())) == topics.partitions
    by_id = {row["prediction_id"]: row for _, row in predictions}
    for at, prediction_id in enumerate(ids[:700]):
        row = by_id[prediction_id]
        assert (row["prediction"], row["features"], row["segments"]) == (at % 2, {"amount": at}, {"country": "DE"})
        assert abs(row["timestamp_ms"] - time.time() * 1000) < 60_000
    for _, row in predictions:
        prediction_event(row)
    for _, row in labels:
        label_event(row)


def test_rows_of_a_partition_share_records_and_their_key_leads_to_it(topics: Topics) -> None:
    with Publisher(topics.address, topic_prefix=topics.prefix, batch_rows=100) as publisher:
        for at in range(900):
            publisher.log_prediction(**FRAUD, prediction=at % 2)
        for _ in range(30):
            publisher.log_prediction(model="fraud", model_version="4", task="binary", prediction=1)
    records = topics.records("predictions")
    assert len(records) == publisher.stats["records"] < 40
    assert max(event["n"] for *_, event in records) == 100
    assert {event["model_version"] for *_, event in records} == {"3", "4"}
    placed = topics.keyed_partitions([key.decode() for _, key, _, _ in records])
    for partition, key, headers, event in records:
        assert headers == {"schema": b"prediction.v1", "layout": b"columns"}
        assert event["prediction_id"][0] == key.decode()
        assert placed[key.decode()] == partition


def test_columns_arrive_as_the_rows_they_stand_for(topics: Topics) -> None:
    n = 500
    numbers = np.arange(n, dtype=np.float32)
    with Publisher(topics.address, topic_prefix=topics.prefix) as publisher:
        ids = publisher.log_predictions(
            model="digits",
            model_version="1",
            task="multiclass",
            prediction=np.arange(n) % 10,
            scores={"0": numbers / n, "1": 1 - numbers / n},
            features={"x": numbers, "kind": np.array(["a", "b"] * (n // 2)), "constant": 3.5},
            embedding=np.stack([numbers, numbers + 1], axis=1),
            segments={"country": ["DE", "FR"] * (n // 2), "tier": "gold"},
            latency_ms=2.5,
        )
        publisher.log_labels(model="digits", prediction_id=ids, label=np.arange(n) % 10)
        numbers += 1_000  # too late to change anything
    rows = {row["prediction_id"]: (partition, row) for partition, row in topics.rows("predictions")}
    labels = {row["prediction_id"]: (partition, row) for partition, row in topics.rows("labels")}
    assert len(set(ids)) == n
    assert rows.keys() == labels.keys() == set(ids)
    for at, prediction_id in enumerate(ids):
        partition, row = rows[prediction_id]
        prediction_event(row)
        assert row["prediction"] == at % 10
        assert row["scores"]["1"] == pytest.approx(1 - at / n, abs=1e-6)
        assert row["features"] == {"x": at, "kind": "ab"[at % 2], "constant": 3.5}
        assert row["embedding"] == [at, at + 1]
        assert row["segments"] == {"country": ("DE", "FR")[at % 2], "tier": "gold"}
        assert (row["latency_ms"], row["model"]) == (2.5, "digits")
        assert labels[prediction_id][0] == partition
        assert labels[prediction_id][1]["label"] == at % 10


def test_resources_and_models_are_single_events_under_their_key(topics: Topics) -> None:
    with Publisher(topics.address, topic_prefix=topics.prefix) as publisher:
        publisher.log_resource(host="gpu-7", metrics={"cpu.usage_ratio": 0.5}, timestamp_ms=7)
        publisher.log_model(model="fraud", model_version="3", task="binary", stage="champion", config={"layers": 2})
    [(partition, key, headers, event)] = topics.records("resources")
    assert (key, headers) == (b"gpu-7", {"schema": b"resource.v1"})
    assert event == {"host": "gpu-7", "timestamp_ms": 7, "metrics": {"cpu.usage_ratio": 0.5}}
    assert topics.keyed_partitions(["gpu-7"]) == {"gpu-7": partition}
    resource_event(event)
    [(_, key, headers, event)] = topics.records("models")
    assert (key, headers) == (b"fraud", {"schema": b"model.v1"})
    model_event(event)


def test_rows_that_are_no_events_are_rejected_and_their_neighbours_go(topics: Topics) -> None:
    with Publisher(topics.address, topic_prefix=topics.prefix) as publisher:
        good = [publisher.log_prediction(**FRAUD, prediction=1, features={"a": at}) for at in range(20)]
        bad: list[dict[str, Any]] = [
            {"prediction": 2**70},
            {"prediction": object()},
            {"prediction": 1, "features": {"a": "\ud800"}},
            {"prediction": 1, "features": [1, 2]},
            {"prediction": 1, "prediction_id": 7},
            {"prediction": 1, "prediction_id": ""},
            {"prediction": 1, "prediction_id": "x" * 129},
            {"prediction": 1, "prediction_id": "\ud800"},
            {"prediction": 1, "model_version": 3},
            {"prediction": 1, "model": ["unhashable"]},
            {"prediction": 1, "task": "guessing"},
            {"prediction": 1, "embedding": list(range(400_000))},
        ]
        for fields in bad:
            publisher.log_prediction(**{**FRAUD, **fields})
        assert publisher.log_predictions(**FRAUD, prediction=7) == []
        publisher.log_predictions(**FRAUD, prediction=[1, 0], score=[0.5])
        good += publisher.log_predictions(**FRAUD, prediction=[1, 0], prediction_id=["good", "auch gut"])
        publisher.log_predictions(**FRAUD, prediction=[1, 0], prediction_id=[None, ""])  # type: ignore[list-item]
    arrived = topics.ids("predictions")
    assert sorted(arrived) == sorted(good)
    stats = publisher.stats
    assert stats["rejected"] == len(bad) + 1 + 2 + 2
    assert stats["acknowledged"] == len(good)
    assert stats["first_rejection"]


def test_long_rows_are_spread_over_records_that_fit(topics: Topics) -> None:
    with Publisher(
        topics.address, topic_prefix=topics.prefix, config={"message.max.bytes": 20_000}, linger_ms=200
    ) as publisher:
        rng = np.random.default_rng(1)
        ids = [publisher.log_prediction(**FRAUD, prediction=1, embedding=rng.random(200)) for _ in range(100)]
        ids += publisher.log_predictions(**FRAUD, prediction=np.ones(100), embedding=rng.random((100, 200)))
    assert publisher.stats["acknowledged"] == 200
    assert sorted(topics.ids("predictions")) == sorted(ids)


def test_many_threads_lose_nothing(topics: Topics) -> None:
    ids: list[list[str]] = [[] for _ in range(4)]
    with Publisher(topics.address, topic_prefix=topics.prefix, linger_ms=1, batch_rows=50) as publisher:

        def log(mine: list[str]) -> None:
            mine.extend(publisher.log_prediction(**FRAUD, prediction=1) for _ in range(1_000))

        threads = [threading.Thread(target=log, args=(mine,)) for mine in ids]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    arrived = Counter(topics.ids("predictions"))
    assert arrived == Counter(chain.from_iterable(ids))
    assert len(arrived) == 4_000


def test_flush_returns_when_everything_before_it_is_acknowledged(topics: Topics) -> None:
    with Publisher(topics.address, topic_prefix=topics.prefix, linger_ms=60_000) as publisher:
        assert publisher.flush(0.1)
        for at in range(10):
            publisher.log_prediction(**FRAUD, prediction=at % 2)
        assert publisher.flush(20)
        assert publisher.stats["acknowledged"] == 10


def test_the_whole_configuration_can_be_given(topics: Topics, make_config: Callable[..., Any]) -> None:
    with Publisher(config=make_config()) as publisher:
        publisher.log_prediction(**FRAUD, prediction=1)
    assert len(topics.rows("predictions")) == 1
