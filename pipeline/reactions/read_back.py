"""Reads what was reacted to already, so that a restart or a rebalance does not empty the metrics page."""

import time
from collections.abc import Iterable

from confluent_kafka import Consumer, KafkaException, TopicPartition

from pipeline.config import Config

RECORDS_MAX = 5_000
"""How many offsets of each partition are looked back at most."""

TIME_MAX_S = 10.0
"""How long reading may take in all; the page then starts with what was read."""

_POLL_S = 0.5
_BATCH = 1_000


def read_back(config: Config, group: str, places: Iterable[tuple[str, int]]) -> list[tuple[str, bytes]]:
    """Read the newest records before a group's committed offsets; blocks.

    Args:
        config: the configuration.
        group: the consumer group; it is asked for its offsets and not joined.
        places: topics by their full names, with a partition each.

    Returns:
        Topic and value of each record; those of a partition in log order.

    Raises:
        KafkaException: the broker does not answer.
    """
    consumer = Consumer(
        {
            "log_level": 2,
            **config.kafka.properties,
            "group.id": group,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }
    )
    try:
        ends = {}
        for place in consumer.committed([TopicPartition(*place) for place in places], timeout=TIME_MAX_S):
            low = consumer.get_watermark_offsets(place, timeout=TIME_MAX_S)[0]
            if place.offset > low:
                ends[place.topic, place.partition] = (max(low, place.offset - RECORDS_MAX), place.offset)
        consumer.assign([TopicPartition(*place, start) for place, (start, _) in ends.items()])
        return _read(consumer, {place: end for place, (_, end) in ends.items()})
    finally:
        consumer.close()


def _read(consumer: Consumer, ends: dict[tuple[str, int], int]) -> list[tuple[str, bytes]]:
    """Read each partition up to its end offset."""
    records: list[tuple[str, bytes]] = []
    deadline_s = time.monotonic() + TIME_MAX_S
    while ends and time.monotonic() < deadline_s:
        for message in consumer.consume(_BATCH, _POLL_S):
            place = (str(message.topic()), int(message.partition() or 0))
            offset = int(message.offset() or 0)
            error = message.error()
            if error is not None and error.code() != error._PARTITION_EOF:  # noqa: SLF001 - librdkafka's name for it
                raise KafkaException(error)
            value = message.value()
            if error is None and value is not None and offset < ends.get(place, 0):
                records.append((place[0], value))
            # The offsets before the committed one may all be markers: then the end comes without a record.
            if error is not None or offset >= ends.get(place, 0) - 1:
                ends.pop(place, None)
    return records
