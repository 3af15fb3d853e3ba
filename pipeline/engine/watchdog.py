"""The watchdog: tells a processor that is stuck from one that waits for good reason, and what it was doing."""

import sys
import threading
import traceback
from dataclasses import dataclass

from pipeline.engine.commits import commit_thread
from pipeline.engine.status import RunnerStatus

SILENT_S = 5.0
"""A runner gives a sign of life ten times a second, unless a batch or a transaction takes its time."""

FIRST_COMMIT_S = 600.0
"""Before its first commit a processor has at least this long: the first start on a machine compiles the kernels."""

MAX_STEP_S = 10.0
"""Two looks that are further apart say nothing about the time between: the whole process stood still."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What is to be seen of a processor at one moment.

    Attributes:
        is_working: it has its partitions and its state; neither starting nor restoring nor stopping.
        commits: transactions committed so far.
        lag: records between what is processed and the ends, in all its partitions; None while an end is not known.
        silent_s: since it gave the last sign of life.
    """

    is_working: bool
    commits: int
    lag: int | None
    silent_s: float

    @classmethod
    def of(cls, status: RunnerStatus, silent_s: float) -> "Sight":
        """What a status shows.

        Args:
            status: the processor's latest snapshot.
            silent_s: since it gave the last sign of life.
        """
        is_known = status.positions.keys() <= status.lag.keys() and bool(status.lag)
        lag = sum(status.lag.values()) if is_known else None
        return cls(status.state == "running", status.counters.commits, lag, silent_s)


class Watchdog:
    """Counts how long a processor has got nowhere although it could.

    It could when a broker answers, it has its partitions, and there is something to read: an idle topic, a broker that
    is away and a restore are no reasons to stop.

    Args:
        limit_s: how long it may get nowhere.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._looked_s: float | None = None
        self._commits = 0
        self._lag = 0  # when the count began
        self.stuck_s = 0.0
        """How long it has got nowhere."""

    @property
    def limit_s(self) -> float:
        """How long it may get nowhere; longer before its first commit."""
        return self._limit_s if self._commits else max(self._limit_s, FIRST_COMMIT_S)

    @property
    def is_near(self) -> bool:
        """Whether more than half of the limit is over."""
        return self.stuck_s > self.limit_s / 2

    def look(self, now_s: float, sight: Sight, *, broker_answers: bool) -> bool:
        """Take a look; to be called every second or so.

        Args:
            now_s: a clock for durations.
            sight: what is to be seen.
            broker_answers: whether a broker answered lately.

        Returns:
            Whether the processor is stuck: its lag has grown, or it is silent, and for the whole limit it has
            committed nothing.
        """
        step_s = now_s - self._looked_s if self._looked_s is not None else 0.0
        self._looked_s = now_s
        is_silent = sight.silent_s > SILENT_S
        has_nothing_to_do = sight.lag == 0 and not is_silent
        if sight.commits != self._commits or not broker_answers or has_nothing_to_do:
            self._commits, self._lag, self.stuck_s = sight.commits, sight.lag or 0, 0.0
        elif sight.is_working and step_s <= MAX_STEP_S:
            self.stuck_s += step_s
        return self.stuck_s >= self.limit_s and (is_silent or (sight.lag or 0) > self._lag)


def diagnosis(status: RunnerStatus, watchdog: Watchdog, thread_id: int | None) -> str:
    """What a stuck processor was doing, for a person.

    Args:
        status: its latest snapshot.
        watchdog: what found it stuck.
        thread_id: its thread.

    Returns:
        Several lines.
    """
    ends = {place: at + status.lag[place] for place, at in status.positions.items() if place in status.lag}
    committing = [thread.ident for thread in threading.enumerate() if thread.name == commit_thread(status.processor)]
    rows = {partition: dict(figures) for partition, figures in status.tasks.items()}
    return (
        f"{status.processor} has committed nothing for {watchdog.stuck_s:.0f} s although a broker answers, and its lag"
        f" grows; a restart may help (state and input are safe in Kafka), if not, report this.\n"
        f"  state: {status.state}, partitions {list(status.partitions)}, counters {status.counters}\n"
        f"  last error: {status.last_error}\n"
        f"  positions: {dict(status.positions)}\n"
        f"  ends: {ends}\n"
        f"  paused: {list(status.paused)}\n"
        f"  state by partition: {rows}\n"
        f"  its thread:\n{_stack(thread_id)}"
        + "".join(f"  the thread that commits:\n{_stack(ident)}" for ident in committing)
    ).rstrip()


def _stack(thread_id: int | None) -> str:
    frame = sys._current_frames().get(thread_id or 0)  # noqa: SLF001 - Python's documented way to another thread's stack
    return "".join(traceback.format_stack(frame)) if frame else "  it has ended\n"
