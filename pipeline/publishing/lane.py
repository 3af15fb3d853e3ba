"""The records of one stream that a publisher holds, from oldest to newest: on their way, on disk, in memory."""

from collections import deque
from dataclasses import dataclass, field

from pipeline.publishing.columns import Stream
from pipeline.publishing.encoder import Record


@dataclass(slots=True)
class Lane:
    """Where the records of one stream are; none overtakes an older one.

    Attributes:
        stream: theirs.
        pending: in memory; the buffer still holds room for their rows.
        pending_bytes: of their values.
        unsent: how many are on disk and not on their way.
        flying: the ids of those that are on disk and on their way.
        flying_bytes: of the values of all that are on their way.
        cursor: every unsent one has an id beyond this.
        hold_s: nothing is sent before this time.
    """

    stream: Stream
    pending: deque[Record] = field(default_factory=deque)
    pending_bytes: int = 0
    unsent: int = 0
    flying: set[int] = field(default_factory=set)
    flying_bytes: int = 0
    cursor: int = -1
    hold_s: float = 0.0
