"""Fills the input topics before the clock starts."""

import time
from collections.abc import Iterable, Iterator

import numpy as np
from confluent_kafka import Producer
from numpy.typing import NDArray

from bench.events import (
    Traffic,
    batch_labels,
    batch_predictions,
    single_labels,
    single_predictions,
)
from pipeline.config import Config

BATCH_ROWS = 1_000
"""Rows of a columnar record."""

_CHUNK = 50_000
_FLUSH_TIMEOUT_S = 120.0


def load(config: Config, traffic: Traffic, layout: str) -> float:
    """Produce all predictions and labels.

    Args:
        config: where Kafka is; ``topic_prefix`` keeps runs apart.
        traffic: what to produce.
        layout: ``single`` or ``columns``.

    Returns:
        Seconds it took.

    Raises:
        RuntimeError: Kafka did not take everything in time.
    """
    started = time.monotonic()
    producer = Producer(
        {
            **config.kafka.properties,
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 50,
            "batch.size": 1_000_000,
            "queue.buffering.max.messages": 2_000_000,
            "queue.buffering.max.kbytes": 1_000_000,
        }
    )
    order = np.arange(len(traffic))
    send = _send_single if layout == "single" else _send_columns
    send(producer, config.kafka.topic("predictions"), "predictions", traffic, order)
    send(producer, config.kafka.topic("labels"), "labels", traffic, traffic.label_order)
    if left := producer.flush(_FLUSH_TIMEOUT_S):
        raise RuntimeError(f"{left} records were not taken within {_FLUSH_TIMEOUT_S:.0f} s")
    return time.monotonic() - started


def _send_single(producer: Producer, topic: str, kind: str, traffic: Traffic, order: NDArray[np.int64]) -> None:
    make = single_predictions if kind == "predictions" else single_labels
    for chunk in _chunks(order, _CHUNK):
        partitions = traffic.partition[chunk].tolist()
        for partition, (key, value) in zip(partitions, make(traffic, chunk), strict=True):
            _produce(producer, topic, value, key, partition)
        producer.poll(0)


def _send_columns(producer: Producer, topic: str, kind: str, traffic: Traffic, order: NDArray[np.int64]) -> None:
    make = batch_predictions if kind == "predictions" else batch_labels
    headers = [("schema", b"prediction.v1" if kind == "predictions" else b"label.v1"), ("layout", b"columns")]
    parts = traffic.partition[order]
    per_partition = [_chunks(order[parts == partition], BATCH_ROWS) for partition in range(int(parts.max()) + 1)]
    # Round robin, so that the partitions advance in step as live traffic would.
    for partition, rows in _alternate(per_partition):
        _produce(producer, topic, make(traffic, rows), None, partition, headers)
        producer.poll(0)


def _produce(
    producer: Producer,
    topic: str,
    value: bytes,
    key: bytes | None,
    partition: int,
    headers: list[tuple[str, bytes]] | None = None,
) -> None:
    while True:
        try:
            producer.produce(topic, value, key, partition, headers=headers)  # type: ignore[arg-type]
        except BufferError:
            producer.poll(0.1)
        else:
            return


def _chunks(order: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    return (order[start : start + size] for start in range(0, len(order), size))


def _alternate(parts: Iterable[Iterator[NDArray[np.int64]]]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    waiting = list(enumerate(parts))
    while waiting:
        for item in list(waiting):
            rows = next(item[1], None)
            if rows is None:
                waiting.remove(item)
            else:
                yield item[0], rows
