"""What the windows must say, computed from the loaded columns; a fast wrong answer is no result."""

import time
from typing import Any

import numpy as np
import orjson
from confluent_kafka import Consumer, KafkaException, TopicPartition

from bench.events import Traffic
from pipeline.config import Config

_TIMEOUT_S = 30.0


def check_windows(config: Config, traffic: Traffic, window_ms: int, horizon_ms: int) -> int:
    """Wait for the windows that must have become final and hold them against the truth, to the last row.

    Args:
        config: where Kafka is.
        traffic: what was loaded.
        window_ms: the length of the tumbling windows.
        horizon_ms: the label horizon.

    Returns:
        How many final windows were checked.

    Raises:
        RuntimeError: a window is missing or wrong.
    """
    start_ms = traffic.timestamp_ms // window_ms * window_ms
    starts, places = np.unique(start_ms, return_inverse=True)
    predictions = np.bincount(places)
    right = np.bincount(places, weights=traffic.prediction == traffic.label)
    # Event time has certainly passed the horizon of these.
    last_ms = min(int(traffic.timestamp_ms[-1]), int(traffic.label_ms.max()))
    due = [index for index, start in enumerate(starts) if start + window_ms + horizon_ms + window_ms < last_ms]
    final = _final_windows(config, [int(starts[index]) for index in due])
    for index in due:
        event = final[int(starts[index])]
        found = (event["counts"]["predictions"], event["counts"]["labelled"], event["quality"]["accuracy"])
        expected = (int(predictions[index]), int(predictions[index]), right[index] / predictions[index])
        if found[:2] != expected[:2] or abs(found[2] - expected[2]) > 1e-9:
            raise RuntimeError(f"window {starts[index]} says {found}, the truth is {expected}")
    return len(due)


def _final_windows(config: Config, wanted: list[int]) -> dict[int, dict[str, Any]]:
    consumer = Consumer(
        {
            **config.kafka.properties,
            "group.id": "bench-truth",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    topic = config.kafka.topic("window-metrics")
    consumer.assign(
        [TopicPartition(topic, number, 0) for number in consumer.list_topics(topic).topics[topic].partitions]
    )
    final: dict[int, dict[str, Any]] = {}
    deadline = time.monotonic() + _TIMEOUT_S
    try:
        while not all(start in final for start in wanted):
            if time.monotonic() > deadline:
                missing = [start for start in wanted if start not in final]
                raise RuntimeError(f"{len(missing)} of {len(wanted)} windows did not become final: {missing[:5]}")
            for message in consumer.consume(1_000, 0.2):
                error, value = message.error(), message.value()
                if error is not None:
                    raise KafkaException(error)
                event = orjson.loads(value if value is not None else b"{}")
                if event.get("final") and not event["segment"]:
                    final[event["window_start_ms"]] = event
    finally:
        consumer.close()
    return final
