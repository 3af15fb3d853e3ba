"""What a runner tells about itself: an immutable snapshot, safe to read from any thread."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from confluent_kafka import TopicPartition

from pipeline.engine.kafka import log
from pipeline.engine.progress import RestoreProgress

State: TypeAlias = Literal["starting", "restoring", "running", "stopping", "stopped", "failed"]


@dataclass(frozen=True, slots=True)
class Counters:
    """Totals since the runner was made.

    Attributes:
        records: input records processed.
        outputs: records committed to output topics, dead letters included.
        dead_letters: records committed to ``dead-letters``.
        changelog_records: state changes committed.
        restored_records: changelog records read back.
        commits: committed transactions.
        aborts: aborted transactions, each followed by a restore.
        rebalances: assignments received.
        rejoins: times both clients were closed and made anew, after a fencing or a long outage.
    """

    records: int = 0
    outputs: int = 0
    dead_letters: int = 0
    changelog_records: int = 0
    restored_records: int = 0
    commits: int = 0
    aborts: int = 0
    rebalances: int = 0
    rejoins: int = 0


@dataclass(frozen=True, slots=True)
class RunnerStatus:
    """A snapshot of a runner.

    Attributes:
        processor: its processor's name.
        state: what it is doing; ``starting`` also while it waits for the broker or for its first partitions.
        partitions: the assigned partition numbers.
        lag: records behind the end by ``topic-partition``; a partition that was never fetched is absent.
        positions: the next offset to read by ``topic-partition``.
        at_end: the ``topic-partition`` that are read to their end.
        paused: the ``topic-partition`` held back by the processor.
        restore: how far the restore under way has come; None outside one.
        last_commit_ms: the wall clock of the last commit; None before the first.
        last_error: the last error and what was done, or None.
        counters: totals.
        tasks: each partition's figures, see ``PartitionTask.stats``.
    """

    processor: str
    state: State = "starting"
    partitions: tuple[int, ...] = ()
    lag: Mapping[str, int] = field(default_factory=dict)
    positions: Mapping[str, int] = field(default_factory=dict)
    at_end: tuple[str, ...] = ()
    paused: tuple[str, ...] = ()
    restore: RestoreProgress | None = None
    last_commit_ms: int | None = None
    last_error: str | None = None
    counters: Counters = Counters()
    tasks: Mapping[int, Mapping[str, float]] = field(default_factory=dict)


def places(
    consumer: Any, prefix: str, positions: Mapping[tuple[str, int], int], at_end: Mapping[int, frozenset[str]]
) -> dict[str, Any]:
    """Where a runner stands in its inputs, as fields of its status.

    Args:
        consumer: knows the ends from its last fetches.
        prefix: the configured topic prefix.
        positions: the next offset to read by topic and partition.
        at_end: the topics that are read to their end, by partition.

    Returns:
        ``lag``, ``positions`` and ``at_end``.
    """
    lag = {}
    for (topic, partition), at in positions.items():
        end = consumer.get_watermark_offsets(TopicPartition(prefix + topic, partition), cached=True)[1]
        if end >= 0:
            lag[f"{topic}-{partition}"] = 0 if topic in at_end[partition] else max(0, end - at)
    return {
        "lag": lag,
        "positions": {f"{topic}-{partition}": at for (topic, partition), at in positions.items()},
        "at_end": tuple(f"{topic}-{partition}" for partition, topics in at_end.items() for topic in sorted(topics)),
    }


class StatusBoard:
    """Keeps the latest snapshot; written by the runner's thread alone, read by any.

    Args:
        processor: the processor's name.
        on_status: called with each published snapshot.
    """

    def __init__(self, processor: str, on_status: Callable[[RunnerStatus], None] | None) -> None:
        self.now = RunnerStatus(processor)
        self._on_status = on_status

    def update(self, **changes: Any) -> None:
        """Replace fields of the snapshot without telling."""
        self.now = replace(self.now, **changes)

    def publish(self, **changes: Any) -> None:
        """Replace fields and tell the listener."""
        self.update(**changes)
        if self._on_status:
            self._on_status(self.now)

    def enter(self, state: State) -> None:
        """Publish a change of state."""
        self.publish(state=state, restore=None)

    def count(self, **more: int) -> None:
        """Add to counters.

        Args:
            more: what to add, by the counter's name.
        """
        now = self.now.counters
        self.update(counters=replace(now, **{name: getattr(now, name) + n for name, n in more.items()}))

    def note(self, error: BaseException, reaction_taken: str) -> None:
        """Keep and log an error with what is done about it."""
        text = f"{error or type(error).__name__}; {reaction_taken}"
        self.update(last_error=text)
        log.warning("%s: %s", self.now.processor, text)
