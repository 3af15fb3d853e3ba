"""The transaction that Kafka is taking while the rounds go on: begun, waited for, given up, aborted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from confluent_kafka import TopicPartition

from pipeline.core.errors import FencedError, RetriableError, StartupError
from pipeline.core.events import OutputRecord
from pipeline.engine.inputs import Place
from pipeline.engine.kafka import log
from pipeline.engine.outside import Background, Outside
from pipeline.engine.transaction import Transactions


@dataclass(frozen=True, slots=True)
class Commit:
    """One transaction: what is written, and what must be remembered until it is known to be committed.

    Attributes:
        changes: topic, partition, key and value of each state change.
        outputs: the records for the output topics.
        offsets: the next offset to read of each input partition.
        at_ms: when the tasks handed it over.
        positions: the next offsets to read once it is committed.
        counts: what to add to the counters.
    """

    changes: Sequence[tuple[str, int, bytes, bytes | None]]
    outputs: Sequence[OutputRecord]
    offsets: Sequence[TopicPartition]
    at_ms: int
    positions: Mapping[Place, int]
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _UnderWay:
    commit: Commit
    background: Background
    since_s: float


class Commits:
    """The transactions of one life of a runner's clients, one at a time.

    Args:
        processor: whose they are.
        transactions: writes them.
        outside: a clock for durations, and threads.
        on_committed: called by whoever settles a transaction, once it is known to be committed.
    """

    def __init__(
        self, processor: str, transactions: Transactions, outside: Outside, on_committed: Callable[[Commit], None]
    ) -> None:
        self._processor, self._transactions, self._outside = processor, transactions, outside
        self._on_committed = on_committed
        self._under_way: _UnderWay | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether one has been begun and not been settled."""
        return self._under_way is not None

    @property
    def has_ended(self) -> bool:
        """Whether one has been begun, and settling it would take no time."""
        return self._under_way is not None and self._under_way.background.done()

    @property
    def since_s(self) -> float | None:
        """When the one under way was begun, on the clock for durations; None while there is none."""
        return self._under_way.since_s if self._under_way else None

    @property
    def is_given_up(self) -> bool:
        """Whether new clients must take over."""
        return self._transactions.is_given_up

    def begin(self, commit: Commit, group: Any) -> None:
        """Have a transaction written beside the caller's work; none may be under way.

        Args:
            commit: what to write.
            group: the consumer's group metadata.
        """
        write = partial(self._transactions.commit, commit.changes, commit.outputs, commit.offsets, group)
        background = self._outside.in_background(commit_thread(self._processor), write)
        self._under_way = _UnderWay(commit, background, self._outside.monotonic_s())

    def settle(self, until_s: float | None = None) -> bool:
        """Wait for the transaction that is under way, if there is one.

        Args:
            until_s: how long to wait at most, on the clock for durations; None waits for its end.

        Returns:
            False when time was up before it ended.

        Raises:
            RetriableError: nothing was committed.
            FencedError: another worker took over.
            StartupError: the broker refuses for a reason that only a person can mend.
        """
        ended = self._under_way
        if not ended:
            return True
        limit_s = None if until_s is None else max(0.0, until_s - self._outside.monotonic_s())
        try:
            if not ended.background.wait(limit_s):
                return False
        except BaseException:
            self._under_way = None
            raise
        self._under_way = None
        self._on_committed(ended.commit)
        return True

    def abort(self, until_s: float | None = None) -> None:
        """Settle what is under way, whatever becomes of it, and abort what is open.

        Args:
            until_s: as for ``settle``; what has not ended by then is given up.

        Raises:
            RetriableError: the broker did not answer, or was given up: new clients must take over.
            FencedError: another worker took over.
            StartupError: the broker refuses.
        """
        try:
            if not self.settle(until_s):
                self._under_way = None
                self._transactions.give_up()
        except (RetriableError, FencedError, StartupError) as error:
            log.info("%s: %s", self._processor, error)  # the state is dropped and read again anyway
        self._transactions.abort()

    def abort_quietly(self, until_s: float) -> None:
        """Abort where nothing more can be done about a failure: the transaction's timeout or a successor ends it.

        Args:
            until_s: as for ``abort``.
        """
        try:
            self.abort(until_s)
        except (RetriableError, FencedError, StartupError) as error:
            log.info("%s: %s", self._processor, error)


def commit_thread(processor: str) -> str:
    """The name of the thread that a processor's transactions are written in.

    Args:
        processor: its name.
    """
    return f"{processor} commits"
