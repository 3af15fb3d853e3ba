"""Evidence: which offsets of which partitions hold the rows of a cell."""

from typing import Self

import numpy as np

from pipeline.core.events import NO_SEGMENT, Cells, Int64s, Json


class OffsetRanges:
    """The first and last offset a (topic, partition); merging keeps the hull, so it is idempotent and never shrinks."""

    __slots__ = ("ranges",)

    def __init__(self) -> None:
        self.ranges: dict[tuple[str, int], tuple[int, int]] = {}

    def add(self, topic: str, partition: int, first: int, last: int) -> None:
        """Widen a partition's range.

        Args:
            topic: the topic's name in the contract.
            partition: the partition.
            first: an offset.
            last: an offset, not before ``first``.
        """
        low, high = self.ranges.get((topic, partition), (first, last))
        self.ranges[topic, partition] = min(low, first), max(high, last)

    def merge(self, other: Self) -> None:
        """Widen every range to hold another state's.

        Args:
            other: the other state.
        """
        for (topic, partition), (first, last) in other.ranges.items():
            self.add(topic, partition, first, last)

    def is_zero(self) -> bool:
        """Whether there is no range."""
        return not self.ranges

    def to_wire(self) -> Json:
        """``{topic: {partition: [first, last]}}``, as ``evidence`` stands in retrain triggers."""
        evidence: dict[str, dict[str, list[int]]] = {}
        for (topic, partition), (first, last) in sorted(self.ranges.items()):
            evidence.setdefault(topic, {})[str(partition)] = [first, last]
        return evidence

    @classmethod
    def from_wire(cls, wire: Json) -> Self:
        """Read what ``to_wire`` wrote.

        Args:
            wire: the JSON value.

        Returns:
            The state.
        """
        state = cls()
        for topic, partitions in wire.items():
            for partition, (first, last) in partitions.items():
                state.add(topic, int(partition), first, last)
        return state


def fold_offsets(topic: str, partition: int, offset: Int64s, cells: Cells) -> dict[int, OffsetRanges]:
    """The offsets of a batch's rows by cell; segments are left out, since the rows are those of everything.

    Predictions and labels do not carry the topic they came from, so this fold is called with it rather than through
    the registry.

    Args:
        topic: the topic's name in the contract.
        partition: the partition that the rows were read from.
        offset: int64[n], each row's record offset.
        cells: the rows' pairs.

    Returns:
        A state for each cell of ``NO_SEGMENT`` that has a row.
    """
    first = np.full(len(cells), np.iinfo(np.int64).max)
    last = np.full(len(cells), -1)
    paired = offset[cells.row]
    np.minimum.at(first, cells.cell, paired)
    np.maximum.at(last, cells.cell, paired)
    states: dict[int, OffsetRanges] = {}
    for index, (low, high) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        if high >= 0 and cells.segment[index] == NO_SEGMENT:
            states[index] = OffsetRanges()
            states[index].add(topic, partition, low, high)
    return states
