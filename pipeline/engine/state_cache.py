"""The local copy of an assignment's changelog partitions: a restart reads them from disk, and only the rest from Kafka.

The copy is never ahead of the changelog, and never misses anything before the offset that stands in it:

1. Before a commit the runner asks where its changelog partitions end. What it committed until then lies before that
   end, and no open transaction of its own does.
2. The commit succeeds. So the group's generation was ours until now, and nobody else has written in between.
3. Only then what was committed before step 1 goes to disk, with the end of step 1 as its offset.

After a restore the same holds for the end that the restore has read up to.

Writing happens in a thread of its own: a slow disk holds nothing up. What waits for it is bounded; a disk that does not
keep up, or is full, ends the copying until the next restore, and the files stay as they are: older, and still true.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from confluent_kafka import KafkaException, TopicCollection, TopicPartition

from pipeline.config import Config
from pipeline.core.errors import RetriableError
from pipeline.engine.cache_file import CacheFile, CacheUnusableError
from pipeline.engine.changelog import Entry, end_offsets
from pipeline.engine.failpoints import reach
from pipeline.engine.kafka import CALL_TIMEOUT_S, group_id, log

EVERY_S = 10.0
"""How often the copy follows the changelog: a restart has that much to read again."""

CHUNK_BYTES = 32 << 20
"""It follows earlier when so much has changed."""

QUEUED_BYTES = 64 << 20
"""What may wait for the disk."""

MAX_AGE_MS = 12 * 3_600_000
"""Kafka forgets deletions after a day (``delete.retention.ms``): an older copy could bring back what was deleted."""

_CLOCK_SLACK_MS = 60_000
_CLOSE_S = 2.0  # a rebalance waits no longer for the disk
_ROOM_S = 5.0  # a restore reads faster than a disk may write
_BATCH_BYTES = 4 << 20
_BATCH_ENTRIES = 5_000

Clock = Callable[[], int]


class StateCache:
    """The copies of one assignment; switches itself off when the disk fails.

    Args:
        files: the open files by partition; none where there is no copy.
        ends: asks the broker where changelog partitions end, open transactions included.
        now_ms: the wall clock.
        monotonic_s: a clock for durations.
    """

    def __init__(
        self,
        files: Mapping[int, CacheFile],
        ends: Callable[[Sequence[int]], Mapping[int, int]],
        now_ms: Clock,
        monotonic_s: Callable[[], float],
    ) -> None:
        self._files = dict(files)
        self._ends, self._now_ms, self._monotonic_s = ends, now_ms, monotonic_s
        self._pending: dict[int, dict[bytes, bytes | None]] = {}
        self._pending_bytes = 0
        self._last_s = monotonic_s()
        self._writer = _Writer(self._files, now_ms) if files else None

    def load(self, partition: int, end: int) -> Iterator[tuple[list[Entry], int]]:
        """Read a partition's copy.

        Args:
            partition: its number.
            end: where its changelog ends.

        Yields:
            Entries in log order, and about which offset they reach to.

        Raises:
            CacheUnusableError: also in the middle: the copy is worth nothing, and so is what it gave.
        """
        file = self._files.get(partition)
        if file is None or file.head.position < 0:
            return
        head, now_ms = file.head, self._now_ms()
        if head.position > end:
            raise CacheUnusableError(f"it is ahead of the changelog: {head.position} and {end}")
        if head.position < end and not -_CLOCK_SLACK_MS <= now_ms - head.written_ms < MAX_AGE_MS:
            raise CacheUnusableError("it is too old: what was deleted since then may be forgotten")
        batch: list[Entry] = []
        size = 0
        for number, entry in enumerate(file.entries()):
            batch.append(entry)
            size += len(entry[1])
            if size > _BATCH_BYTES or len(batch) >= _BATCH_ENTRIES:
                yield batch, head.position * number // head.entries
                batch, size = [], 0
        yield batch, head.position

    def position(self, partition: int) -> int:
        """The changelog offset up to which a partition's copy holds everything; 0 where there is none."""
        return max(0, self._files[partition].head.position) if partition in self._files else 0

    def reject(self, partition: int, reason: object) -> None:
        """Throw a partition's copy away; the changelog has it all.

        Args:
            partition: its number.
            reason: for the log.
        """
        file = self._files[partition]
        log.warning("the local copy %s is thrown away: %s; reading the changelog instead", file.path, reason)
        try:
            file.clear()
        except CacheUnusableError as error:
            self._off(error)

    def restored(self, partition: int, entries: Iterable[Entry]) -> None:
        """Take in what a restore read from the changelog."""
        if partition in self._files:
            self._add(partition, entries)
            if self._pending_bytes > CHUNK_BYTES:
                # Without an offset: until the restore is complete, the file is worth nothing.
                self._hand_over({}, _ROOM_S)

    def complete(self, ends: Mapping[int, int]) -> None:
        """The restore is complete.

        Args:
            ends: the offsets up to which it has read, by partition.
        """
        self._hand_over(ends, _ROOM_S)

    def marks(self, *, last: bool = False) -> Mapping[int, int]:
        """Ask where the changelogs end, if it is time for the copy to follow; called right before a commit.

        Args:
            last: the runner stops after this commit.

        Returns:
            The ends by partition, for ``committed``; empty when it is not time or the broker does not answer.
        """
        is_time = last or self._pending_bytes > CHUNK_BYTES or self._monotonic_s() - self._last_s >= EVERY_S
        if not (is_time and self._files and self._pending):
            return {}
        self._last_s = self._monotonic_s()
        try:
            return self._ends(list(self._files))
        except RetriableError as error:
            log.info("the local copy follows later: %s", error)
            return {}

    def committed(self, marks: Mapping[int, int], changes: Iterable[tuple[int, Sequence[Entry]]]) -> None:
        """Take in what a commit has written; called right after it.

        Args:
            marks: what ``marks`` gave before it.
            changes: partition and changelog entries.
        """
        if marks:
            self._hand_over(marks, 0.0)
        for partition, entries in changes:
            if partition in self._files and entries:
                self._add(partition, entries)

    def close(self) -> None:
        """Write what was handed over, within a limit, and let go of the files."""
        if self._writer is not None:
            self._writer.close()
        self._files, self._pending, self._writer = {}, {}, None

    def _add(self, partition: int, entries: Iterable[Entry]) -> None:
        pending = self._pending.setdefault(partition, {})
        for key, value in entries:
            pending.pop(key, None)  # a key that comes again moves to the end: the file keeps the log's order
            pending[key] = value
            self._pending_bytes += len(key) + len(value or b"")

    def _hand_over(self, positions: Mapping[int, int], room_s: float) -> None:
        pending, size = self._pending, self._pending_bytes
        self._pending, self._pending_bytes = {}, 0
        if self._writer is None:
            return
        for partition in self._files if positions else list(pending):
            entries = list(pending.get(partition, {}).items())
            self._writer.put(partition, entries, positions.get(partition, -1), size // max(1, len(pending)))
        if self._writer.failure is None and not self._writer.has_room(room_s):
            self._off(f"the disk does not keep up: more than {QUEUED_BYTES >> 20} MiB wait for it")
        elif self._writer.failure is not None:
            self._off(self._writer.failure)

    def _off(self, reason: object) -> None:
        """End the copying until the next restore."""
        if self._files:
            log.warning("no local copy of the state from here on, a restart may take longer: %s", reason)
        if self._writer is not None:
            self._writer.abandon()
        self._files, self._pending, self._writer = {}, {}, None


class _Writer:
    """Writes to the files in a thread of its own."""

    def __init__(self, files: Mapping[int, CacheFile], now_ms: Clock) -> None:
        self._files, self._now_ms = dict(files), now_ms
        self._jobs: SimpleQueue[tuple[int, list[Entry], int, int] | None] = SimpleQueue()
        self._room = threading.Condition()
        self._queued_bytes = 0
        self._abandoned = False
        self.failure: str | None = None
        self._thread = threading.Thread(target=self._run, name="state-cache", daemon=True)
        self._thread.start()

    def put(self, partition: int, entries: list[Entry], position: int, size: int) -> None:
        """Hand over entries, about ``size`` bytes of them."""
        with self._room:
            self._queued_bytes += size
        self._jobs.put((partition, entries, position, size))

    def has_room(self, wait_s: float) -> bool:
        """Whether the disk keeps up, or does so within a while."""
        with self._room:
            return self._room.wait_for(lambda: self._queued_bytes <= QUEUED_BYTES, wait_s)

    def close(self) -> None:
        """End the thread when all is written; wait for that within a limit."""
        self._jobs.put(None)
        self._thread.join(_CLOSE_S)

    def abandon(self) -> None:
        """End the thread, whatever is not written yet."""
        self._abandoned = True
        self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            partition, entries, position, size = job
            if self.failure is None and not self._abandoned:
                try:
                    reach("before_cache_write")
                    self._files[partition].write(entries, position, self._now_ms())
                    reach("after_cache_write")
                except Exception as error:  # noqa: BLE001 - whatever it is, it costs the copy and nothing else
                    self.failure = str(error) or type(error).__name__
            with self._room:
                self._queued_bytes -= size
                self._room.notify_all()
        for file in self._files.values():
            file.close()


def open_state_cache(
    config: Config,
    processor: str,
    admin: Any,
    partitions: Sequence[int],
    now_ms: Clock,
    monotonic_s: Callable[[], float],
) -> StateCache:
    """Open the copies of an assignment; whatever prevents it costs a log line and nothing else.

    Args:
        config: ``worker.state_dir`` says where; nowhere when it is empty.
        processor: the processor's name.
        admin: a client.
        partitions: the assigned partitions.
        now_ms: the wall clock.
        monotonic_s: a clock for durations.

    Returns:
        The copies, or what stands for none.
    """
    topic = config.kafka.topic(f"{processor}-changelog")

    def ends(asked: Sequence[int]) -> dict[int, int]:
        answer = end_offsets(admin, [TopicPartition(topic, partition) for partition in asked])
        return {partition: answer[topic, partition] for partition in asked}

    files: dict[int, CacheFile] = {}
    if config.worker.state_dir:
        try:
            folder = Path(config.worker.state_dir).expanduser() / group_id(config, processor) / config.worker.name
            folder.mkdir(parents=True, exist_ok=True)
            of_cluster = _identity(admin, topic)
            for partition in partitions:
                path = folder / f"{topic}-{partition}.sqlite"
                files[partition] = file = CacheFile(path, f"{of_cluster} partition {partition}")
                if file.rejected:
                    log.warning("the local copy %s is thrown away: %s", path, file.rejected)
            _tidy(folder, {file.path.name for file in files.values()})
        except (OSError, RuntimeError, KafkaException, CacheUnusableError) as error:
            log.warning("no local copy of the state, a restart may take longer: %s", error)
            for file in files.values():
                file.close()
            files = {}
    return StateCache(files, ends, now_ms, monotonic_s)


def _identity(admin: Any, topic: str) -> str:
    """Which log a copy is of: a topic that was deleted and made anew is another one."""
    described = admin.describe_topics(TopicCollection([topic]), request_timeout=CALL_TIMEOUT_S)[topic].result()
    cluster = admin.list_topics(topic, timeout=CALL_TIMEOUT_S).cluster_id
    return f"cluster {cluster} topic {topic} {described.topic_id}"


def _tidy(folder: Path, kept: Collection[str]) -> None:
    """Delete copies that are too old to be of use: their partitions went elsewhere."""
    for path in folder.glob("*.sqlite*"):
        is_old = time.time() - path.stat().st_mtime > 2 * MAX_AGE_MS / 1_000
        if is_old and not path.name.startswith(tuple(kept)):
            path.unlink(missing_ok=True)
