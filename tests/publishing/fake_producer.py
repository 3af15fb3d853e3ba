"""A producer that a test answers for, in place of librdkafka's."""

from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError


class FakeProducer:
    """librdkafka as far as it is used here; a test plays the broker."""

    def __init__(self, properties: dict[str, Any]) -> None:
        self.properties = properties
        self.answers: list[Callable[[KafkaError | None, object], None]] = []
        self.values: list[tuple[str, int, bytes]] = []  # topic, partition, value of each of ``answers``
        self.full = 0
        self.polls = 0
        self.purged = False

    def produce(self, topic: str, *, on_delivery: Any, partition: int, value: bytes, **_fields: Any) -> None:
        if self.full:
            self.full -= 1
            raise BufferError
        self.answers.append(on_delivery)
        self.values.append((topic, partition, value))

    def poll(self, _timeout_s: float) -> int:
        self.polls += 1
        if self.purged:
            for answer in self.answers:
                answer(KafkaError(KafkaError._PURGE_QUEUE), None)
            self.answers.clear()
            self.values.clear()
        return 0

    def purge(self) -> None:
        self.purged = True
