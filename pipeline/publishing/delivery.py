"""Records to Kafka and their answers back: the one place of the publisher that touches librdkafka."""

import ctypes
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from time import monotonic

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from pipeline.publishing.columns import Stream
from pipeline.publishing.encoder import Record
from pipeline.publishing.settings import PublisherSettings

_METADATA_TIMEOUT_S = 0.5
_PURGE_S = 1.0

# librdkafka's own codes are public under these names.
_FATAL = KafkaError._FATAL  # noqa: SLF001 - as above
_PURGED = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})  # noqa: SLF001 - as above
# What says nothing against a record: it may be sent again.
_PASSING = _PURGED | {KafkaError._MSG_TIMED_OUT, KafkaError._STATE, _FATAL}  # noqa: SLF001 - as above
_MISPLACED = frozenset(
    {KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART}  # noqa: SLF001 - as above
)


@dataclass(slots=True)
class Flight:
    """A record on its way.

    Attributes:
        stream: where it goes.
        rows: how many rows it carries.
        size_bytes: of its value.
        sent_s: when it was handed over, on the monotonic clock.
        record: the record, to send it again; None when it is on disk, or would never be sent again.
        spool_id: its number in the spool; None when it is not there.
        is_replayed: whether it was read from the spool.
        came_back: whether Kafka did not get it, for a reason that passes.
        is_misplaced: whether its topic or partition was not found.
    """

    stream: Stream
    rows: int
    size_bytes: int
    sent_s: float
    record: Record | None = None
    spool_id: int | None = None
    is_replayed: bool = False
    came_back: bool = False
    is_misplaced: bool = False


class Delivery:
    """An idempotent producer with its accounts; used by one thread, its counts may be read by any.

    Args:
        settings: where to send, and how. With a ``spool_dir``, records that Kafka did not get for a reason that passes
            come back through ``take_answers`` and don't count as failed.
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
        self._keeps = settings.spool_dir is not None
        self._make_producer = make_producer
        self._outstanding: dict[int, Flight] = {}  # by record number, in the order of sending
        self._answers: list[Flight] = []
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

    def waiting_s(self) -> float:
        """How long the oldest record without an answer has been waiting for it; 0 when all are answered."""
        oldest = next(iter(self._outstanding.values()), None)
        return 0.0 if oldest is None else monotonic() - oldest.sent_s

    def flights(self) -> Iterator[Flight]:
        """The records without an answer, in the order of sending; not to be held across another call."""
        return iter(self._outstanding.values())

    def take_answers(self) -> list[Flight]:
        """What was answered since the last call, in that order; always empty without a ``spool_dir``."""
        answers, self._answers = self._answers, []
        return answers

    def offer(self, record: Record, spool_id: int | None = None) -> bool:
        """Hand a record to librdkafka.

        Args:
            record: what to send.
            spool_id: its number in the spool that it was read from.

        Returns:
            False when librdkafka's queue is full, as it is when Kafka is away for long; else the record is on its way,
            or already answered.
        """
        self._mend()
        number = self.last_number + 1
        flight = Flight(record.stream, record.rows, len(record.value), monotonic(), spool_id=spool_id)
        flight.is_replayed = spool_id is not None
        if self._keeps and spool_id is None:
            flight.record = record
        # Before the call: the answer may come inside it.
        self._outstanding[number] = flight
        self.sent_rows += record.rows
        self.records += 1
        try:
            self._produce(record, number)
        except BufferError:
            del self._outstanding[number]
            self.sent_rows -= record.rows
            self.records -= 1
            return False
        except KafkaException as error:
            self._answered(number, error.args[0], None)
        self.last_number = number
        return True

    def _produce(self, record: Record, number: int) -> None:
        if self._producer is None:
            raise KafkaException(KafkaError(KafkaError._STATE, "the publisher is closed"))  # noqa: SLF001 - public code
        self._producer.produce(
            self._topic_prefix + record.stream.topic,
            value=record.value,
            key=record.key,
            partition=record.place.partition,
            headers=record.headers,
            on_delivery=partial(self._answered, number),
        )

    def _answered(self, number: int, error: KafkaError | None, _message: Message | None) -> None:
        flight = self._outstanding.pop(number, None)
        if flight is None:
            return
        if error is None:
            self.acknowledged_rows += flight.rows
        else:
            if error.code() not in _PURGED:  # its reason was told before
                self._on_error(error)
            flight.is_misplaced = error.code() in _MISPLACED
            if self._keeps and (flight.is_misplaced or error.fatal() or error.code() in _PASSING):
                flight.came_back = True
                self.sent_rows -= flight.rows
                self.records -= 1
            else:
                self.failed_rows += flight.rows
        if self._keeps:
            self._answers.append(flight)

    def _on_error(self, error: KafkaError) -> None:
        self.last_error = f"{error.name()}: {error.str()}"
        self._fatal = self._fatal or error.fatal() or error.code() == _FATAL

    def poll(self, timeout_s: float) -> None:
        """Take in answers.

        Args:
            timeout_s: how long to wait for the first.
        """
        if self._producer is not None:
            self._producer.poll(timeout_s)
        self._mend()

    def partition_count(self, topic: str) -> int | None:
        """Ask Kafka how many partitions a topic has; the one call that any thread may make.

        Args:
            topic: the name in the contract.

        Returns:
            The count; None when Kafka does not answer or has no such topic: ``last_error`` says which.
        """
        producer = self._producer  # another thread may ask, and this one's close
        if producer is None:
            return None
        name = self._topic_prefix + topic
        try:
            found = producer.list_topics(name, timeout=_METADATA_TIMEOUT_S).topics[name]
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
        for number in tuple(self._outstanding):
            self._answered(number, KafkaError(KafkaError._PURGE_INFLIGHT), None)  # noqa: SLF001 - public code

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
