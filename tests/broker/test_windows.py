"""The whole pipeline on a real broker: worker processes are killed in mid-stream, and the final windows stay exact."""

import json
import os
import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from pipeline.config import Config
from pipeline.core.codec import encode_columns
from pipeline.topics import create_topics
from tests.conftest import TEST_PARTITIONS, Eventually, MakeConfig
from tests.processors.truth import Times, expected_numbers, final_windows, said_numbers

TIMES = Times(pane_ms=2_000, horizon_ms=10_000, early_ms=10_000, lateness_ms=1_000)
WINDOWS = {
    "sizes": ["2s"],
    "label_horizon": "10s",
    "early_label_horizon": "10s",
    "allowed_lateness": "1s",
    "idle_timeout": "6s",
}
COUNT = 4_000
SPAN_MS = 20_000


@contextmanager
def worker(config: Config, name: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker process of its own, as ``driftline worker`` starts it."""
    environment = {
        **os.environ,
        "DRIFTLINE_KAFKA__BOOTSTRAP_SERVERS": config.kafka.bootstrap_servers,
        "DRIFTLINE_KAFKA__TOPIC_PREFIX": config.kafka.topic_prefix,
        "DRIFTLINE_WINDOWS__SIZES": json.dumps(WINDOWS["sizes"]),
        **{f"DRIFTLINE_WINDOWS__{key.upper()}": str(value) for key, value in WINDOWS.items() if key != "sizes"},
        "DRIFTLINE_WORKER__NAME": name,
        "DRIFTLINE_WORKER__WEB_PORT": "0",
        "DRIFTLINE_WORKER__ROLES": '["joiner", "monitor"]',
    }
    with (folder / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli", "worker"], env=environment, stderr=log, cwd=folder
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def read_all(config: Config, topic: str) -> Iterator[tuple[int, Any, dict[str, bytes]]]:
    """Every committed record of a topic: partition, decoded value, headers; in log order a partition."""
    consumer = Consumer(
        {
            **config.kafka.properties,
            "group.id": "reader",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
        }
    )
    name = config.kafka.topic(topic)
    for partition in range(TEST_PARTITIONS):
        consumer.assign([TopicPartition(name, partition, OFFSET_BEGINNING)])
        _, end = consumer.get_watermark_offsets(TopicPartition(name, partition), timeout=10)
        while True:
            message = consumer.poll(0.2)
            if message is not None and message.error() is None:
                yield partition, json.loads(message.value()), dict(message.headers() or ())
            position = consumer.position([TopicPartition(name, partition)])[0].offset
            if position >= end or end == 0:
                break
    consumer.close()


def raw_log(config: Config, topic: str) -> list[list[dict[str, Any]]]:
    """The rows of an input topic by partition, columnar records taken apart."""
    rows: list[list[dict[str, Any]]] = [[] for _ in range(TEST_PARTITIONS)]
    for partition, value, headers in read_all(config, topic):
        if headers.get("layout") == b"columns":
            rows[partition] += [
                {name: column[i] if isinstance(column, list) else column for name, column in value.items()}
                for i in range(value["n"])
            ]
        else:
            rows[partition].append(value)
    return rows


def produce(config: Config, actions: dict[int, Any]) -> None:
    """Traffic over some seconds, single events and columnar records in turns; ``actions`` happen on the way."""
    rng = random.Random(7)
    producer = Producer({**config.kafka.properties, "linger.ms": 5})
    start_ms = int(time.time() * 1000) - 60_000
    waiting: dict[int, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
    for number in range(COUNT):
        if number in actions:
            actions[number]()
        time_ms = start_ms + number * SPAN_MS // COUNT
        partition = rng.randrange(TEST_PARTITIONS)
        event = {
            "prediction_id": f"p{number}",
            "model": "fraud",
            "model_version": rng.choice("12"),
            "timestamp_ms": time_ms + rng.randrange(-1_500, 500),
            "task": "binary",
            "prediction": rng.randrange(2),
            "latency_ms": rng.random(),
        }
        label = {"prediction_id": f"p{number}", "model": "fraud", "label": rng.randrange(2)}
        for _ in range(rng.choice([0, 1, 1, 1, 2])):
            due_ms = time_ms + rng.randrange(-1_000, 12_000)
            waiting[partition].append((due_ms, {**label, "timestamp_ms": due_ms, "label": rng.randrange(2)}))
        if number % 50 < 40:
            producer.produce(config.kafka.topic("predictions"), json.dumps(event), partition=partition)
        else:
            columns = {**{name: [value, value] for name, value in event.items()}, "model": "fraud"}
            columns["prediction_id"] = [event["prediction_id"], f"q{number}"]
            headers = [("layout", b"columns"), ("schema", b"prediction.v1")]
            value = encode_columns(columns, 2)
            producer.produce(config.kafka.topic("predictions"), value, partition=partition, headers=headers)
        for place, labels in waiting.items():
            due = [item for item in labels if item[0] <= time_ms]
            waiting[place] = [item for item in labels if item[0] > time_ms]
            for _, ready in sorted(due, key=lambda item: item[0]):
                producer.produce(config.kafka.topic("labels"), json.dumps(ready), partition=place)
        if number % 20 == 0:
            producer.flush()
            time.sleep(0.04)
    for place, labels in waiting.items():
        for _, ready in sorted(labels, key=lambda item: item[0]):
            producer.produce(config.kafka.topic("labels"), json.dumps(ready), partition=place)
    producer.flush()


def test_final_windows_equal_a_batch_computation_although_workers_are_killed(
    make_config: MakeConfig, eventually: Eventually, tmp_path: Path
) -> None:
    config = make_config()
    create_topics(config)
    with worker(config, "one", tmp_path) as first, worker(config, "two", tmp_path) as second:
        restarted: list[Any] = []

        def kill(process: subprocess.Popen[bytes], name: str) -> Any:
            def act() -> None:
                process.kill()
                process.wait()
                again = worker(config, name, tmp_path)
                again.__enter__()
                restarted.append(again)

            return act

        try:
            produce(config, {1_000: kill(first, "one"), 2_200: kill(second, "two")})
            logs = list(zip(raw_log(config, "predictions"), raw_log(config, "labels"), strict=True))
            expected = {
                (model, version, segment, start): expected_numbers(cell)
                for (model, version, segment, start), cell in final_windows(logs, 2_000, 2_000, TIMES).items()
            }

            def finals() -> list[Any]:
                return [event for _, event, _ in read_all(config, "window-metrics") if event["final"]]

            eventually(lambda: len(finals()) >= len(expected), timeout_s=60)
        finally:
            for again in restarted:
                again.__exit__(None, None, None)
    said = defaultdict(list)
    for event in finals():
        key = (event["model"], event["model_version"], event["segment"], event["window_start_ms"])
        said[key].append(said_numbers(event))
    assert all(len(events) == 1 for events in said.values()), "a window turns final once"
    assert {key: events[0] for key, events in said.items()} == expected
    assert sum(numbers["counts"]["labelled"] for numbers in expected.values()) > COUNT / 2
