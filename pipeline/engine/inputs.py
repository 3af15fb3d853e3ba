"""Where a runner stands in its input partitions: what to read next, what is read to its end, what is paused."""

from collections.abc import Mapping
from typing import Any

from confluent_kafka import TopicPartition

from pipeline.core.events import RecordBatch
from pipeline.processors.processor import PartitionTask

Place = tuple[str, int]
"""A topic (its name in the contract) and a partition."""


class Inputs:
    """The inputs of one assignment.

    Args:
        consumer: reads them.
        prefix: the configured topic prefix.
        positions: the next offset to read.
    """

    def __init__(self, consumer: Any, prefix: str, positions: Mapping[Place, int]) -> None:
        self._consumer, self._prefix = consumer, prefix
        self.positions = dict(positions)
        self.committed = dict(positions)
        """The positions of the last transaction that is known to have ended well."""
        self.at_end: dict[int, frozenset[str]] = {partition: frozenset() for _, partition in positions}
        self.paused: set[Place] = set()

    def begin(self) -> None:
        """Have the consumer read them from these positions."""
        self._consumer.assign(self.offsets())
        # What was paused in an earlier life of the same partition has stayed so in librdkafka.
        self._consumer.resume(self.offsets())

    def offsets(self) -> list[TopicPartition]:
        """The positions, as a commit takes them."""
        return [TopicPartition(self._prefix + topic, p, at) for (topic, p), at in self.positions.items()]

    def committed_ends(self) -> dict[int, frozenset[str]]:
        """The topics of each partition that are read, and committed, to their end."""
        return {
            p: frozenset(topic for topic in topics if self.committed.get((topic, p)) == self.positions[topic, p])
            for p, topics in self.at_end.items()
        }

    def take(self, batch: RecordBatch) -> None:
        """Go on behind records that were processed."""
        self.positions[batch.topic, batch.partition] = batch.offsets[-1] + 1
        self.at_end[batch.partition] -= {batch.topic}

    def end(self, place: Place, offset: int) -> None:
        """Note that librdkafka has met the end of a partition.

        Args:
            place: which.
            offset: the end; it lies behind the last record by the transaction markers in between.
        """
        if offset >= self.positions.get(place, offset + 1):
            self.positions[place] = offset
            self.at_end[place[1]] |= {place[0]}

    def doubt_ends(self) -> None:
        """Forget which topics are read to their end, and have librdkafka say so again: it does after a resume."""
        places = [TopicPartition(self._prefix + topic, p) for p, topics in self.at_end.items() for topic in topics]
        self.at_end = dict.fromkeys(self.at_end, frozenset())
        self._consumer.pause(places)
        self._consumer.resume(places)

    def apply_back_pressure(self, tasks: Mapping[int, PartitionTask], *, everything: bool) -> None:
        """Pause and resume as the tasks ask. librdkafka drops what it had fetched ahead, so this should be rare.

        Args:
            tasks: by partition.
            everything: whether nothing more may be read for now.
        """
        asked = {(topic, p) for p, task in tasks.items() for topic in task.paused(self.at_end[p])}
        wanted = set(self.positions) if everything else asked
        if wanted == self.paused:
            return
        pause, resume = wanted - self.paused, self.paused - wanted
        for topic, partition in pause:
            self.at_end[partition] -= {topic}  # unknown while nothing is fetched; said again after the resume
        self._consumer.pause([TopicPartition(self._prefix + topic, partition) for topic, partition in pause])
        self._consumer.resume([TopicPartition(self._prefix + topic, partition) for topic, partition in resume])
        self.paused = wanted
