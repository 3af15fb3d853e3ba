"""How much has been coming lately, from the topics themselves."""

import time

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from pipeline.config import Config

SPAN_S = 3_600
_TIMEOUT_S = 5.0


def recent_rate(config: Config, topic: str) -> float | None:
    """Records a second in the last hour.

    Args:
        config: where Kafka is.
        topic: a name of the contract.

    Returns:
        The rate; None when nothing came or the broker does not say. A record may hold many rows.
    """
    admin = AdminClient({"log_level": 2, **config.kafka.properties})
    full = config.kafka.topic(topic)
    since_ms = (time.time_ns() // 1_000_000) - SPAN_S * 1_000
    try:
        partitions = admin.list_topics(full, timeout=_TIMEOUT_S).topics[full].partitions
        places = [TopicPartition(full, partition) for partition in partitions]
        specs = (OffsetSpec.for_timestamp(since_ms), OffsetSpec.latest())  # type: ignore[no-untyped-call]  # as librdkafka
        starts, ends = (
            [future.result().offset for future in admin.list_offsets(dict.fromkeys(places, spec)).values()]
            for spec in specs
        )
    except KafkaException:
        return None
    # An offset of -1: no record is as young as that.
    records = sum(end - start for start, end in zip(starts, ends, strict=True) if start >= 0)
    return records / SPAN_S or None
