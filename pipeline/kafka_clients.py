"""What the publisher and the subscriber share about Kafka's client: how they are told where Kafka is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException

from pipeline.core.errors import ConfigFault

if TYPE_CHECKING:
    from pipeline.config import Config  # a serving process need not load what reads configuration files

DEFAULT_BOOTSTRAP_SERVERS = "localhost:9092"

ONE_REQUEST_AT_A_TIME: Mapping[str, Any] = {"max.in.flight.requests.per.connection": 1}
"""What a producer needs for an acknowledgement to mean that the record is there.

With several requests on their way, a first one that is refused (by a broker that does not lead the partition yet) and a
second one that is taken make librdkafka conclude that the first was written as well, and acknowledge it; the same in a
transaction, which then commits without the record. Brokers take a producer's first record with any sequence number
(confluentinc/confluent-kafka-go issue 921).
"""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where Kafka is and how to speak to it.

    Attributes:
        bootstrap_servers: ``host:port`` with commas between.
        topic_prefix: goes before every topic's name.
        properties: librdkafka properties; they may hold secrets and are never shown.
    """

    bootstrap_servers: str
    topic_prefix: str
    properties: Mapping[str, Any] = field(repr=False)


def cluster_of(
    bootstrap_servers: str | None, topic_prefix: str | None, config: "Mapping[str, Any] | Config | None"
) -> Cluster:
    """Put together what a caller said about Kafka.

    Args:
        bootstrap_servers: wins over ``config`` unless None.
        topic_prefix: wins over ``config`` unless None.
        config: librdkafka properties, or Driftline's whole configuration.
    """
    if config is None or isinstance(config, Mapping):
        properties: Mapping[str, Any] = config or {}
        known_prefix = ""
    else:
        properties = config.kafka.properties
        known_prefix = config.kafka.topic_prefix
    return Cluster(
        bootstrap_servers or properties.get("bootstrap.servers") or DEFAULT_BOOTSTRAP_SERVERS,
        known_prefix if topic_prefix is None else topic_prefix,
        properties,
    )


def reserved_faults(properties: Mapping[str, Any], reserved: frozenset[str]) -> list[ConfigFault]:
    """The faults of properties that cannot be passed.

    Args:
        properties: what was passed.
        reserved: the names that Driftline sets itself.
    """
    return [
        ConfigFault(f"config[{name!r}]", "is set by Driftline itself", "remove it")
        for name in sorted(reserved & properties.keys())
    ]


def property_fault(error: Exception) -> ConfigFault:
    """The fault that Kafka's client found in its properties.

    Args:
        error: what it raised at construction.
    """
    cause = error.args[0] if isinstance(error, KafkaException) and error.args else error
    text = cause.str() if hasattr(cause, "str") else str(cause)
    return ConfigFault("config", str(text), "see librdkafka's CONFIGURATION.md")
