"""Watches a worker's processors and the broker: what stands in ``/health``, and when it is time to give up."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from mode import Service

from pipeline.config import Config
from pipeline.core.errors import StuckError
from pipeline.engine.kafka import admin_properties
from pipeline.engine.status import RunnerStatus
from pipeline.engine.watchdog import Sight, Watchdog, diagnosis
from pipeline.logs import SERVICE_LOGGER
from pipeline.reactions.threads import in_thread
from pipeline.worker_host import Failure

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
ASK_EVERY_S = 5.0
_ASK_TIMEOUT_S = 2.0


class Watched(Protocol):
    """A processor's runner, as the watch sees it."""

    def status(self) -> RunnerStatus:
        """The latest snapshot."""

    def silent_s(self) -> float:
        """How long ago its thread gave a sign of life."""


class Host(Protocol):
    """What runs the processors."""

    def runners(self) -> Mapping[str, Watched]:
        """The runners by name, as far as they are made."""

    def thread_id(self, name: str) -> int | None:
        """The thread that a processor runs in."""


class BrokerWatch:
    """Whether the broker answers, and since when it does not.

    Args:
        ask: asks it something; false when there is no answer.
        monotonic_s: a clock for durations.
    """

    def __init__(self, ask: Callable[[], bool], monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._ask, self._monotonic_s = ask, monotonic_s
        self._answered_s = monotonic_s()
        self._next_s = 0.0
        self.answers = True
        """Whether it answered when it was asked last."""

    def ask(self) -> None:
        """Ask if it is time: now and then, and at every turn while there is no answer; blocks for some seconds."""
        if self.answers and self._monotonic_s() < self._next_s:
            return
        self.answers = self._ask()
        now_s = self._monotonic_s()
        self._next_s = now_s + ASK_EVERY_S
        if self.answers:
            self._answered_s = now_s

    @property
    def away_s(self) -> float:
        """How long it has not answered; 0 when it has."""
        return 0.0 if self.answers else self._monotonic_s() - self._answered_s


class Watch(Service):
    """Looks after the processors every second.

    Args:
        config: the configuration.
        host: runs the processors.
        failure: told of a processor that is stuck.
    """

    logger = SERVICE_LOGGER

    def __init__(self, config: Config, host: Host, failure: Failure) -> None:
        self._config, self._host, self._failure = config, host, failure
        self._watchdogs: dict[str, Watchdog] = {}
        self._broker = BrokerWatch(_ask_of(config))
        super().__init__()

    async def on_start(self) -> None:
        """Begin to watch."""
        self.add_future(self._watch())

    def complaints(self) -> Sequence[str]:
        """What is not as it should be, for ``/health``."""
        found = []
        if not self._broker.answers:
            where = self._config.kafka.bootstrap_servers
            found.append(f"no Kafka broker at {where} has answered for {self._broker.away_s:.0f} s; waiting for it")
        found += [
            f"{name} has committed nothing for {dog.stuck_s:.0f} s although there is something to read; the worker ends"
            f" at {dog.limit_s:.0f} s (engine.watchdog)"
            for name, dog in self._watchdogs.items()
            if dog.is_near
        ]
        return found

    async def _watch(self) -> None:
        while not self.should_stop:
            await in_thread(self._broker.ask)
            for name, runner in self._host.runners().items():
                self._look(name, runner)
            await self.sleep(LOOK_EVERY_S)

    def _look(self, name: str, runner: Watched) -> None:
        engine = self._config.engine
        # A commit must be possible within the limit.
        limit_s = max(engine.watchdog, 2 * engine.commit_interval_ms) / 1_000
        dog = self._watchdogs.setdefault(name, Watchdog(limit_s))
        status = runner.status()
        sight = Sight.of(status, runner.silent_s())
        if dog.look(time.monotonic(), sight, broker_answers=self._broker.answers):
            self._failure.stop_worker(StuckError(diagnosis(status, dog, self._host.thread_id(name))))


def _ask_of(config: Config) -> Callable[[], bool]:
    """Asks for a topic that every processor's work begins with: one that has no leader counts as no answer."""
    topic = config.kafka.topic("predictions")
    client: list[AdminClient] = []

    def ask() -> bool:
        if not client:
            client.append(AdminClient(admin_properties(config)))
        try:
            found = client[0].list_topics(topic, timeout=_ASK_TIMEOUT_S).topics[topic]
        except KafkaException:
            return False
        return all(partition.leader >= 0 for partition in found.partitions.values())

    return ask
