"""What the publisher's tests share: the input topics under a prefix, and reading back what came."""

from collections.abc import Callable
from typing import Any, TypeAlias

import orjson
import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from pipeline.local_broker import LocalBroker

PARTITIONS = 3

Record: TypeAlias = tuple[int, bytes, dict[str, Any], dict[str, Any]]
Rows: TypeAlias = list[tuple[int, dict[str, Any]]]


class Topics:
    """The input topics under a prefix.

    Args:
        address: the bootstrap servers.
        prefix: the topics' prefix.
    """

    partitions = PARTITIONS

    def __init__(self, address: str, prefix: str) -> None:
        self.address = address
        self.prefix = prefix

    def make(self) -> None:
        names = ("predictions", "labels", "resources", "models", "keyed")
        admin = AdminClient({"bootstrap.servers": self.address})  # its futures die with it
        for made in admin.create_topics([NewTopic(self.prefix + name, PARTITIONS, 1) for name in names]).values():
            made.result(20)

    def records(self, name: str) -> list[Record]:
        """Every record of a topic: partition, key, headers, value."""
        topic = self.prefix + name
        consumer = Consumer(
            {
                "bootstrap.servers": self.address,
                "group.id": "reader",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
            }
        )
        try:
            left = set(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
            consumer.assign([TopicPartition(topic, partition, 0) for partition in left])
            found: list[Record] = []
            while left:
                message = consumer.poll(10)
                assert message is not None
                error, partition = message.error(), message.partition()
                assert partition is not None
                if error is not None:
                    assert error.code() == KafkaError._PARTITION_EOF
                    left.discard(partition)
                    continue
                key, value = message.key(), message.value()
                assert key is not None
                assert value is not None
                found.append((partition, key, dict(message.headers() or []), orjson.loads(value)))
            return found
        finally:
            consumer.close()

    def rows(self, name: str) -> Rows:
        """Every row of a topic with its partition; columns are taken apart as the contract says."""
        rows: Rows = []
        for partition, _, headers, event in self.records(name):
            assert headers["layout"] == b"columns"
            n = event.pop("n")
            rows += [(partition, {field: value_at(field, event[field], at) for field in event}) for at in range(n)]
        return rows

    def ids(self, name: str) -> list[str]:
        return [row["prediction_id"] for _, row in self.rows(name)]

    def keyed_partitions(self, keys: list[str]) -> dict[str, int]:
        """Where librdkafka's own murmur2_random puts each key."""
        placed: dict[str, int] = {}

        def note(_error: object, message: Any) -> None:
            placed[message.key().decode()] = message.partition()

        producer = Producer({"bootstrap.servers": self.address, "partitioner": "murmur2_random"})
        for key in keys:
            producer.produce(self.prefix + "keyed", key=key, on_delivery=note)
        assert producer.flush(20) == 0
        return placed


def value_at(field: str, value: Any, at: int) -> Any:
    if field in {"features", "segments"}:
        return {name: value_at("", column, at) for name, column in value.items()}
    return value[at] if isinstance(value, list) else value


@pytest.fixture
def unmade_topics(broker: LocalBroker, topic_prefix: str) -> Topics:
    return Topics(broker.bootstrap_servers, topic_prefix)


@pytest.fixture
def topics(unmade_topics: Topics) -> Topics:
    unmade_topics.make()
    return unmade_topics


@pytest.fixture
def topics_at(topic_prefix: str) -> Callable[[str], Topics]:
    return lambda address: Topics(address, topic_prefix)
