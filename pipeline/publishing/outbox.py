"""Where encoded records go: to Kafka, or to disk until Kafka is there."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from pipeline.publishing.delivery import Delivery
from pipeline.publishing.encoder import Record

QUEUE_FULL_POLL_S = 0.1


class Mark(NamedTuple):
    """A moment in the stream of records.

    Attributes:
        number: of the last record that was sent by then.
        spool_id: of the next record that would have been spooled.
    """

    number: int
    spool_id: int


class SpoolCounts(NamedTuple):
    """What the disk has done.

    Attributes:
        spooled_rows: on disk, not on their way.
        replayed_rows: sent from the disk, and answered.
        adopted_rows: found in the spools of the dead.
        lost_rows: in a spool that could not be read any more.
        spool_bytes: what the spool takes on disk.
    """

    spooled_rows: int = 0
    replayed_rows: int = 0
    adopted_rows: int = 0
    lost_rows: int = 0
    spool_bytes: int = 0


class Outbox(Protocol):
    """What takes records from the sender; used by its thread alone, but any may ask for its counts."""

    @property
    def counts(self) -> SpoolCounts:
        """What the disk has done."""

    @property
    def trouble(self) -> str | None:
        """What is wrong with the disk, for a person; None while it is well."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits here, in memory or on disk."""

    def send(self, record: Record, give_up: Callable[[], bool]) -> bool:
        """Take a record over, in the order of each partition; waits while there is room nowhere.

        Args:
            record: what to send.
            give_up: asked again and again while waiting.

        Returns:
            False when it gave up.
        """

    def tend(self) -> None:
        """Do what is due; to be called often."""

    def mark(self) -> Mark | None:
        """What has been taken over so far; None while some of it waits in memory."""

    def is_settled(self, mark: Mark) -> bool:
        """Whether everything before the mark has been answered by Kafka.

        Args:
            mark: of this outbox.
        """

    def close(self) -> None:
        """Keep what can be kept, and end the connection."""

    def abandon(self) -> None:
        """Let go of everything in a forked child: it is the parent's."""


class DirectOutbox:
    """Straight to Kafka's client, whose queue is all there is.

    Args:
        delivery: Kafka's client.
        release: told how many rows were taken over.
    """

    trouble: str | None = None
    is_empty = True

    def __init__(self, delivery: Delivery, release: Callable[[int], None]) -> None:
        self._delivery = delivery
        self._release = release

    @property
    def counts(self) -> SpoolCounts:
        """All 0: there is no disk."""
        return SpoolCounts()

    def send(self, record: Record, give_up: Callable[[], bool]) -> bool:
        """Hand a record over; waits while the client's queue is full."""
        while not self._delivery.offer(record):
            if give_up():
                return False
            self._delivery.poll(QUEUE_FULL_POLL_S)
        self._release(record.rows)
        return True

    def tend(self) -> None:
        """Nothing is ever due."""

    def mark(self) -> Mark:
        """What has been handed over so far."""
        return Mark(self._delivery.last_number, 0)

    def is_settled(self, mark: Mark) -> bool:
        """Whether everything before the mark has been answered by Kafka."""
        first = self._delivery.first_unanswered()
        return first is None or first > mark.number

    def close(self) -> None:
        """End the connection; what is unanswered has failed."""
        self._delivery.close()

    def abandon(self) -> None:
        """Let go of the connection in a forked child."""
        self._delivery.abandon()
