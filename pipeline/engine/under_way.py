"""A transaction that Kafka is taking while the work goes on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.engine.outside import Background


@dataclass(frozen=True, slots=True)
class UnderWay:
    """What must be remembered until it is known to be committed.

    Attributes:
        background: the writing itself.
        at_ms: when the tasks handed it over.
        marks: what the local copy of the state writes down once it is committed; see ``StateCache.marks``.
        changed: the state changes of each partition.
        counts: what to add to the counters.
    """

    background: Background
    at_ms: int
    marks: Mapping[int, Any]
    changed: Mapping[int, Sequence[tuple[bytes, bytes | None]]]
    counts: Mapping[str, int]
