"""What a round wrote, read from the broker, for the auditor."""

import time
from collections import defaultdict
from collections.abc import Iterator

import orjson
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from pipeline.config import Config
from tests.audit.auditor import Audit
from tests.audit.rows import Record
from tests.faults.settings import PARTITIONS, rules
from tests.faults.traffic import CLOSING

INPUTS = ("predictions", "labels", "resources")
OUTPUTS = ("window-metrics", "host-metrics", "alerts", "retrain-triggers", "dead-letters")
_WATCHED = ("window-metrics", "host-metrics")
_LONG_S = 300.0


class Reader:
    """Reads committed records of a topic, each once, as they come; survives an outage of the broker."""

    def __init__(self, config: Config, topic: str) -> None:
        self._places = [TopicPartition(config.kafka.topic(topic), p, 0) for p in range(PARTITIONS)]
        self._consumer = Consumer({
            **config.kafka.properties, "group.id": "reader", "isolation.level": "read_committed",
            "enable.auto.commit": False, "auto.offset.reset": "earliest", "log_level": 0,
            "fetch.queue.backoff.ms": 5, "reconnect.backoff.max.ms": 500,
        })  # fmt: skip
        self._consumer.assign(self._places)

    def new(self, wait_s: float = 0.5) -> list[Message]:
        """What has come since the last call."""
        messages = self._consumer.consume(100_000, wait_s)
        return [message for message in messages if message.error() is None]

    def to_the_end(self, timeout_s: float = 60.0) -> Iterator[Message]:
        """Everything up to where the topic ends now, open transactions waited for."""
        deadline_s = time.monotonic() + timeout_s
        ends = {place.partition: self._end(place, deadline_s) for place in self._places}
        while True:
            yield from self.new(0.2)
            at = {place.partition: place.offset for place in self._consumer.position(self._places)}
            if all(at[p] >= end or end == 0 for p, end in ends.items()):
                return
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"{self._places[0].topic} is read up to {at}, ends at {ends}")

    def close(self) -> None:
        self._consumer.close()

    def _end(self, place: TopicPartition, deadline_s: float) -> int:
        while True:
            try:
                return int(self._consumer.get_watermark_offsets(place, timeout=5)[1])
            except KafkaException:
                if time.monotonic() > deadline_s:
                    raise


class Outcome:
    """The log of a round and the auditor over it; the inputs must be complete when this is made.

    Args:
        config: where the topics are.
        future_ms: no row of the round may lie behind this moment.
    """

    def __init__(self, config: Config, future_ms: int) -> None:
        self._log: dict[tuple[str, int], list[Record]] = defaultdict(list)
        for topic in INPUTS:
            reader = Reader(config, topic)
            self._take(topic, reader.to_the_end(_LONG_S))
            reader.close()
        self._readers = {topic: Reader(config, topic) for topic in OUTPUTS}
        self.audit = Audit(self._log, rules(future_ms))
        # The rows that end a round make windows that stay open.
        for key in [key for key in self.audit.truth.windows if key[0] == CLOSING]:
            del self.audit.truth.windows[key]
        for host in [key for key in self.audit.truth.hosts if key[0] == CLOSING]:
            del self.audit.truth.hosts[host]
        self._final = 0

    @property
    def expected(self) -> int:
        """How many windows must become final."""
        return len(self.audit.truth.windows)

    @property
    def final(self) -> int:
        """How many are."""
        return self._final

    def poll(self) -> None:
        """Read the windows that have come since."""
        for topic in _WATCHED:
            self._take(topic, self._readers[topic].new(0.1))

    def differences(self) -> list[str]:
        """Read everything to its end, and let the auditor speak."""
        for topic, reader in self._readers.items():
            self._take(topic, reader.to_the_end(_LONG_S))
            reader.close()
        return self.audit.differences()

    def _take(self, topic: str, messages: Iterator[Message] | list[Message]) -> None:
        for message in messages:
            value = message.value() or b""
            if topic in OUTPUTS and CLOSING.encode() in value and _is_closing(value):
                continue
            # Headers are wanted of inputs alone, and there may be a million of both.
            headers = message.headers() if topic in INPUTS else None
            record = Record(message.offset() or 0, message.key(), message.value(), headers)  # type: ignore[arg-type]
            self._log[topic, message.partition() or 0].append(record)
            if topic == "window-metrics":
                self._final += bool(orjson.loads(value)["final"])


def _is_closing(value: bytes) -> bool:
    event = orjson.loads(value)
    return CLOSING in (event.get("model"), event.get("host"))
