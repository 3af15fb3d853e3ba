"""Table topics: small compacted topics that every worker reads whole, outside any group."""

from collections.abc import Callable

from confluent_kafka import TopicPartition

from pipeline.config import Config
from pipeline.core.errors import RetriableError
from pipeline.engine.kafka import log, reaction, reader_properties
from pipeline.engine.outside import Outside
from pipeline.processors.processor import Processor

_BATCH = 1_000


class TableReader:
    """Hands every record of a processor's table topics to it.

    Args:
        config: the configuration.
        processor: takes the records in ``on_table``.
        partitions: partition counts by topic.
        outside: makes the consumer.
    """

    def __init__(self, config: Config, processor: Processor, partitions: dict[str, int], outside: Outside) -> None:
        self._prefix = config.kafka.topic_prefix
        self._processor = processor
        properties = reader_properties(config, processor.name, queue_kbytes=16_384, fetch_wait_ms=100)
        self._consumer = outside.consumer(properties)
        self._behind = {
            (config.kafka.topic(topic), partition)
            for topic in processor.tables
            for partition in range(partitions[topic])
        }
        # Offset 0: see ``ChangelogReader.restore``.
        self._consumer.assign([TopicPartition(topic, p, 0) for topic, p in sorted(self._behind)])

    def read_to_end(self, keep_going: Callable[[], bool]) -> None:
        """Read until every partition's end was seen once.

        Args:
            keep_going: asked every 100 ms; false stops.
        """
        while self._behind and keep_going():
            self.poll(0.1)

    def poll(self, timeout_s: float = 0.0) -> None:
        """Take in what came since the last call.

        Args:
            timeout_s: how long to wait for a first record.

        Raises:
            StartupError: a table is gone or not ours to read.
        """
        # One blocking poll, then what is there already: `consume` would wait for a full batch.
        message = self._consumer.poll(timeout_s)
        messages = [] if message is None else [message, *self._consumer.consume(_BATCH, 0.0)]
        for message in messages:
            error = message.error()
            topic, partition = str(message.topic()), int(message.partition() or 0)
            if error is None:
                key = message.key()
                if key is None:
                    log.warning("table %s: record %s without a key is ignored", topic, message.offset())
                else:
                    self._processor.on_table(topic.removeprefix(self._prefix), key, message.value())
            elif error.code() == error._PARTITION_EOF:  # noqa: SLF001 - librdkafka's name for it
                self._behind.discard((topic, partition))
            elif not error.retriable():
                failure = reaction(error, f"reading table {topic!r}")
                if not isinstance(failure, RetriableError):
                    raise failure
                log.warning("%s", failure)

    def close(self) -> None:
        """Close the client."""
        self._consumer.close()
