"""A transaction that Kafka is taking while the work goes on."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.engine.outside import Background


@dataclass(frozen=True, slots=True)
class UnderWay:
    """What must be remembered until it is known to be committed.

    Attributes:
        background: the writing itself.
        at_ms: when the tasks handed it over.
        counts: what to add to the counters.
    """

    background: Background
    at_ms: int
    counts: Mapping[str, int]
