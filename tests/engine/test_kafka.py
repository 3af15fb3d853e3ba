import pytest
from confluent_kafka import KafkaError

from pipeline.config import Config
from pipeline.core.errors import DriftlineError, FencedError, RetriableError, StartupError
from pipeline.engine.kafka import consumer_properties, producer_properties, reaction


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (KafkaError(KafkaError._TIMED_OUT, retriable=True), RetriableError),
        (KafkaError(KafkaError.ILLEGAL_GENERATION, txn_requires_abort=True), RetriableError),
        (KafkaError(KafkaError.UNKNOWN_MEMBER_ID, txn_requires_abort=True), RetriableError),
        (KafkaError(KafkaError._TRANSPORT), RetriableError),
        (KafkaError(KafkaError._FENCED), FencedError),
        (KafkaError(KafkaError.PRODUCER_FENCED), FencedError),
        (KafkaError(KafkaError.INVALID_PRODUCER_EPOCH), FencedError),
        (KafkaError(KafkaError.FENCED_INSTANCE_ID), FencedError),
        (KafkaError(KafkaError._FATAL), FencedError),
        (KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, fatal=True), FencedError),
        (KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), StartupError),
        (KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART), StartupError),
        (KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED), StartupError),
    ],
)
def test_each_error_asks_for_one_reaction(error: KafkaError, expected: type[DriftlineError]) -> None:
    answer = reaction(error, "testing")
    assert type(answer) is expected
    assert str(answer).startswith("testing: ")
    assert error.name() in str(answer)


def test_passed_through_properties_win_over_tuning_but_not_over_exactly_once() -> None:
    config = Config(
        kafka={"fetch.queue.backoff.ms": 7, "linger.ms": 99, "group.protocol": "consumer"},
        worker={"name": "w"},
    )
    consumer = consumer_properties(config, "joiner")
    assert consumer["fetch.queue.backoff.ms"] == 7
    assert consumer["group.protocol"] == "classic"
    assert consumer["isolation.level"] == "read_committed"
    assert consumer["enable.auto.commit"] is False
    assert consumer["group.instance.id"] == "w-joiner"
    producer = producer_properties(config, "joiner")
    assert producer["linger.ms"] == 99
    assert producer["partitioner"] == "murmur2_random"
    assert producer["transactional.id"] == "w-joiner"
