"""Records to Kafka and their answers back: the one place of the publisher that touches librdkafka."""

import ctypes
from collections.abc import Callable
from functools import partial
from time import monotonic

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from pipeline.publishing.encoder import Record
from pipeline.publishing.settings import PublisherSettings

_METADATA_TIMEOUT_S = 0.5
_QUEUE_FULL_POLL_S = 0.1
_PURGE_S = 1.0


class Delivery:
    """An idempotent producer with its accounts; used by one thread, its counts may be read by any.

    Args:
        settings: where to send, and how.
        make_producer: makes the librdkafka producer from its properties.

    Attributes:
        sent_rows: handed to librdkafka.
        acknowledged_rows: written by every in-sync replica.
        failed_rows: refused, or given up.
        records: records sent.
        last_number: the number of the last record sent; they count from 1.
        last_error: for a person; None while there was none.
    """

    def __init__(
        self, settings: PublisherSettings, make_producer: Callable[[dict[str, object]], Producer] = Producer
    ) -> None:
        self._properties = {**settings.producer_properties(), "error_cb": self._on_error}
        self._topic_prefix = settings.topic_prefix
        self._make_producer = make_producer
        self._outstanding: dict[int, int] = {}  # record number to rows, in the order of sending
        self._fatal = False
        self.sent_rows = 0
        self.acknowledged_rows = 0
        self.failed_rows = 0
        self.records = 0
        self.last_number = 0
        self.last_error: str | None = None
        self._producer: Producer | None = make_producer(self._properties)

    def first_unanswered(self) -> int | None:
        """The number of the oldest record without an answer; None when all are answered."""
        return next(iter(self._outstanding), None)

    def send(self, record: Record, give_up: Callable[[], bool]) -> bool:
        """Hand a record to librdkafka; waits while its queue is full, as it is when Kafka is away for long.

        Args:
            record: what to send.
            give_up: asked again and again while waiting.

        Returns:
            False when it gave up; else the record is on its way, or counted as failed.
        """
        self._mend()
        while True:
            number = self.last_number + 1
            # Before the call: the answer may come inside it.
            self._outstanding[number] = record.rows
            try:
                self._produce(record, number)
            except BufferError:
                del self._outstanding[number]
                if give_up():
                    return False
                self.poll(_QUEUE_FULL_POLL_S)
                continue
            except KafkaException as error:
                self._answered(number, error.args[0], None)
            self.last_number = number
            self.records += 1
            self.sent_rows += record.rows
            return True

    def _produce(self, record: Record, number: int) -> None:
        if self._producer is None:
            raise KafkaException(KafkaError(KafkaError._STATE, "the publisher is closed"))  # noqa: SLF001 - public code
        self._producer.produce(
            self._topic_prefix + record.stream.topic,
            value=record.value,
            key=record.key,
            partition=record.partition,
            headers=record.headers,
            on_delivery=partial(self._answered, number),
        )

    def _answered(self, number: int, error: KafkaError | None, _message: Message | None) -> None:
        rows = self._outstanding.pop(number, 0)
        if error is None:
            self.acknowledged_rows += rows
        else:
            self.failed_rows += rows
            self._on_error(error)

    def _on_error(self, error: KafkaError) -> None:
        self.last_error = f"{error.name()}: {error.str()}"
        self._fatal = self._fatal or error.fatal()

    def poll(self, timeout_s: float) -> None:
        """Take in answers.

        Args:
            timeout_s: how long to wait for the first.
        """
        if self._producer is not None:
            self._producer.poll(timeout_s)
        self._mend()

    def partition_count(self, topic: str) -> int | None:
        """Ask Kafka how many partitions a topic has.

        Args:
            topic: the name in the contract.

        Returns:
            The count; None when Kafka does not answer or has no such topic: ``last_error`` says which.
        """
        if self._producer is None:
            return None
        name = self._topic_prefix + topic
        try:
            found = self._producer.list_topics(name, timeout=_METADATA_TIMEOUT_S).topics[name]
        except KafkaException as error:
            self._on_error(error.args[0])
            return None
        if found.error is not None or not found.partitions:
            self.last_error = f"topic {name} does not exist: run `driftline topics`"
            return None
        return len(found.partitions)

    def _mend(self) -> None:
        """After a fatal error a producer refuses everything for good: a new one takes its place."""
        if self._fatal and self._producer is not None:
            self._give_up_unanswered(self._producer)
            self._producer = self._make_producer(self._properties)
            self._fatal = False

    def _give_up_unanswered(self, producer: Producer) -> None:
        producer.purge()
        deadline_s = monotonic() + _PURGE_S
        while self._outstanding and monotonic() < deadline_s:
            producer.poll(0.05)
        self.failed_rows += sum(self._outstanding.values())
        self._outstanding.clear()

    def close(self) -> None:
        """Count what is unanswered as failed, and end the connection."""
        producer, self._producer = self._producer, None
        if producer is not None and self._outstanding:
            self._give_up_unanswered(producer)

    def abandon(self) -> None:
        """Keep the producer alive for ever: in a forked child its threads are gone and its end would wait for them."""
        if self._producer is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._producer))
            self._producer = None
