"""The local copy of an assignment's changelog partitions: a restart reads them from disk, and only the rest from Kafka.

Who keeps it up to date, and why it is true, stands in ``pipeline.engine.cache_follower``. Here it is opened, read and
thrown away: when it is damaged, of another log, ahead of the changelog or too old. A disk that fails ends the copying
until the next restore, and the files stay as they are: older, and still true.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException, TopicCollection

from pipeline.config import Config
from pipeline.engine.cache_file import CacheFile, CacheUnusableError
from pipeline.engine.cache_follower import CacheFollower
from pipeline.engine.changelog import Entry
from pipeline.engine.kafka import CALL_TIMEOUT_S, group_id, log
from pipeline.engine.outside import Outside

EVERY_S = 10.0
"""How often the copy follows the changelog: a restart has that much to read again."""

MAX_AGE_MS = 12 * 3_600_000
"""Kafka forgets deletions after a day (``delete.retention.ms``): an older copy could bring back what was deleted."""

_CLOCK_SLACK_MS = 60_000
_CLOSE_S = 2.0  # a rebalance waits no longer for the disk
_BATCH_BYTES = 4 << 20
_BATCH_ENTRIES = 5_000

Clock = Callable[[], int]


class StateCache:
    """The copies of one assignment.

    Args:
        files: the open files by partition; none where there is no copy.
        follower: makes what keeps the files up to date.
        now_ms: the wall clock.
    """

    def __init__(
        self,
        files: Mapping[int, CacheFile],
        follower: Callable[[Mapping[int, CacheFile]], CacheFollower],
        now_ms: Clock,
    ) -> None:
        self._files, self._make_follower, self._now_ms = dict(files), follower, now_ms
        self._follower: CacheFollower | None = None

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
            log.warning("no local copy of the state from here on, a restart may take longer: %s", error)
            self._files.pop(partition).close()

    def follow(self) -> None:
        """Keep the copies up to date from here on: what is on disk already has been read."""
        if self._files:
            self._follower = self._make_follower(self._files)
            self._follower.start()

    def catch_up(self) -> None:
        """Take in what was committed until now, within a limit, and stop following; called before a clean end."""
        if self._follower is not None:
            self._follower.catch_up(_CLOSE_S)

    def close(self) -> None:
        """Stop following, within a limit, and let go of the files."""
        if self._follower is not None:
            self._follower.close(_CLOSE_S)
        else:
            for file in self._files.values():
                file.close()
        self._files, self._follower = {}, None


def open_state_cache(
    config: Config,
    processor: str,
    admin: Any,
    partitions: Sequence[int],
    now_ms: Clock,
    outside: Outside,
) -> StateCache:
    """Open the copies of an assignment; whatever prevents it costs a log line and nothing else.

    Args:
        config: ``worker.state_dir`` says where; nowhere when it is empty.
        processor: the processor's name.
        admin: a client.
        partitions: the assigned partitions.
        now_ms: the wall clock.
        outside: for what keeps them up to date.

    Returns:
        The copies, or what stands for none.
    """
    topic = config.kafka.topic(f"{processor}-changelog")

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

    def follower(files: Mapping[int, CacheFile]) -> CacheFollower:
        return CacheFollower(config, processor, files, outside, now_ms, EVERY_S)

    return StateCache(files, follower, now_ms)


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
