"""Worker processes on the test's broker, and what the topics hold."""

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from pipeline.config import Config
from pipeline.processes import tied_command
from tests.audit.rows import Log, Record
from tests.conftest import TEST_PARTITIONS

WINDOWS: Mapping[str, Any] = {
    "sizes": ["2s"],
    "label_horizon": "10s",
    "early_label_horizon": "10s",
    "allowed_lateness": "1s",
    "idle_timeout": "6s",
}
"""Windows of two seconds that are final soon after the traffic has ended."""


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
            tied_command([sys.executable, "-m", "pipeline.cli", "worker"]), env=environment, stderr=log, cwd=folder
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def read_records(config: Config, topic: str) -> Iterator[tuple[int, Record]]:
    """Every committed record of a topic with its partition; in log order a partition."""
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
                headers: Any = message.headers()
                yield partition, Record(message.offset() or 0, message.key(), message.value(), headers)
            position = consumer.position([TopicPartition(name, partition)])[0].offset
            if position >= end or end == 0:
                break
    consumer.close()


def read_all(config: Config, topic: str) -> Iterator[tuple[int, Any, dict[str, Any]]]:
    """The same decoded: partition, value, headers."""
    for partition, record in read_records(config, topic):
        yield partition, json.loads(record.value or b"null"), dict(record.headers or ())


def read_log(config: Config, topics: Iterable[str]) -> Log:
    """What some topics hold, for the auditor."""
    log: dict[tuple[str, int], list[Record]] = defaultdict(list)
    for topic in topics:
        for partition, record in read_records(config, topic):
            log[topic, partition].append(record)
    return log
