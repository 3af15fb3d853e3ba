from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError

from pipeline.publishing.columns import PREDICTIONS
from pipeline.publishing.delivery import Delivery
from pipeline.publishing.encoder import Record
from pipeline.publishing.settings import PublisherSettings

RECORD = Record(PREDICTIONS, 0, b"key", b"value", 10)


class FakeProducer:
    """librdkafka as far as it is used here; a test plays the broker."""

    def __init__(self, properties: dict[str, Any]) -> None:
        self.properties = properties
        self.answers: list[Callable[[KafkaError | None, object], None]] = []
        self.full = 0
        self.polls = 0
        self.purged = False

    def produce(self, _topic: str, *, on_delivery: Any, **_fields: Any) -> None:
        if self.full:
            self.full -= 1
            raise BufferError
        self.answers.append(on_delivery)

    def poll(self, _timeout_s: float) -> int:
        self.polls += 1
        if self.purged:
            for answer in self.answers:
                answer(KafkaError(KafkaError._PURGE_QUEUE), None)
            self.answers.clear()
        return 0

    def purge(self) -> None:
        self.purged = True


def make() -> tuple[Delivery, list[FakeProducer]]:
    made: list[FakeProducer] = []

    def producer(properties: dict[str, Any]) -> Any:
        made.append(FakeProducer(properties))
        return made[-1]

    return Delivery(PublisherSettings("127.0.0.1:1"), producer), made


def test_each_row_is_accounted_for() -> None:
    delivery, [producer] = make()
    for _ in range(3):
        assert delivery.send(RECORD, lambda: False)
    assert (delivery.sent_rows, delivery.records, delivery.first_unanswered()) == (30, 3, 1)
    producer.answers[0](None, None)
    assert (delivery.acknowledged_rows, delivery.first_unanswered()) == (10, 2)
    producer.answers[1](KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), None)
    assert (delivery.failed_rows, delivery.first_unanswered()) == (10, 3)
    assert "TOPIC_AUTHORIZATION_FAILED" in str(delivery.last_error)


def test_it_waits_while_the_queue_is_full_until_it_may_give_up() -> None:
    delivery, [producer] = make()
    producer.full = 3
    assert delivery.send(RECORD, lambda: False)
    assert producer.polls == 3
    producer.full = 1
    assert not delivery.send(RECORD, lambda: True)
    assert (delivery.sent_rows, delivery.last_number) == (10, 1)


def test_after_a_fatal_error_a_new_producer_goes_on() -> None:
    delivery, made = make()
    delivery.send(RECORD, lambda: False)
    made[0].properties["error_cb"](KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, "lost", fatal=True))
    delivery.send(RECORD, lambda: False)
    assert len(made) == 2
    assert made[0].purged
    assert delivery.failed_rows == 10
    made[1].answers[0](None, None)
    assert (delivery.acknowledged_rows, delivery.first_unanswered()) == (10, None)


def test_closing_gives_up_what_is_unanswered() -> None:
    delivery, [producer] = make()
    delivery.send(RECORD, lambda: False)
    delivery.close()
    assert producer.purged
    assert (delivery.failed_rows, delivery.first_unanswered()) == (10, None)
