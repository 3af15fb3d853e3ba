"""The whole pipeline on a real broker: worker processes are killed in mid-stream, and the final windows stay exact."""

import json
import random
import subprocess
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from pipeline.config import Config
from pipeline.core.codec import encode_columns
from pipeline.topics import create_topics
from tests.audit.auditor import audit
from tests.audit.truth import Rules, Window, compute_truth
from tests.broker.worker_process import read_all, read_log, worker
from tests.conftest import TEST_PARTITIONS, Eventually, MakeConfig

INPUTS = ("predictions", "labels", "resources")
OUTPUTS = ("window-metrics", "host-metrics", "alerts", "retrain-triggers", "dead-letters")
RULES = Rules(
    windows=[Window("2s", 2_000, 2_000)],
    pane_ms=2_000,
    horizon_ms=10_000,
    early_ms=10_000,
    lateness_ms=1_000,
    future_ms=10**15,
    partitions=TEST_PARTITIONS,
)
COUNT = 4_000
SPAN_MS = 20_000


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
            headers: Any = [("layout", b"columns"), ("schema", b"prediction.v1")]
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
            expected = compute_truth(read_log(config, INPUTS), RULES).windows

            def finals() -> int:
                return sum(event["final"] for _, event, _ in read_all(config, "window-metrics"))

            eventually(lambda: finals() >= len(expected), timeout_s=60)
        finally:
            for again in restarted:
                again.__exit__(None, None, None)
    assert audit(read_log(config, (*INPUTS, *OUTPUTS)), RULES) == []
    assert sum(bool(row.labels) for cell in expected.values() for row in cell.predictions) > COUNT / 2
