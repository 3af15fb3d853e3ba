"""An acknowledged record is there: on topics whose partitions have no leader yet when the first records come."""

import uuid
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from pipeline.config import Config
from pipeline.engine.kafka import producer_properties
from pipeline.local_broker import LocalBroker
from pipeline.publishing.settings import PublisherSettings

PARTITIONS, RECORDS_EACH, TOPICS = 100, 5, 8

# A request a record, tried again at once: with several requests on their way, one of the eight topics lost records in
# more than half of the tries.
HURRIED = {"linger.ms": 0, "batch.num.messages": 1, "retry.backoff.ms": 1, "transaction.timeout.ms": 120_000}


def publishers(address: str) -> dict[str, Any]:
    return PublisherSettings(address).producer_properties()


def workers(address: str) -> dict[str, Any]:
    config = Config(kafka={"bootstrap_servers": address}, worker={"name": uuid.uuid4().hex})
    return producer_properties(config, "joiner")


@pytest.mark.parametrize("properties", [publishers, workers])
def test_what_is_acknowledged_on_a_topic_just_made_is_there(broker: LocalBroker, properties: Any) -> None:
    producer = Producer({**properties(broker.bootstrap_servers), **HURRIED})
    if properties is workers:
        producer.init_transactions(20)
        producer.begin_transaction()
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    names = [f"new-{uuid.uuid4().hex}" for _ in range(TOPICS)]
    failed: list[Any] = []

    def answered(error: Any, _message: Any) -> None:
        if error is not None:
            failed.append(error)

    for name in names:
        made = admin.create_topics([NewTopic(name, PARTITIONS, 1)])
        for at in range(PARTITIONS * RECORDS_EACH):
            producer.produce(name, str(at), partition=at % PARTITIONS, on_delivery=answered)
        assert producer.flush(30) == 0
        made[name].result(20)
    if properties is workers:
        producer.commit_transaction(20)
    assert not failed
    assert [written(broker, name) for name in names] == [PARTITIONS * RECORDS_EACH] * TOPICS
    for deleted in admin.delete_topics(names).values():
        deleted.result(20)


def written(broker: LocalBroker, name: str) -> int:
    """Records of a topic without the markers of transactions."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "group.id": "reader",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_uncommitted",  # a commit returns before its markers are in every partition
        }
    )
    consumer.assign([TopicPartition(name, partition, 0) for partition in range(PARTITIONS)])
    count = ends = 0
    while ends < PARTITIONS:
        message = consumer.poll(20)
        assert message is not None
        if message.error():
            ends += 1
        else:
            count += 1
    consumer.close()
    return count
