"""What a publisher is told at its construction, checked there: afterwards nothing is raised in the serving path."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from confluent_kafka import KafkaException, Producer

from pipeline.core.codec import MAX_BATCH_ROWS
from pipeline.core.errors import ConfigError, ConfigFault
from pipeline.kafka_clients import ONE_REQUEST_AT_A_TIME, property_fault, reserved_faults

OnOverflow: TypeAlias = Literal["drop_newest", "block"]

RESERVED = frozenset(
    {
        "acks",
        "dr_cb",
        "enable.idempotence",
        "error_cb",
        "max.in.flight",
        "max.in.flight.requests.per.connection",
        "on_delivery",
        "partitioner",
        "request.required.acks",
        "transactional.id",
    }
)
"""The librdkafka properties that the publisher's promises rest on: they cannot be passed."""

_DEFAULTS: Mapping[str, Any] = {
    "client.id": "driftline-publisher",
    "compression.type": "lz4",
    "linger.ms": 5,
    # Back soon after Kafka is: the default waits up to ten seconds.
    "reconnect.backoff.max.ms": 2_000,
    # Never give a row up because Kafka is away for long: the buffer's bound decides what is lost, and counts it.
    "message.timeout.ms": 0,
    "queue.buffering.max.kbytes": 65_536,
    "message.max.bytes": 1_000_000,
    # The publisher reports errors itself, once; librdkafka would write each attempt to stderr.
    "log_level": 2,
}
_FIXED: Mapping[str, Any] = {
    "enable.idempotence": True,
    "acks": "all",
    "partitioner": "murmur2_random",
    **ONE_REQUEST_AT_A_TIME,
}

_RECORD_OVERHEAD_BYTES = 1_024  # key, headers and framing beside the value


@dataclass(frozen=True, slots=True)
class PublisherSettings:
    """How a publisher buffers, batches and sends.

    Attributes:
        bootstrap_servers: where Kafka is, ``host:port`` with commas between.
        topic_prefix: goes before every topic's name.
        on_overflow: what happens to a row that finds the buffer full: it is dropped and counted, or its caller waits.
        block_timeout_s: the longest a caller waits; then its row is dropped and counted.
        buffer_rows: rows that may wait to be sent.
        linger_ms: how long rows are collected before they are sent.
        batch_rows: rows of one columnar record at most.
        spool_dir: where records wait on disk while Kafka is away; None keeps them in memory alone.
        spool_max_bytes: how much disk one publisher's spool may take.
        properties: librdkafka properties; they may hold secrets and are never shown.
    """

    bootstrap_servers: str
    topic_prefix: str = ""
    on_overflow: OnOverflow = "drop_newest"
    block_timeout_s: float = 0.1
    buffer_rows: int = 100_000
    linger_ms: float = 100.0
    batch_rows: int = 1_000
    spool_dir: Path | None = None
    spool_max_bytes: int = 1 << 30
    properties: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ConfigError: with every fault found.
        """
        faults = self._faults()
        if not faults:
            try:
                # librdkafka alone knows its properties; without a server it starts no connection.
                Producer({**self.producer_properties(), "bootstrap.servers": ""})
            except (KafkaException, TypeError, ValueError) as error:
                faults.append(property_fault(error))
        if faults:
            raise ConfigError(faults)

    def _faults(self) -> list[ConfigFault]:
        faults = reserved_faults(self.properties, RESERVED)
        bounds = (
            ("block_timeout_s", self.block_timeout_s, 0, 3_600),
            ("buffer_rows", self.buffer_rows, 1, 100_000_000),
            ("linger_ms", self.linger_ms, 0, 60_000),
            ("batch_rows", self.batch_rows, 1, MAX_BATCH_ROWS),
            ("spool_max_bytes", self.spool_max_bytes, 1_000_000, 1 << 50),
        )
        for name, value, low, high in bounds:
            if not isinstance(value, int | float) or not low <= value <= high:
                faults.append(ConfigFault(name, f"{value!r} is out of range", f"give {low} to {high}"))
        if self.on_overflow not in {"drop_newest", "block"}:
            faults.append(
                ConfigFault("on_overflow", f"{self.on_overflow!r} is unknown", "give 'drop_newest' or 'block'")
            )
        if not self.bootstrap_servers:
            faults.append(ConfigFault("bootstrap_servers", "is empty", "give host:port"))
        if self.spool_dir is not None:
            faults.extend(_folder_faults(self.spool_dir))
        return faults

    def producer_properties(self) -> dict[str, Any]:
        """The properties of the librdkafka producer, defaults included."""
        return {**_DEFAULTS, **self.properties, "bootstrap.servers": self.bootstrap_servers, **_FIXED}

    @property
    def record_bytes_max(self) -> int:
        """The longest value of one record."""
        return max(1, int(self.producer_properties()["message.max.bytes"]) - _RECORD_OVERHEAD_BYTES)


def _folder_faults(folder: Path) -> list[ConfigFault]:
    """Try a folder out: made here when it is not there yet."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return []
    except OSError as error:
        return [ConfigFault("spool_dir", f"cannot be written: {error}", "give a folder that this process may write to")]
