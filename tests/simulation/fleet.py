"""The workers of one run: real runners with real processors in simulated processes, started again when they end."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from pipeline.config import Config
from pipeline.core.errors import StartupError
from pipeline.engine.outside import HungError, Outside
from pipeline.engine.shell import ProcessorRunner
from pipeline.processors.joiner import Joiner, make_joiner
from pipeline.processors.joiner_config import joiner_settings
from pipeline.processors.monitor import make_monitor
from pipeline.processors.references import ReferenceBook
from tests.cold_blocks import MemoryBlocks
from tests.simulation.clients import SimAdmin, SimConsumer
from tests.simulation.cluster import Cluster
from tests.simulation.disk import Disk
from tests.simulation.producer import SimProducer
from tests.simulation.shape import Shape
from tests.simulation.world import Process, Sleep, World

T = TypeVar("T")


class InjectedError(RuntimeError):
    """A mistake in the code, put there by the simulation."""


class SimBackground:
    """A thread of a process; see ``pipeline.engine.outside.Background``."""

    def __init__(self, process: Process, doing: str, call: Callable[[], None]) -> None:
        self._process, self._call = process, call
        self._is_transaction = doing.endswith("commits")
        self._done = False
        self._failure: Exception | None = None
        self._sleeping: list[Sleep] = []
        process.transactions += self._is_transaction
        process.spawn(self._run, counts=False)

    def done(self) -> bool:
        return self._done

    def wait(self, limit_s: float | None = None) -> bool:
        if not self._done and limit_s is not None:
            self._process.sleep(limit_s, self._sleeping)
        while not self._done and limit_s is None:
            self._process.sleep(60.0, self._sleeping)
        if self._failure is not None:
            raise self._failure
        return self._done

    def _run(self) -> None:
        try:
            self._call()
        except Exception as error:  # noqa: BLE001 - handed to whoever waits
            self._failure = error
        self._done = True
        self._process.transactions -= self._is_transaction
        for sleep in self._sleeping:
            sleep.wake()


class Fleet:
    """Starts workers, and starts them again."""

    def __init__(self, world: World, cluster: Cluster, shape: Shape, disk: Disk | None) -> None:
        self._world, self._cluster, self._shape, self._disk = world, cluster, shape, disk
        self.wanted: set[str] = set()
        """The workers that are started again when they end."""
        self.processes: dict[str, Process] = {}
        self.runners: dict[str, list[ProcessorRunner]] = {}
        self.failures: list[BaseException] = []
        """What ended a process and should not have."""
        self.counts: Counter[str] = Counter()

    def start(self, name: str) -> None:
        """Start a worker, unless it runs."""
        known = self.processes.get(name)
        if known is not None and known.alive:
            return
        world = self._world
        process = Process(world, name, skew_ms=world.rng.randrange(-200, 200))
        world.say(f"{name} starts")
        self.processes[name] = process
        process.on_silence.append(partial(self._ended, process))
        if self._disk is not None:
            self._disk.between_lives(name)
        config = self._shape.config(name, self._disk.of(name) if self._disk is not None else "")
        processors = (self._joiner(config), make_monitor(config))
        outside = self._outside(process)
        self.runners[name] = [
            ProcessorRunner(one, config, clock=process.clock_ms, outside=outside) for one in processors
        ]
        for runner in self.runners[name]:
            process.spawn(runner.run)

    def _joiner(self, config: Config) -> Joiner:
        memory_bytes = self._shape.memory_bytes
        if memory_bytes is None:
            return make_joiner(config)
        settings = joiner_settings(config)
        limits = replace(settings.limits, memory_bytes=memory_bytes)
        return Joiner(replace(settings, limits=limits), ReferenceBook(None), MemoryBlocks)

    def more(self) -> None:
        """Start one worker more, up to three."""
        if len(self.wanted) < 3:
            name = f"w{len(self.wanted)}"
            self.wanted.add(name)
            self.start(name)

    def stop(self, name: str) -> None:
        """Ask a worker to end in good order."""
        self._world.say(f"{name} is asked to stop")
        for runner in self.runners[name]:
            runner.stop()

    def alive(self) -> list[Process]:
        return [process for _, process in sorted(self.processes.items()) if process.alive]

    def count(self, name: str) -> None:
        """Add up what a worker's runners did."""
        for runner in self.runners[name]:
            counters = runner.status().counters
            self.counts.update(commits=counters.commits, aborts=counters.aborts, rejoins=counters.rejoins)

    def _ended(self, process: Process) -> None:
        if process.alive:
            return  # it only stands still
        error = process.failure
        # Workers that fence each other in turns say so and end; their supervisor starts them again.
        expected = error is None or isinstance(error, InjectedError) or "share the name" in str(error)
        if not expected or (isinstance(error, StartupError) and "share the name" not in str(error)):
            self.failures.append(error or RuntimeError("unknown"))
        self.count(process.name)
        if process.name in self.wanted:
            delay_s = self._world.rng.choice([0.1, 1.0, 1.0, 1.5 * self._shape.session_ms / 1_000])
            self._world.at(delay_s, partial(self._start_again, process.name))

    def _start_again(self, name: str) -> None:
        if name in self.wanted:
            self.start(name)

    def _outside(self, process: Process) -> Outside:
        cluster = self._cluster

        def wait(event: threading.Event, seconds: float) -> bool:
            if not event.is_set():
                process.sleep(seconds)
            return event.is_set()

        def leave(_config: Config, group: str, member_id: str) -> None:
            process.pause()
            if cluster.away or self._world.rng.random() < 0.1:
                raise TimeoutError
            cluster.group(group).leave(member_id)

        return Outside(
            consumer=partial(SimConsumer, cluster, process),
            producer=partial(SimProducer, cluster, process),
            admin=partial(SimAdmin, cluster, process),
            leave_group=leave,
            monotonic_s=lambda: self._world.now_s,
            wait=wait,
            call_within=partial(self._call_within, process),
            in_background=partial(SimBackground, process),
        )

    def _call_within(self, process: Process, limit_s: float, doing: str, call: Callable[[], T]) -> T:
        if not self._cluster.hanging:
            return call()
        results: list[T] = []
        failures: list[Exception] = []
        sleeping: list[Sleep] = []

        def run() -> None:
            try:
                results.append(call())
            except Exception as error:  # noqa: BLE001 - handed to the caller below
                failures.append(error)
            for sleep in sleeping:
                sleep.wake()

        process.spawn(run, counts=False)
        process.sleep(limit_s, sleeping)
        if failures:
            raise failures[0]
        if not results:
            self._world.say(f"{process}: {doing} hangs")
            raise HungError
        return results[0]
