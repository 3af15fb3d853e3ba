"""Which values of a segment are worth a name of their own, where there are more than are kept.

Names are given in the order in which values appear, until all are given. From then on rows are counted by value, one
epoch of event time after the other. When an epoch ends, a heavy hitter among the values without a name takes the name
of the rarest that has one. A heavy hitter has at least half of an even share, 1 / (2 limit), of the segment's rows in
the epoch: there are never many of them, so values that come once, such as ids, displace nothing.

Exactness comes first. Within an epoch nothing changes hands, and epochs begin where the newest event time so far
passes their start: that is decided by the partition's log alone, so every replay chooses alike. A row is counted in
one cell for good, with all its labels and corrections. A window that an epoch begins in may hold rows of the same
value under its name and under ``(other)``, each counted once. Counts kept by Space-Saving or Misra-Gries would give
estimates instead: they hand a counter on to another value together with what was counted.
"""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Self

from pipeline.core.events import Json

_WATCHED = 1_000
"""So many values without a name are counted in an epoch, the first ones, or twice as many as have names where that is
less. A heavy hitter is soon among them."""


@dataclass(slots=True)
class Rivals:
    """The rows of one segment of a model in one epoch.

    Attributes:
        counting: whether all names were given when the epoch began.
        rows: all its rows.
        counts: rows by value.
    """

    counting: bool = False
    rows: int = 0
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, value: str, rows: int, kept: AbstractSet[str], limit: int) -> None:
        """Count rows of a value.

        Args:
            value: the value.
            rows: how many.
            kept: the values with names.
            limit: how many names there are.
        """
        self.rows += rows
        if value in self.counts or value in kept or len(self.counts) < limit + min(2 * limit, _WATCHED):
            self.counts[value] = self.counts.get(value, 0) + rows

    def choose(self, kept: AbstractSet[str], limit: int) -> set[str]:
        """Give names to heavy hitters, and begin to count anew.

        Args:
            kept: the values with names.
            limit: how many names there are.

        Returns:
            The values with names from now on.
        """
        rivals = [one for one, rows in self.counts.items() if one not in kept and rows * 2 * limit >= self.rows]
        rivals.sort(key=lambda one: (-self.counts[one], one))
        rarest = sorted(kept, key=lambda one: (self.counts.get(one, 0), one))
        chosen = set(kept)
        for rival, loser in zip(rivals, rarest, strict=False):
            if self.counts[rival] <= self.counts.get(loser, 0):
                break
            chosen.remove(loser)
            chosen.add(rival)
        self.rows, self.counts = 0, {}
        self.counting = len(chosen) >= limit
        return chosen

    def members(self, kept: AbstractSet[str]) -> Iterator[tuple[str, Json]]:
        """The state as members of JSON objects.

        Args:
            kept: the values with names.
        """
        yield "", [self.counting, self.rows]
        for value in sorted(kept | self.counts.keys()):
            yield f"={value}", [value in kept, self.counts.get(value)]

    @classmethod
    def from_members(cls, members: Iterable[tuple[str, Json]]) -> tuple[Self, set[str]]:
        """Read what ``members`` gave.

        Args:
            members: in any order.

        Returns:
            The state, and the values with names.
        """
        rivals, kept = cls(), set()
        for name, (first, rows) in members:
            if not name:
                rivals.counting, rivals.rows = first, rows
                continue
            if first:
                kept.add(name[1:])
            if rows is not None:
                rivals.counts[name[1:]] = rows
        return rivals, kept
