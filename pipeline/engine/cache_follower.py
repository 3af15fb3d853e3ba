"""Keeps the local copies of changelog partitions up to date, by reading the changelog like anybody else.

A thread and a consumer of its own, so neither a restore nor a commit ever waits for the disk. It reads committed
records only, in the order of the log, and writes them down together with the offset behind them: so a copy is never
ahead of the changelog and misses nothing before its offset, whoever wrote it.

A copy is worth its offset only with the deletions behind it, which Kafka forgets after a while. So the moment that is
written down with an offset is the last one at which the copy had everything: every deletion behind it is younger. A
copy that never had everything is marked as unfinished.

Memory is bounded by what librdkafka fetches ahead and by ``CHUNK_BYTES``; a slow disk makes the copy older.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, KafkaError, TopicPartition

from pipeline.config import Config
from pipeline.core.errors import RetriableError
from pipeline.engine.cache_file import CacheFile
from pipeline.engine.changelog import take_messages
from pipeline.engine.failpoints import reach
from pipeline.engine.kafka import log, reaction, reader_properties
from pipeline.engine.outside import Background, Outside

CHUNK_BYTES = 32 << 20
"""What is written to disk at once."""

_POLL_S = 0.1
_PATIENCE_S = 5.0  # a round that sees nothing for so long is over: the broker may be away
_REFRESH_MS = 3_600_000  # how old a copy of a quiet changelog may look
_QUEUE_KBYTES = 16_384


class CacheFollower:
    """Follows the changelog partitions of one assignment until it is closed, or the disk fails.

    Args:
        config: the configuration.
        processor: the processor's name.
        files: the open files by partition; the follower's from ``start`` on; it closes them.
        outside: makes the consumer, starts what runs beside the caller; a clock for durations.
        now_ms: the wall clock.
        every_s: how often to look for something new.
    """

    def __init__(
        self,
        config: Config,
        processor: str,
        files: Mapping[int, CacheFile],
        outside: Outside,
        now_ms: Callable[[], int],
        every_s: float,
    ) -> None:
        self._topic = config.kafka.topic(f"{processor}-changelog")
        self._properties = reader_properties(config, processor, queue_kbytes=_QUEUE_KBYTES, fetch_wait_ms=100) | {
            "auto.offset.reset": "error"  # what is not there any more must not be passed over
        }
        self._files, self._outside, self._now_ms, self._every_s = dict(files), outside, now_ms, every_s
        self._positions = {partition: file.head.position for partition, file in files.items()}
        self._had_all_ms = {p: file.head.written_ms for p, file in files.items() if file.head.position >= 0}
        self._pending: dict[int, dict[bytes, bytes | None]] = {partition: {} for partition in files}
        self._pending_bytes = 0
        self._wake = threading.Event()
        self._is_last = self._is_closed = False
        self._background: Background | None = None

    def start(self) -> None:
        """Begin."""
        self._background = self._outside.in_background("state-cache", self._run)

    def catch_up(self, limit_s: float) -> None:
        """Read what was committed until now, and end.

        Args:
            limit_s: how long to wait for that.
        """
        self._is_last = True
        self._end(limit_s)

    def close(self, limit_s: float) -> None:
        """End with what is on disk; a write that is under way is finished.

        Args:
            limit_s: how long to wait for that.
        """
        self._is_closed = True
        self._end(limit_s)

    def _end(self, limit_s: float) -> None:
        self._wake.set()
        if self._background is not None:
            self._background.wait(limit_s)

    def _run(self) -> None:
        try:
            consumer = self._outside.consumer(self._properties)
            try:
                self._follow(consumer)
            finally:
                consumer.close()
        except Exception as error:  # noqa: BLE001 - whatever it is, it costs the copy and nothing else
            reason = str(error) or type(error).__name__
            log.warning("no local copy of the state from here on, a restart may take longer: %s", reason)
        for file in self._files.values():
            file.close()

    def _follow(self, consumer: Any) -> None:
        places = [TopicPartition(self._topic, partition, at) for partition, at in self._positions.items()]
        for place in places:
            place.offset = place.offset if place.offset > 0 else OFFSET_BEGINNING
        consumer.assign(places)
        while not self._is_closed:
            is_last = self._is_last
            self._read_to_ends(consumer)
            if is_last or self._is_closed:
                return
            consumer.pause(places)  # nothing is fetched until the next round
            self._outside.wait(self._wake, self._every_s)
            consumer.resume(places)  # librdkafka tells of the ends again after this

    def _read_to_ends(self, consumer: Any) -> None:
        left, monotonic_s = set(self._files), self._outside.monotonic_s
        until_s = monotonic_s() + _PATIENCE_S
        while left and not self._is_closed and monotonic_s() < until_s:
            for message in take_messages(consumer, _POLL_S):
                until_s = monotonic_s() + _PATIENCE_S
                partition, offset = int(message.partition() or 0), int(message.offset() or 0)
                if message.error() is None:
                    self._add(partition, message.key() or b"", message.value())
                    self._positions[partition] = offset + 1
                elif message.error().code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's name for it
                    self._positions[partition] = offset
                    self._had_all_ms[partition] = self._now_ms()
                    left.discard(partition)
                else:
                    _check(message.error(), self._topic)
            if self._pending_bytes > CHUNK_BYTES:
                self._write()
        if not self._is_closed:
            self._write()

    def _add(self, partition: int, key: bytes, value: bytes | None) -> None:
        pending = self._pending[partition]
        pending.pop(key, None)  # a key that comes again moves to the end: the file keeps the log's order
        pending[key] = value
        self._pending_bytes += len(key) + len(value or b"")

    def _write(self) -> None:
        """Write down what was read."""
        for partition, file in self._files.items():
            entries, self._pending[partition] = self._pending[partition], {}
            had_all_ms, head = self._had_all_ms.get(partition, 0), file.head
            becomes_whole = had_all_ms > 0 > head.position
            if not (entries or becomes_whole or had_all_ms - head.written_ms > _REFRESH_MS):
                continue
            reach("before_cache_write")
            file.write(list(entries.items()), self._positions[partition] if had_all_ms else -1, had_all_ms)
            reach("after_cache_write")
            if becomes_whole:
                log.info("the local copy %s is whole", file.path)
        self._pending_bytes = 0


def _check(error: KafkaError, topic: str) -> None:
    """Raise what trying again does not cure."""
    failure = reaction(error, f"following {topic!r}")
    is_gone = error.code() == KafkaError._AUTO_OFFSET_RESET  # noqa: SLF001 - librdkafka's name
    if is_gone or not isinstance(failure, RetriableError):
        raise failure
    log.info("the local copy follows later: %s", failure)
