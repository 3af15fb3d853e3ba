"""The host agent: reads this host at a fixed pace and publishes ``resource.v1`` events."""

import logging
import math
import queue
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import islice
from types import FrameType
from typing import Protocol

import psutil
import pynvml

from pipeline.config import Config, HostAgentConfig
from pipeline.core.codec.limits import MAX_METRICS
from pipeline.host_readers.cpu import CpuReader
from pipeline.host_readers.disk import DiskReader
from pipeline.host_readers.gpu import GpuReader
from pipeline.host_readers.memory import MemoryReader
from pipeline.host_readers.network import NetworkReader
from pipeline.host_readers.processes import ProcessReader
from pipeline.host_readers.reader import Notices, Reader
from pipeline.logs import setup_logging
from pipeline.publisher import Publisher

logger = logging.getLogger(__name__)


class Publish(Protocol):
    """Where readings go; ``Publisher.log_resource`` is one."""

    def __call__(
        self,
        *,
        host: str,
        timestamp_ms: int,
        metrics: Mapping[str, float],
        model: str | None,
        model_version: str | None,
    ) -> object:
        """Take one event."""
        ...


class Clock(Protocol):
    """The agent's time."""

    def wall_ms(self) -> int:
        """The time of day for events, in epoch milliseconds UTC."""
        ...

    def steady_ms(self) -> float:
        """A time that never jumps, for rates and the schedule."""
        ...

    def wait_until(self, steady_ms: float) -> bool:
        """Wait for a steady time; True, at once, when the agent is to stop."""
        ...


class SystemClock:
    """The machine's clocks, and a wait that ``stop`` ends."""

    def __init__(self) -> None:
        # A SimpleQueue may be put to from a signal handler while the same thread waits in get; an Event may not.
        self._stops: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._stopped = False

    def wall_ms(self) -> int:
        """The time of day, in epoch milliseconds UTC."""
        return time.time_ns() // 1_000_000

    def steady_ms(self) -> float:
        """The monotonic clock, in milliseconds."""
        return time.monotonic_ns() / 1_000_000

    def wait_until(self, steady_ms: float) -> bool:
        """Wait until a steady time or until ``stop``; see ``Clock.wait_until``."""
        while not self._stopped and (left_ms := steady_ms - self.steady_ms()) > 0:
            try:
                self._stops.get(timeout=left_ms / 1_000)
            except queue.Empty:
                continue
        return self._stopped

    def stop(self) -> None:
        """End the present and every further wait; safe in a signal handler and from other threads."""
        self._stopped = True
        self._stops.put(None)


class HostAgent:
    """Reads all readers every interval and publishes one event each time."""

    def __init__(
        self,
        config: HostAgentConfig,
        readers: Mapping[str, Reader],
        publish: Publish,
        clock: Clock,
        notices: Notices | None = None,
    ) -> None:
        """Build the agent.

        Args:
            config: the host's name (None asks the system), the interval, the model that the readings belong to.
            readers: the readers by what they read, e.g. ``cpu``.
            publish: where events go.
            clock: the time, and when to stop.
            notices: where faults are said.
        """
        self.host = config.host or socket.gethostname()
        self._config = config
        self._readers = dict(readers)
        self._publish = publish
        self._clock = clock
        self._notices = notices or Notices()

    def collect(self, now_ms: float) -> dict[str, float]:
        """Read everything once.

        Args:
            now_ms: a clock that never jumps, in milliseconds.

        Returns:
            Metric names to finite numbers, in base units; what cannot be read is absent. Of more than an event may
            carry, the first remain.
        """
        metrics: dict[str, float] = {}
        for name, reader in self._readers.items():
            values = self._notices.attempt(f"{name} metrics", partial(reader.read, now_ms))
            # Some sensors answer with NaN, which an event cannot carry.
            metrics |= {metric: value for metric, value in (values or {}).items() if math.isfinite(value)}
        if len(metrics) > MAX_METRICS:
            self._notices.say("further metrics", f"of {len(metrics)} an event carries the first {MAX_METRICS}")
        return dict(islice(metrics.items(), MAX_METRICS))

    def publish_once(self) -> None:
        """Read everything and publish it as one event; nothing readable publishes nothing."""
        timestamp_ms = self._clock.wall_ms()
        metrics = self.collect(self._clock.steady_ms())
        if metrics:
            self._publish(
                host=self.host,
                timestamp_ms=timestamp_ms,
                metrics=metrics,
                model=self._config.model,
                model_version=self._config.model_version,
            )

    def run(self) -> None:
        """Publish every interval until the clock says stop.

        The schedule does not drift: the times are whole intervals from the start, and missed ones are skipped.
        """
        interval_ms = self._config.interval
        due_ms = self._clock.steady_ms()
        while not self._clock.wait_until(due_ms):
            self.publish_once()
            late_ms = max(0.0, self._clock.steady_ms() - due_ms)
            due_ms += (int(late_ms // interval_ms) + 1) * interval_ms

    def close(self) -> None:
        """Close the readers."""
        for name, reader in self._readers.items():
            try:
                reader.close()
            except Exception:  # the process ends; the other readers must still be closed
                logger.exception("closing the %s reader", name)


def system_readers(config: HostAgentConfig, notices: Notices) -> dict[str, Reader]:
    """The readers of this machine.

    Args:
        config: which processes to watch.
        notices: where faults are said.

    Returns:
        Readers by what they read, in the order to read them.
    """
    processes = ProcessReader(psutil, config.pids, config.process_names, notices)
    return {
        "cpu": CpuReader(psutil, notices),
        "memory": MemoryReader(psutil, notices),
        "disk": DiskReader(psutil, notices),
        "network": NetworkReader(psutil, notices),
        # Before the GPUs: they count memory under the names that the watched processes have.
        "process": processes,
        "gpu": GpuReader(pynvml, processes.name_of, notices),
    }


def run_host_agent(config: Config) -> int:
    """Run the agent until SIGTERM or SIGINT; what it has read is sent before it returns.

    Args:
        config: the configuration; ``[host_agent]`` and ``[kafka]`` are used.

    Returns:
        The exit status, 0.
    """
    setup_logging("info")
    notices = Notices()
    clock = SystemClock()
    with _stopped_by_signals(clock), Publisher(config=config) as publisher:
        agent = HostAgent(
            config.host_agent, system_readers(config.host_agent, notices), publisher.log_resource, clock, notices
        )
        logger.info("host agent reads %s every %.3g s", agent.host, config.host_agent.interval / 1_000)
        try:
            agent.run()
        finally:
            agent.close()
    logger.info("host agent stopped")
    return 0


@contextmanager
def _stopped_by_signals(clock: SystemClock) -> Iterator[None]:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        clock.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
