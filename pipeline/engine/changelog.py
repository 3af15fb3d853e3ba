"""Restoring state: a changelog partition read to the end that was there when nobody else could write to it any more."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from pipeline.config import Config
from pipeline.core.errors import RetriableError
from pipeline.engine.failpoints import reach
from pipeline.engine.kafka import CALL_TIMEOUT_S, kafka_error, reaction, reader_properties
from pipeline.engine.outside import Outside

Entry = tuple[bytes, bytes | None]
"""Key and value of a changelog record; a None value deletes the key."""

_POLL_S = 0.1
_BATCH = 10_000


def end_offsets(admin: AdminClient, places: list[TopicPartition], spec: Any = None) -> dict[tuple[str, int], int]:
    """Ask the partition leaders where their logs end (or begin), open transactions included.

    Args:
        admin: a client.
        places: topics and partitions.
        spec: another place in the log, ``OffsetSpec.earliest()``.

    Returns:
        Offsets by topic and partition.

    Raises:
        RetriableError: no answer in time.
        StartupError: the topic is gone or not ours to read.
    """
    spec = spec or OffsetSpec.latest()  # type: ignore[no-untyped-call]  # untyped there
    asked = dict.fromkeys(places, spec)
    try:
        # Uncommitted on purpose: a read_committed question is answered with the last *stable* offset, which a
        # transaction that is still being finished holds back.
        futures = admin.list_offsets(
            asked, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=CALL_TIMEOUT_S
        )
        return {(place.topic, place.partition): future.result().offset for place, future in futures.items()}
    except KafkaException as exception:
        # A broker that was restarted refuses the leader epoch that librdkafka knows (FENCED_LEADER_EPOCH), and that
        # alone does not make it look for the new one: the next question would be refused as well.
        with suppress(KafkaException):
            admin.list_topics(timeout=CALL_TIMEOUT_S)
        raise reaction(kafka_error(exception), "asking for offsets") from exception


def take_messages(consumer: Any, wait_s: float) -> list[Any]:
    """What librdkafka has fetched already.

    Args:
        consumer: of what is read.
        wait_s: how long to wait for a first message.

    Returns:
        Messages and events; none when nothing came.
    """
    # One blocking poll, then what is there: "consume" with a limit of time waits for a full batch, and what is fetched
    # meanwhile is not worked on. Measured, 0.1 s for each 64 MiB, a third of a restore.
    first = consumer.poll(wait_s)
    return [] if first is None else [first, *consumer.consume(_BATCH, 0.0)]


class ChangelogReader:
    """Reads changelog partitions to their ends.

    A partition is restored when the reader's position has passed ``end``, the log's end with open transactions counted
    in. Its position moves over transaction markers and aborted records too, though none of them is handed out: the
    event at the end of the partition carries it. So trailing markers do not make the restore wait for a record that
    never comes; and the event alone does not end it early, because it also comes at the last stable offset, in front of
    a transaction that a dead or fenced predecessor has left open. That one resolves when the predecessor's name is
    taken up again, or after ``transaction_timeout``.

    Args:
        config: the configuration.
        processor: the processor's name.
        outside: makes the consumer.
    """

    def __init__(self, config: Config, processor: str, outside: Outside) -> None:
        self._outside = outside
        self._topic = config.kafka.topic(f"{processor}-changelog")
        # librdkafka fetches ahead while entries are taken in: with so much, neither waits for the other.
        self._properties = reader_properties(config, processor, queue_kbytes=32_768, fetch_wait_ms=10)

    def restore(
        self,
        starts: Mapping[int, int],
        ends: Mapping[int, int],
        take: Callable[[int, list[Entry], int], object],
        keep_going: Callable[[], bool],
    ) -> bool:
        """Hand out each changelog partition.

        Args:
            starts: the offset to begin at, by partition.
            ends: the offset to pass, by partition.
            take: gets a partition, entries of it in log order, and the offset behind them.
            keep_going: called at least every 100 ms; false stops.

        Returns:
            False when it was stopped.

        Raises:
            RetriableError: the broker failed in a way that librdkafka does not cure by itself.
            StartupError: the topic is gone or not ours to read.
        """
        left = {partition: end for partition, end in ends.items() if end > starts[partition]}
        if not left:
            return True
        consumer = self._outside.consumer(self._properties)
        try:
            # Offset 0 and not "the beginning": asking for that takes librdkafka half a second. Where 0 is gone, it
            # resets to the earliest there is.
            consumer.assign([TopicPartition(self._topic, partition, starts[partition]) for partition in left])
            while left:
                if not keep_going():
                    return False
                reach("in_changelog")
                entries: dict[int, list[Entry]] = {}
                positions: dict[int, int] = {}
                for message in take_messages(consumer, _POLL_S):
                    error, partition = message.error(), int(message.partition() or 0)
                    if error is None:
                        entries.setdefault(partition, []).append((message.key() or b"", message.value()))
                        positions[partition] = int(message.offset() or 0) + 1
                    elif error.code() == error._PARTITION_EOF:  # noqa: SLF001 - librdkafka's name for it
                        if int(message.offset() or 0) >= left.get(partition, 0):
                            left.pop(partition, None)
                    elif not error.retriable():
                        failure = reaction(error, f"restoring from {self._topic!r}")
                        raise failure if not error.fatal() else RetriableError(str(failure))
                for partition, records in entries.items():
                    take(partition, records, positions[partition])
        finally:
            consumer.close()
        return True
