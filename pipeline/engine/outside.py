"""What the shell takes from the world outside: Kafka's clients, waiting, and the time that passes.

Everything that blocks or depends on anything but the shell's own state goes through here, so that a simulation can put
a world of its own in the place of the real one (``tests/simulation``).
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from pipeline.config import Config
from pipeline.engine.kafka import group_id, log
from pipeline.engine.leave import LEAVE_ERRORS, leave_group

_T = TypeVar("_T")


class HungError(Exception):
    """A call has not returned within its limit."""


def call_within(limit_s: float, doing: str, call: Callable[[], _T]) -> _T:
    """Call a function in a thread of its own, which can be left behind.

    Args:
        limit_s: how long to wait for it.
        doing: names the thread.
        call: the function; what it does after the limit is nobody's concern any more.

    Returns:
        What it returns.

    Raises:
        HungError: it has not returned.
        Exception: what it raises.
    """
    done: list[_T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(call())
        except BaseException as exception:  # noqa: BLE001 - handed to the caller below
            failed.append(exception)

    thread = threading.Thread(target=run, name=doing, daemon=True)
    thread.start()
    thread.join(limit_s)
    if failed:
        raise failed[0]
    if not done:
        raise HungError(doing)
    return done[0]


class Background(Protocol):
    """Something that is being done beside the caller's work."""

    def done(self) -> bool:
        """Whether it has ended, well or not."""

    def wait(self, limit_s: float | None = None) -> bool:
        """Wait for its end, at most so long; tells whether it has ended, and raises what it raised."""


class _BackgroundThread:
    def __init__(self, doing: str, call: Callable[[], None]) -> None:
        self._call = call
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=doing, daemon=True)
        self._thread.start()

    def done(self) -> bool:
        return not self._thread.is_alive()

    def wait(self, limit_s: float | None = None) -> bool:
        self._thread.join(limit_s)
        if self._failure is not None:
            raise self._failure
        return self.done()

    def _run(self) -> None:
        try:
            self._call()
        except BaseException as exception:  # noqa: BLE001 - handed to whoever waits
            self._failure = exception


def now_ms() -> int:
    """The wall clock, epoch milliseconds."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Outside:
    """The real world, unless a field is replaced.

    Attributes:
        consumer: makes a consumer from librdkafka properties.
        producer: makes a producer, likewise.
        admin: makes an admin client, likewise.
        leave_group: takes a member out of its group; see ``leave``.
        monotonic_s: a clock for measuring how long things take.
        wait: sleeps until an event is set, at most for some seconds; tells whether it is set.
        call_within: calls a function that may hang.
        in_background: starts a function, named for people, beside the caller.
    """

    consumer: Callable[[dict[str, Any]], Any] = Consumer
    producer: Callable[[dict[str, Any]], Any] = Producer
    admin: Callable[[dict[str, Any]], Any] = AdminClient
    leave_group: Callable[[Config, str, str], None] = leave_group
    monotonic_s: Callable[[], float] = time.monotonic
    wait: Callable[[threading.Event, float], bool] = threading.Event.wait
    call_within: Callable[[float, str, Callable[[], Any]], Any] = call_within
    in_background: Callable[[str, Callable[[], None]], Background] = _BackgroundThread


REAL = Outside()


def leave_quietly(outside: Outside, config: Config, processor: str, member_id: str | None) -> None:
    """Hand the partitions over at once; where that fails, the others get them after the session timeout.

    Args:
        outside: how to leave.
        config: the configuration.
        processor: whose group.
        member_id: the member; None when it never joined.
    """
    try:
        if member_id:
            outside.leave_group(config, group_id(config, processor), member_id)
    except LEAVE_ERRORS as error:
        log.warning("%s: could not leave the group, its session ends by time: %s", processor, error)
