"""From an assignment to tasks that stand exactly where the committed offsets stand.

Why a zombie can do no harm, and why a restore misses nothing. Say A owned partition p and B gets it.

1. B is assigned p in a new generation of the group. From then on the group coordinator refuses offsets that A sends
   with its old generation (KIP-447). Every transaction of ours carries offsets, so A cannot begin to commit any more.
2. A may have sent its offsets *before*: that transaction can still commit. So B asks for the committed offsets first,
   as a read_committed consumer, which the coordinator answers only when no offsets of p are pending in a transaction.
   From here on nothing of A's can change the offsets, and so nothing of A's can become committed at all.
3. Only then B asks where the changelog ends, open transactions counted in. What A committed was written before its
   commit began, so it lies before that end; what B reads up to there, with read_committed, is the state that belongs to
   the offsets of step 2. See ``ChangelogReader`` for reading "up to there".
4. At last B asks for the offsets again. If they have moved, B itself is the zombie: it stood still so long that another
   worker got p, and what it has read is newer than its offsets, or has gaps where the changelog was compacted. Nothing
   could commit that, but the processor may break on it, so B starts again.

The other order (state first, then offsets) would lose A's last transaction from the state but not from the offsets.
A restarted worker of the same name does the same; in addition ``init_transactions`` fences its predecessor's producer,
and the group coordinator refuses the predecessor's member id because the group instance id has a new owner.
If B's own generation is over by the time it has finished, its first commit is refused and it starts again: the shell
takes the group metadata down once an assignment and commits with nothing else.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from pipeline.config import Config
from pipeline.core.errors import RetriableError, StartupError
from pipeline.engine.cache_file import CacheUnusableError
from pipeline.engine.changelog import ChangelogReader, Entry, end_offsets
from pipeline.engine.failpoints import reach
from pipeline.engine.kafka import kafka_error, reaction
from pipeline.engine.outside import Outside
from pipeline.engine.progress import RestoreMeter, RestoreProgress
from pipeline.engine.side_by_side import SideBySide
from pipeline.engine.state_cache import StateCache, open_state_cache
from pipeline.processors.processor import PartitionTask, Processor

_ASK_S = 1.0  # one question for committed offsets; between two the group is served
_PATIENCE_S = 60.0  # beyond three transaction timeouts


@dataclass(frozen=True, slots=True)
class Restored:
    """Tasks and the offsets they stand at.

    Attributes:
        tasks: by partition.
        positions: the next offset to read by input topic (the name in the contract) and partition.
        records: how many changelog records were read, those of the local copy included.
        cache: the local copy, which follows the changelog from here on.
    """

    tasks: dict[int, PartitionTask]
    positions: dict[tuple[str, int], int]
    records: int
    cache: StateCache


class Restorer:
    """Makes the tasks of an assignment.

    Args:
        config: the configuration.
        processor: makes the empty tasks.
        admin: answers where logs end.
        partitions: partition counts by the name in the contract.
        wait: sleeps for some seconds.
        outside: makes the changelog's consumer; a clock for durations.
        now_ms: the wall clock.
    """

    def __init__(
        self,
        config: Config,
        processor: Processor,
        admin: AdminClient,
        partitions: Mapping[str, int],
        wait: Callable[[float], object],
        outside: Outside,
        now_ms: Callable[[], int],
    ) -> None:
        self._config, self._processor, self._admin, self._partitions = config, processor, admin, partitions
        self._wait, self._outside, self._now_ms = wait, outside, now_ms
        self._changelog = f"{processor.name}-changelog"

    def restore(
        self, consumer: Any, assigned: Sequence[tuple[str, int]], keep_going: Callable[[RestoreProgress], bool]
    ) -> Restored | None:
        """Ask, ask and read, in the order explained above.

        Args:
            consumer: the group's consumer, in the generation of this assignment.
            assigned: input topic and partition, sorted.
            keep_going: called at least every second with how far it is; serves the group and is false when this restore
                has lost its sense.

        Returns:
            The tasks; None when ``keep_going`` ended it.

        Raises:
            StartupError: partition counts have changed, or there is state without offsets.
            RetriableError: the broker did not answer.
        """
        reach("in_restore")
        inputs, partitions = self._aligned(assigned)
        committed = self._committed(
            consumer, inputs, lambda: keep_going(RestoreProgress(partitions_left=len(partitions)))
        )
        if committed is None:
            return None
        reach("after_offsets")
        topic = self._config.kafka.topic(self._changelog)
        found = end_offsets(self._admin, [TopicPartition(topic, p) for p in partitions])
        ends = {p: found[topic, p] for p in partitions}
        meter = RestoreMeter(self._processor.name, ends, self._outside.monotonic_s)
        cache = open_state_cache(
            self._config, self._processor.name, self._admin, partitions, self._now_ms, self._outside
        )

        def go_on() -> bool:
            return keep_going(meter.progress())

        try:
            tasks = self._read(ends, cache, meter, go_on)
            if tasks is not None and self._is_ours(consumer, inputs, committed, go_on):
                positions = self._positions(inputs, committed, meter.records)
                cache.follow()
                return Restored(tasks, positions, sum(meter.records.values()), cache)
        except BaseException:
            cache.close()
            raise
        cache.close()
        return None

    def _read(
        self, ends: Mapping[int, int], cache: StateCache, meter: RestoreMeter, keep_going: Callable[[], bool]
    ) -> dict[int, PartitionTask] | None:
        """Tasks with the state at the changelogs' ends: what the local copy holds, then the rest."""
        # All before the first is filled: they share the processor's memory.
        tasks = {partition: self._processor.task(partition, self._partitions) for partition in ends}
        with SideBySide(self._processor.name, self._outside) as builders:

            def take(partition: int, entries: list[Entry], position: int) -> None:
                builders.give(partition, tasks[partition].restore, entries)
                meter.read(partition, position, len(entries), _size(entries))

            def forget(partition: int) -> None:
                builders.wait(partition)
                meter.forget(partition)
                tasks[partition] = self._processor.task(partition, self._partitions)

            if not _load_copies(ends, cache, take, forget, keep_going):
                return None
            starts = {partition: cache.position(partition) for partition in ends}
            reader = ChangelogReader(self._config, self._processor.name, self._outside)
            is_whole = reader.restore(starts, ends, take, keep_going)
        return tasks if is_whole else None

    def _aligned(self, assigned: Sequence[tuple[str, int]]) -> tuple[list[tuple[str, int]], list[int]]:
        partitions = sorted({partition for _, partition in assigned})
        inputs = [(topic, partition) for partition in partitions for topic in self._processor.inputs]
        known = self._partitions[self._changelog]
        if sorted(inputs) != sorted(assigned) or partitions[-1] >= known:
            raise StartupError(
                f"{self._processor.name} was assigned {assigned} with {known} changelog partitions: "
                "partition counts have changed; stop the workers and make all counts equal"
            )
        return inputs, partitions

    def _committed(
        self, consumer: Any, inputs: list[tuple[str, int]], keep_going: Callable[[], bool]
    ) -> dict[tuple[str, int], int] | None:
        """The group's offsets once no transaction holds any of them open."""
        prefix = self._config.kafka.topic_prefix
        asked = [TopicPartition(prefix + topic, partition) for topic, partition in inputs]
        deadline_s = self._outside.monotonic_s() + 3 * self._config.engine.transaction_timeout / 1_000 + _PATIENCE_S
        while keep_going():
            try:
                # read_committed makes the coordinator answer "not stable yet" and librdkafka ask again until then.
                answer = consumer.committed(asked, timeout=_ASK_S)
            except KafkaException as exception:
                failure = reaction(kafka_error(exception), "asking for committed offsets")
                if not isinstance(failure, RetriableError) or self._outside.monotonic_s() > deadline_s:
                    raise failure from exception
                self._wait(0.05)
                continue
            for place in answer:
                if place.error:
                    raise reaction(place.error, f"asking for the committed offset of {place.topic}")
            return {(place.topic.removeprefix(prefix), place.partition): place.offset for place in answer}
        return None

    def _is_ours(
        self,
        consumer: Any,
        inputs: list[tuple[str, int]],
        committed: dict[tuple[str, int], int],
        keep_going: Callable[[], bool],
    ) -> bool:
        """Whether the offsets are still those that the state was read for; false when stopped."""
        now = self._committed(consumer, inputs, keep_going)
        if now not in (None, committed):
            raise RetriableError("another worker used these partitions during the restore")
        return now is not None

    def _positions(
        self, inputs: list[tuple[str, int]], committed: dict[tuple[str, int], int], restored: Mapping[int, int]
    ) -> dict[tuple[str, int], int]:
        """Where to read on: the committed offset, or the log's beginning for an input that was never committed."""
        fresh = [place for place in inputs if committed[place] < 0]
        for _, partition in fresh:
            if restored[partition] and all(committed[topic, partition] < 0 for topic in self._processor.inputs):
                raise StartupError(
                    f"partition {partition} of {self._changelog} holds state but the consumer group has no offsets "
                    "(expired or deleted): reading from the beginning would count twice; set the group's offsets to "
                    f"where it stopped, or delete {self._changelog} and run `driftline topics create` to start anew"
                )
        if not fresh:
            return committed
        prefix = self._config.kafka.topic_prefix
        places = [TopicPartition(prefix + topic, partition) for topic, partition in fresh]
        starts = end_offsets(self._admin, places, OffsetSpec.earliest())  # type: ignore[no-untyped-call]  # untyped there
        return committed | {(topic, p): starts[prefix + topic, p] for topic, p in fresh}


def _load_copies(
    ends: Mapping[int, int],
    cache: StateCache,
    take: Callable[[int, list[Entry], int], object],
    forget: Callable[[int], object],
    keep_going: Callable[[], bool],
) -> bool:
    """Hand out what the local copies hold, of all partitions in turns; false when stopped."""
    loads = {partition: cache.load(partition, end) for partition, end in ends.items()}
    while loads:
        for partition, batches in list(loads.items()):
            try:
                found = next(batches, None)
            except CacheUnusableError as error:
                cache.reject(partition, error)
                forget(partition)
                found = None
            if found is None:
                del loads[partition]
                continue
            take(partition, *found)
            if not keep_going():
                return False
    return True


def _size(entries: Sequence[Entry]) -> int:
    return sum(len(key) + len(value or b"") for key, value in entries)
