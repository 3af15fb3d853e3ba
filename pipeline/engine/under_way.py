"""A transaction that Kafka is taking while the work goes on."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.engine.inputs import Place
from pipeline.engine.outside import Background


@dataclass(frozen=True, slots=True)
class UnderWay:
    """What must be remembered until it is known to be committed.

    Attributes:
        background: the writing itself.
        at_ms: when the tasks handed it over.
        positions: the next offsets to read once it is committed.
        counts: what to add to the counters.
    """

    background: Background
    at_ms: int
    positions: Mapping[Place, int]
    counts: Mapping[str, int]


def commit_thread(processor: str) -> str:
    """The name of the thread that a processor's transactions are written in.

    Args:
        processor: its name.
    """
    return f"{processor} commits"
