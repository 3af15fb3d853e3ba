"""What the windows must say, computed from the loaded columns; a fast wrong answer is no result."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from confluent_kafka import Consumer, KafkaException, TopicPartition

from bench.events import Traffic
from pipeline.config import Config

_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Counts:
    """What one window says.

    Attributes:
        predictions: in it.
        labelled: of these with a label.
        correct: of these with a label that is the same.
    """

    predictions: int
    labelled: int
    correct: int


ReadWindow = Callable[[dict[str, Any]], tuple[int, Counts] | None]
"""The start of a window in milliseconds and its counts, from an event; None when the event does not count."""


def check_windows(config: Config, traffic: Traffic, window_ms: int, horizon_ms: int) -> int:
    """Wait for our windows that must have become final and hold them against the truth, to the last row.

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
    truth = true_windows(traffic, window_ms, horizon_ms)
    wrong = wrong_windows(config, config.kafka.topic("window-metrics"), truth, _read_final)
    for start, counts in wrong.items():
        raise RuntimeError(f"window {start} says {counts}, the truth is {truth[start]}")
    return len(truth)


def true_windows(traffic: Traffic, window_ms: int, horizon_ms: int) -> dict[int, Counts]:
    """The counts of the windows that event time has certainly left behind by the horizon.

    Args:
        traffic: what was loaded; each prediction has its label within the horizon.
        window_ms: the length of the tumbling windows.
        horizon_ms: the label horizon.

    Returns:
        Counts by the windows' starts in milliseconds.
    """
    starts, places = np.unique(traffic.timestamp_ms // window_ms * window_ms, return_inverse=True)
    predictions = np.bincount(places).tolist()
    correct = np.bincount(places, weights=traffic.prediction == traffic.label).astype(np.int64).tolist()
    last_ms = min(int(traffic.timestamp_ms[-1]), int(traffic.label_ms.max()))
    rows = zip(starts.tolist(), predictions, correct, strict=True)
    return {
        start: Counts(count, count, right)
        for start, count, right in rows
        if start + window_ms + horizon_ms + window_ms < last_ms
    }


def wrong_windows(config: Config, topic: str, truth: dict[int, Counts], read: ReadWindow) -> dict[int, Counts | None]:
    """Wait until the newest event of each window says the truth.

    Args:
        config: where Kafka is.
        topic: where the windows are published, by its full name.
        truth: what they must say.
        read: takes an event apart.

    Returns:
        The windows that do not say the truth after the waiting, and what they say; None where there is none.
    """
    found: dict[int, Counts] = {}
    deadline = time.monotonic() + _TIMEOUT_S
    for event in _events(config, topic):
        window = read(event) if event else None
        if window is not None:
            found[window[0]] = window[1]
        elif not event and (time.monotonic() > deadline or all(found.get(one) == truth[one] for one in truth)):
            break
    return {start: found.get(start) for start, counts in truth.items() if found.get(start) != counts}


def _events(config: Config, topic: str) -> Iterator[dict[str, Any]]:
    """Committed events of a topic from its beginning; an empty one whenever there is nothing to read."""
    consumer = Consumer(
        {
            **config.kafka.properties,
            "group.id": "bench-truth",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    partitions = consumer.list_topics(topic).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
    try:
        while True:
            messages = consumer.consume(1_000, 0.2)
            for message in messages:
                error, value = message.error(), message.value()
                if error is not None:
                    raise KafkaException(error)
                yield orjson.loads(value if value is not None else b"{}")
            if not messages:
                yield {}
    finally:
        consumer.close()


def _read_final(event: dict[str, Any]) -> tuple[int, Counts] | None:
    if not event.get("final") or event["segment"]:
        return None
    counts, accuracy = event["counts"], event["quality"]["accuracy"]
    correct = round((accuracy or 0.0) * counts["labelled"])
    return event["window_start_ms"], Counts(counts["predictions"], counts["labelled"], correct)
