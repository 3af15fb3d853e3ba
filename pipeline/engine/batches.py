"""From librdkafka's messages to record batches, with as few Python steps a message as possible."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from confluent_kafka import KafkaError, Message

from pipeline.core.events import RecordBatch

BATCH_BYTES = 2 << 20
"""About how much one round consumes. A columnar record can hold 10,000 rows in a megabyte: a batch counted in records
would not fit into memory, and would hold up commits for seconds. What fits the processor's caches is also the fastest:
measured, 480,000 rows a second against 290,000 in rounds of 20,000 records of 1,000 rows."""

_FIRST_RECORDS = 100


class BatchSize:
    """How many records to consume in a round: many small ones or few large ones.

    Args:
        most: never more than this.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.records = min(most, _FIRST_RECORDS)

    def learn(self, batches: Sequence[RecordBatch]) -> None:
        """Expect the next records to be about as large as these.

        Args:
            batches: what one round consumed.
        """
        records = sum(map(len, batches))
        if records:
            size = sum(len(value) for batch in batches for value in batch.values if value)
            self.records = max(1, min(self._most, BATCH_BYTES * records // max(size, 1)))


def split_events(messages: list[Any]) -> tuple[list[Any], list[Any]]:
    """Separate records from what librdkafka reports between them: ends of partitions and errors.

    Args:
        messages: what ``consume`` gave.

    Returns:
        The records, then the others, each in their order.
    """
    errors = list(map(Message.error, messages))
    if not any(errors):
        return messages, []
    records = [message for message, error in zip(messages, errors, strict=True) if error is None]
    return records, [message for message, error in zip(messages, errors, strict=True) if error is not None]


def has_failed(events: list[Any]) -> bool:
    """Whether librdkafka reports anything but ends of partitions.

    Args:
        events: as ``split_events`` gave them.
    """
    end = KafkaError._PARTITION_EOF  # noqa: SLF001 - librdkafka's name for it
    return any(event.error().code() != end for event in events)


def record_batches(records: Sequence[Any], prefix: str) -> list[RecordBatch]:
    """Group records by topic and partition.

    Every step is a C loop over one accessor (15-20 ns a message and accessor): librdkafka hands out long runs of one
    partition, so the run boundaries cost Python time only where they are.

    Args:
        records: messages without errors, in the order they came.
        prefix: the topic prefix to take off.

    Returns:
        One batch for each topic partition, in log order.
    """
    runs: dict[tuple[str, int], list[Any]] = {}
    start = 0
    for topic, same_topic in groupby(map(Message.topic, records)):
        topic_end = start + len(list(same_topic))
        for partition, same_partition in groupby(map(Message.partition, records[start:topic_end])):
            end = start + len(list(same_partition))
            run = records[start:end]
            place = (str(topic), int(partition or 0))
            if place in runs:
                runs[place].extend(run)
            else:
                runs[place] = list(run)
            start = end
    return [
        RecordBatch(
            topic=topic.removeprefix(prefix),
            partition=partition,
            offsets=list(map(Message.offset, run)),  # type: ignore[arg-type]  # a record has an offset
            keys=list(map(Message.key, run)),
            values=list(map(Message.value, run)),
            headers=list(map(Message.headers, run)),  # type: ignore[arg-type]  # consumed headers are lists of pairs
        )
        for (topic, partition), run in runs.items()
    ]
