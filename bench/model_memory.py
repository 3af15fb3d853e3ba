"""``python -m bench.model_memory``: a worker's resident memory with many models, features and segments.

A real worker takes in columnar records over more than an hour of event time; each model's references are learned,
every prediction has its label. What is told includes the join store, and what Kafka's client has fetched ahead.
"""

import argparse
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
import psutil
from confluent_kafka import Producer
from numpy.typing import NDArray
from rich.console import Console

from bench.events import murmur2_partitions
from bench.job import worker_process
from bench.measure import Program
from bench.progress import GroupProgress
from bench.rounds import PARTITIONS, local_broker
from pipeline.config import Config
from pipeline.topics import create_topics

SEGMENTS = ("country", "device", "channel")
SEGMENT_VALUES = 3
SPAN_MS = 70 * 60_000

_RECORD = 1_000
_FLUSH_TIMEOUT_S = 60.0
_TOML = """\
[kafka]
bootstrap_servers = "{bootstrap_servers}"
topic_prefix = "{prefix}"
partitions = {partitions}

[windows]
sizes = ["1m", "1h"]
label_horizon = "1h"

[worker]
name = "bench"
roles = ["joiner", "monitor"]
web_port = 0
state_dir = ""
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is.

    Attributes:
        models: each with one version.
        features: numbers, of each prediction.
        rows: predictions of each model, and as many labels.
    """

    models: int
    features: int
    rows: int


def records(size: Size, start_ms: int) -> list[tuple[str, int, bytes]]:
    """Topic, partition and value of all records, in the order of event time."""
    chance = np.random.default_rng(1)
    total = size.models * size.rows
    number = np.arange(total, dtype=np.int64)
    partition = murmur2_partitions(number, PARTITIONS)
    found = []
    for which in range(PARTITIONS):
        mine = number[partition == which]
        for first in range(0, len(mine), _RECORD):
            rows = mine[first : first + _RECORD]
            found += [(topic, which, value) for topic, value in _pair(size, rows, start_ms, total, chance)]
    return found


def _pair(
    size: Size, rows: NDArray[np.int64], start_ms: int, total: int, chance: np.random.Generator
) -> list[tuple[str, bytes]]:
    """Predictions of some rows, and their labels ten seconds later."""
    count = len(rows)
    at_ms = start_ms + rows * SPAN_MS // total
    common = {"n": count, "prediction_id": [f"p{row:012d}" for row in rows.tolist()]}
    common["model"] = [f"model-{row % size.models}" for row in rows.tolist()]
    prediction = (chance.random(count) < 0.5).astype(np.int64)
    values = chance.integers(0, SEGMENT_VALUES, (len(SEGMENTS), count)).tolist()
    event = {
        **common,
        "model_version": "1",
        "timestamp_ms": at_ms,
        "task": "binary",
        "prediction": prediction,
        "score": np.round((prediction + chance.random(count)) / 2, 4),
        "latency_ms": np.round(chance.gamma(2, 3, count), 2),
        "features": {f"feature_{each}": np.round(chance.lognormal(3, 1, count), 2) for each in range(size.features)},
        "segments": {name: [str(value) for value in column] for name, column in zip(SEGMENTS, values, strict=True)},
    }
    label = np.where(chance.random(count) < 0.9, prediction, 1 - prediction)
    labels = {**common, "timestamp_ms": at_ms + 10_000, "label": label}
    encode = orjson.OPT_SERIALIZE_NUMPY
    return [("predictions", orjson.dumps(event, option=encode)), ("labels", orjson.dumps(labels, option=encode))]


def produce(config: Config, values: list[tuple[str, int, bytes]]) -> None:
    producer = Producer({**config.kafka.properties, "compression.type": "lz4", "enable.idempotence": True})
    for topic, partition, value in values:
        schema = b"prediction.v1" if topic == "predictions" else b"label.v1"
        headers: list[tuple[str, str | bytes | None]] = [("schema", schema), ("layout", b"columns")]
        producer.produce(config.kafka.topic(topic), value, None, partition, headers=headers)
        producer.poll(0)
    if left := producer.flush(_FLUSH_TIMEOUT_S):
        raise RuntimeError(f"{left} records were not taken within {_FLUSH_TIMEOUT_S:.0f} s")


def measure(address: str, directory: Path, size: Size) -> tuple[float, float, int]:
    """Resident MB when everything is taken in, the most it ever was, and how many partials there were."""
    prefix = f"memory-{uuid.uuid4().hex[:8]}-"
    config = Config(kafka={"bootstrap_servers": address, "partitions": PARTITIONS, "topic_prefix": prefix})
    create_topics(config)
    now_ms = time.time_ns() // 1_000_000
    produce(config, records(size, now_ms - SPAN_MS - 60_000))
    path = directory / f"{prefix}driftline.toml"
    settings = {"bootstrap_servers": address, "prefix": prefix, "partitions": PARTITIONS}
    path.write_text(_TOML.format(**settings))
    inputs = [config.kafka.topic(name) for name in ("predictions", "labels")]
    with (
        worker_process(path, path.with_suffix(".log")) as worker,
        GroupProgress(config, f"{prefix}driftline-joiner", inputs) as joiner,
        GroupProgress(config, f"{prefix}driftline-monitor", [config.kafka.topic("partials")]) as monitor,
    ):
        worker.wait_for(joiner.committed, joiner.records() - 1)
        worker.wait_for(lambda: monitor.is_at_end(markers=1), 0)
        return _resident_mb(worker), worker.peak_rss_mb(), monitor.records()


def _resident_mb(worker: Program) -> float:
    return float(psutil.Process(worker.process.pid).memory_info().rss) / (1 << 20)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.model_memory", description=__doc__)
    parser.add_argument("--models", type=int, default=100)
    parser.add_argument("--features", type=int, default=20)
    parser.add_argument("--rows", type=int, default=3_000, help="predictions of each model, and as many labels")
    arguments = parser.parse_args()
    size = Size(arguments.models, arguments.features, arguments.rows)
    console = Console(width=120)
    with local_broker(console.print) as (address, directory):
        resident_mb, peak_mb, partials = measure(address, directory, size)
    console.print(
        f"{size.models} models, {size.features} features, {len(SEGMENTS)} segments of {SEGMENT_VALUES} values, windows"
        f" of a minute and an hour, {size.models * size.rows:,} predictions and as many labels: {resident_mb:,.0f} MB"
        f" resident in the end, {peak_mb:,.0f} MB at most; {partials:,} partials",
        highlight=False,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
