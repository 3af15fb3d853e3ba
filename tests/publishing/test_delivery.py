from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError

from pipeline.publishing.columns import PREDICTIONS
from pipeline.publishing.delivery import Delivery
from pipeline.publishing.encoder import Place, Record
from pipeline.publishing.outbox import DirectOutbox
from pipeline.publishing.settings import PublisherSettings
from tests.publishing.fake_producer import FakeProducer

RECORD = Record(PREDICTIONS, Place(0, 1), b"key", b"value", 10)


def make(**options: Any) -> tuple[Delivery, list[FakeProducer]]:
    made: list[FakeProducer] = []

    def producer(properties: dict[str, Any]) -> Any:
        made.append(FakeProducer(properties))
        return made[-1]

    return Delivery(PublisherSettings("127.0.0.1:1", **options), producer), made


def test_each_row_is_accounted_for() -> None:
    delivery, [producer] = make()
    for _ in range(3):
        assert delivery.offer(RECORD)
    assert (delivery.sent_rows, delivery.records, delivery.first_unanswered()) == (30, 3, 1)
    producer.answers[0](None, None)
    assert (delivery.acknowledged_rows, delivery.first_unanswered()) == (10, 2)
    producer.answers[1](KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), None)
    assert (delivery.failed_rows, delivery.first_unanswered()) == (10, 3)
    assert "TOPIC_AUTHORIZATION_FAILED" in str(delivery.last_error)


def test_a_full_queue_takes_nothing_and_counts_nothing() -> None:
    delivery, [producer] = make()
    producer.full = 1
    assert not delivery.offer(RECORD)
    assert (delivery.sent_rows, delivery.records, delivery.first_unanswered()) == (0, 0, None)
    assert delivery.offer(RECORD)
    assert (delivery.sent_rows, delivery.last_number) == (10, 1)


def test_the_outbox_waits_while_the_queue_is_full_until_it_may_give_up() -> None:
    delivery, [producer] = make()
    released: list[int] = []
    outbox = DirectOutbox(delivery, released.append)
    producer.full = 3
    assert outbox.send(RECORD, lambda: False)
    assert producer.polls == 3
    producer.full = 1
    assert not outbox.send(RECORD, lambda: True)
    assert released == [10]


def test_with_a_spool_what_kafka_did_not_get_comes_back(tmp_path: Path) -> None:
    delivery, [producer] = make(spool_dir=tmp_path)
    for _ in range(3):
        delivery.offer(RECORD)
    timed_out, lost, refused = producer.answers
    timed_out(KafkaError(KafkaError._MSG_TIMED_OUT), None)
    lost(KafkaError(KafkaError._UNKNOWN_PARTITION), None)
    refused(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), None)
    answers = delivery.take_answers()
    assert [(flight.came_back, flight.is_misplaced) for flight in answers] == [
        (True, False),
        (True, True),
        (False, False),
    ]
    assert answers[0].record is RECORD
    assert (delivery.sent_rows, delivery.failed_rows) == (10, 10)


def test_after_a_fatal_error_a_new_producer_goes_on() -> None:
    delivery, made = make()
    delivery.offer(RECORD)
    made[0].properties["error_cb"](KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, "lost", fatal=True))
    delivery.offer(RECORD)
    assert len(made) == 2
    assert made[0].purged
    assert delivery.failed_rows == 10
    made[1].answers[0](None, None)
    assert (delivery.acknowledged_rows, delivery.first_unanswered()) == (10, None)


def test_closing_gives_up_what_is_unanswered() -> None:
    delivery, [producer] = make()
    delivery.offer(RECORD)
    delivery.close()
    assert producer.purged
    assert (delivery.failed_rows, delivery.first_unanswered()) == (10, None)
