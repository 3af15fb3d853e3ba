"""What the transactional shell asks of a processor: pure code; the shell owns the clock and the network."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from pipeline.core.events import Flush, RecordBatch


class PartitionTask(Protocol):
    """The state machine of one input partition. Its state is a function of its changelog read to the end."""

    def restore(self, entries: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Apply changelog entries in log order; called any number of times before the first ``process``.

        Tasks of different partitions are restored side by side, each by one thread at a time.

        Args:
            entries: key and value of each record; a None value deletes the key.
        """

    def process(self, batch: RecordBatch, now_ms: int) -> None:
        """Take in records of one topic of this partition, in log order.

        Args:
            batch: the records; ``batch.topic`` says which input.
            now_ms: the wall clock, epoch milliseconds.
        """

    def flush(self, now_ms: int, at_end: frozenset[str]) -> Flush:
        """Hand over everything that must be committed with the offsets read so far.

        Called at every commit, also when nothing was read: time alone can close a window.

        Args:
            now_ms: the wall clock, epoch milliseconds.
            at_end: the input topics of this partition that are read to their end.

        Returns:
            Outputs and state changes since the last flush; both empty when nothing happened.
        """

    def paused(self, at_end: frozenset[str]) -> frozenset[str]:
        """The input topics not to read for now: back-pressure, or one topic far ahead of the other in event time.

        Asked after every batch. A change costs what was fetched ahead of it, so it should come with hysteresis. A
        paused topic leaves ``at_end`` until it is read again.
        """

    def stats(self) -> Mapping[str, float]:
        """Figures for the metrics endpoint: name to value."""


class Processor(Protocol):
    """A kind of work: which topics it reads, and how to make the state machine of a partition.

    Attributes:
        name: ``joiner`` or ``monitor``: names the consumer group, the transactional id and the changelog topic
            ``<name>-changelog``.
        inputs: the co-partitioned input topics.
        tables: compacted topics that every worker reads whole (``references``), before and beside its inputs.
    """

    name: str
    inputs: tuple[str, ...]
    tables: tuple[str, ...]

    def task(self, partition: int, partitions: Mapping[str, int]) -> PartitionTask:
        """Make the empty state machine of a partition.

        Args:
            partition: the partition number, the same in every input.
            partitions: the number of partitions of every Driftline topic.
        """

    def on_table(self, topic: str, key: bytes, value: bytes | None) -> None:
        """Take in one record of a table topic; called from the processor's own thread, between batches."""
