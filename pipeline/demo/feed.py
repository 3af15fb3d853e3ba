"""Reads what the pipeline writes, committed records only, and folds it into the state."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

import orjson
from confluent_kafka import Consumer, KafkaException, TopicPartition

from pipeline.config import Config
from pipeline.demo.state import State

INPUTS = ("predictions", "labels", "resources", "models")
OUTPUTS = ("window-metrics", "host-metrics", "alerts", "retrain-triggers", "dead-letters")

_OFFSETS_EVERY_S = 1.0
_REQUEST_TIMEOUT_S = 5.0


class Feed:
    """The eyes of the demo: output topics read from their start, end offsets of the input topics once a second.

    Args:
        config: where Kafka is.
        state: what the events are folded into.
    """

    def __init__(self, config: Config, state: State) -> None:
        self._config = config
        self._state = state
        self._names = {config.kafka.topic(name): name for name in (*INPUTS, *OUTPUTS)}
        self._consumer = Consumer(
            {
                **config.kafka.properties,
                "group.id": config.kafka.topic("demo-screen"),
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 100,
            }
        )
        self._inputs = self._partitions(INPUTS)
        self._consumer.assign([TopicPartition(p.topic, p.partition, 0) for p in self._partitions(OUTPUTS)])
        self._offsets_due_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def poll(self, timeout_s: float) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """Read what is there.

        Args:
            timeout_s: the longest wait for a first record.

        Returns:
            (topic, event) of each record read, already folded into the state.

        Raises:
            KafkaException: the broker answered with an error that is not passing.
        """
        events = []
        for message in self._consumer.consume(500, timeout_s):
            error = message.error()
            if error is not None:
                if error.retriable():
                    continue
                raise KafkaException(error)
            topic, value = message.topic(), message.value()
            if topic is not None and value is not None:
                topic, event = self._names[topic], orjson.loads(value)
                self._state.apply(topic, event, _now_ms())
                events.append((topic, event))
        if time.monotonic() >= self._offsets_due_s:
            self._offsets_due_s = time.monotonic() + _OFFSETS_EVERY_S
            self._observe_offsets()
        return events

    def _partitions(self, names: Sequence[str]) -> list[TopicPartition]:
        known = self._consumer.list_topics(timeout=_REQUEST_TIMEOUT_S).topics
        topics = [self._config.kafka.topic(name) for name in names]
        return [TopicPartition(topic, partition) for topic in topics for partition in known[topic].partitions]

    def _observe_offsets(self) -> None:
        """Offsets count records, of which a columnar one holds many rows."""
        ends = dict.fromkeys(INPUTS, 0)
        try:
            for partition in self._inputs:
                _, end = self._consumer.get_watermark_offsets(partition, timeout=_REQUEST_TIMEOUT_S)
                ends[self._names[partition.topic]] += end
        except KafkaException:
            return  # a leader that is not known yet, or a busy broker: asked again in a second
        for name, end in ends.items():
            self._state.observe_offsets(name, end, _now_ms())


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
