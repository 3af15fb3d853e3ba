"""How the engine talks to Kafka: the properties of its clients, and its errors sorted by the reaction they need."""

import logging
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from pipeline.config import Config
from pipeline.core.errors import DriftlineError, FencedError, RetriableError, StartupError
from pipeline.kafka_clients import ONE_REQUEST_AT_A_TIME

log = logging.getLogger("driftline.engine")
"""The engine's log; librdkafka's own lines go there too."""

CALL_TIMEOUT_S = 5.0
"""How long one blocking call to the broker may take before it is tried again."""

# Another client with this identity is alive, or the broker closed our transaction: nothing we hold can be committed.
FENCING = frozenset(
    {
        KafkaError._FENCED,  # noqa: SLF001 - librdkafka's local codes all start with an underscore
        KafkaError._FATAL,  # noqa: SLF001 - as above; for a consumer: another one has our group.instance.id
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.INVALID_PRODUCER_ID_MAPPING,
        KafkaError.FENCED_INSTANCE_ID,
    }
)

# Trying again cannot help: somebody must change the cluster or the configuration.
MENDS: Mapping[int, str] = {
    KafkaError.MSG_SIZE_TOO_LARGE: 'raise "message.max.bytes" in [kafka] and max.message.bytes of the output topic',
    KafkaError.RECORD_LIST_TOO_LARGE: "raise max.message.bytes of the output topic",
    KafkaError.UNKNOWN_TOPIC_OR_PART: "run `driftline topics create`",
    KafkaError._UNKNOWN_TOPIC: "run `driftline topics create`",  # noqa: SLF001 - as above
    KafkaError._UNKNOWN_PARTITION: "run `driftline topics create`",  # noqa: SLF001 - as above
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "allow this user to read and write Driftline's topics",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "allow this user to read with Driftline's consumer groups",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "allow this user to write with Driftline's transactional ids",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "allow this user to write with an idempotent producer",
    KafkaError.INVALID_TRANSACTION_TIMEOUT: "lower engine.transaction_timeout or raise the broker's maximum",
    KafkaError.INVALID_SESSION_TIMEOUT: "set engine.session_timeout between the broker's group.min and max",
}


def reaction(error: KafkaError, doing: str) -> DriftlineError:
    """Sort an error of Kafka by what must follow.

    Args:
        error: what the client reported.
        doing: what was tried, for the message.

    Returns:
        ``StartupError`` when only a person can mend it, ``FencedError`` when this client's identity or all its clients
        are lost, ``RetriableError`` when the transaction must be aborted and the work done again.
    """
    code, text = error.code(), f"{doing}: {error.str()} ({error.name()})"
    if code in MENDS:
        return StartupError(f"{text}; {MENDS[code]}")
    if code in FENCING or error.fatal():
        return FencedError(text)
    return RetriableError(text)


def kafka_error(exception: KafkaException) -> KafkaError:
    """The error inside an exception of the client."""
    error: KafkaError = exception.args[0]
    return error


def group_id(config: Config, processor: str) -> str:
    """The consumer group of a processor."""
    return f"{config.kafka.topic_prefix}driftline-{processor}"


def admin_properties(config: Config) -> dict[str, Any]:
    """Properties of a client that only asks questions."""
    return {"reconnect.backoff.max.ms": 2_000, **config.kafka.properties, "logger": log}


def consumer_properties(config: Config, processor: str) -> dict[str, Any]:
    """Properties of the consumer of a processor's inputs: a static member of its group.

    Args:
        config: its ``[kafka]`` properties win over the tuning, never over what exactly-once needs.
        processor: the processor's name.

    Returns:
        librdkafka properties.
    """
    session_ms = config.engine.session_timeout
    return {
        # librdkafka's default lets a full queue sleep for a second: measured, a factor of three in throughput.
        "fetch.queue.backoff.ms": 5,
        "queued.max.messages.kbytes": 131_072,  # two processors a worker: 256 MB in all
        "queued.min.messages": 500_000,
        "fetch.wait.max.ms": 100,  # the end of a partition is noticed only when a fetch comes back empty
        "reconnect.backoff.max.ms": 2_000,
        "max.poll.interval.ms": max(300_000, session_ms),
        **config.kafka.properties,
        "client.id": f"driftline-{config.worker.name}-{processor}",
        "group.id": group_id(config, processor),
        # A static member that comes back within the session timeout finds its partitions without a rebalance. The
        # price: nobody else gets them before that timeout, however cleanly it stopped.
        "group.instance.id": f"{config.worker.name}-{processor}",
        "group.protocol": "classic",
        # `range` gives partition p of every input to the same member, as long as their partition counts are equal.
        "partition.assignment.strategy": "range",
        "session.timeout.ms": session_ms,
        "heartbeat.interval.ms": max(100, min(3_000, session_ms // 3)),
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "enable.partition.eof": True,
        "logger": log,
    }


def reader_properties(config: Config, processor: str, *, queue_kbytes: int, fetch_wait_ms: int) -> dict[str, Any]:
    """Properties of a consumer that is told its partitions and reads them to their end; it joins no group.

    Args:
        config: the configuration.
        processor: the processor's name; its group id is borrowed, so that no other access rights are needed.
        queue_kbytes: how much librdkafka may fetch ahead.
        fetch_wait_ms: how long the broker may sit on a fetch that finds nothing: the end is noticed only then.

    Returns:
        librdkafka properties.
    """
    return {
        "fetch.queue.backoff.ms": 5,
        "queued.max.messages.kbytes": queue_kbytes,
        "fetch.wait.max.ms": fetch_wait_ms,
        "reconnect.backoff.max.ms": 2_000,
        **config.kafka.properties,
        "client.id": f"driftline-{config.worker.name}-{processor}-reader",
        "group.id": group_id(config, processor),
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "enable.partition.eof": True,
        "logger": log,
    }


def producer_properties(config: Config, processor: str) -> dict[str, Any]:
    """Properties of the transactional producer.

    Args:
        config: its ``[kafka]`` properties win over the tuning, never over what exactly-once needs.
        processor: the processor's name.

    Returns:
        librdkafka properties.
    """
    return {
        "compression.type": "lz4",
        "linger.ms": 5,
        "queue.buffering.max.messages": 1_000_000,
        # The broker answers "concurrent transactions" while it still writes the last commit's markers, for some
        # milliseconds. With librdkafka's default of 100 every commit takes that long: measured, 105 ms against 10.
        "retry.backoff.ms": 5,
        "reconnect.backoff.max.ms": 2_000,
        **config.kafka.properties,
        "client.id": f"driftline-{config.worker.name}-{processor}",
        # Stable by worker name: a restart fences its predecessor at once instead of waiting for its timeout.
        "transactional.id": f"{config.kafka.topic_prefix}{config.worker.name}-{processor}",
        "transaction.timeout.ms": config.engine.transaction_timeout,
        "partitioner": "murmur2_random",  # keys land where a Java client puts them
        **ONE_REQUEST_AT_A_TIME,
        "delivery.report.only.error": True,
        "logger": log,
    }
