"""How far a consumer group is, asked from outside: the same question to ours and to every peer."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from pipeline.config import Config

_COORDINATOR_SOON = {
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
}
_TIMEOUT_S = 10.0


class GroupProgress:
    """What a group has committed of some topics; the client that asks never joins it.

    Args:
        config: where Kafka is, and how many partitions the topics have.
        group: the group's id.
        topics: full names.
    """

    def __init__(self, config: Config, group: str, topics: Sequence[str]) -> None:
        self._consumer = Consumer({**config.kafka.properties, "group.id": group, "enable.auto.commit": False})
        self._spots = [TopicPartition(topic, number) for topic in topics for number in range(config.kafka.partitions)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def committed(self) -> int:
        """Records behind the group, over all partitions."""
        return sum(max(0, spot.offset) for spot in self._committed())

    def records(self) -> int:
        """Records in the topics now, markers of transactions included."""
        return sum(self._end(spot) for spot in self._spots)

    def is_at_end(self, markers: int) -> bool:
        """Whether nothing is left to read but the markers of the last transactions.

        Args:
            markers: as many may stand at the end of a partition.
        """
        spots = self._committed()
        return bool(spots) and all(max(0, spot.offset) >= self._end(spot) - markers for spot in spots)

    def _end(self, spot: TopicPartition) -> int:
        return self._consumer.get_watermark_offsets(spot, timeout=_TIMEOUT_S)[1]

    def _committed(self) -> list[TopicPartition]:
        """Nothing while a fresh broker still looks for the group's coordinator."""
        try:
            return self._consumer.committed(self._spots, timeout=_TIMEOUT_S)
        except KafkaException as exception:
            if exception.args[0].code() not in _COORDINATOR_SOON:
                raise
            return []
