"""One seed, one run: workers over a simulated Kafka, a workload, faults; at the end the auditor looks at the log."""

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import gettempdir
from unittest import mock

from pipeline.core.metrics import drift
from pipeline.engine import failpoints
from tests.audit.auditor import Audit
from tests.audit.truth import compute_truth
from tests.simulation.cluster import Cluster
from tests.simulation.disk import Disk, simulated_disk
from tests.simulation.faults import Faults
from tests.simulation.fleet import Fleet
from tests.simulation.shape import DRIFT_ROWS, PREFIX, Shape, draw_shape
from tests.simulation.workload import Workload
from tests.simulation.world import World, current_process

PATIENCE_S = 150.0
"""How long after the last fault everything must be out, in the simulation's time."""


@dataclass
class Result:
    """What one run showed."""

    seed: int
    differences: list[str]
    windows: int = 0
    virtual_s: float = 0.0
    passes: Counter[str] = field(default_factory=Counter)
    taken: Counter[tuple[str, str]] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)


class Simulation:
    """A run, put together and not started.

    Args:
        seed: decides everything.
        trace: told what happens; None for silence.
        shape: another shape than the seed's.
    """

    def __init__(self, seed: int, trace: Callable[[str], None] | None = None, shape: Shape | None = None) -> None:
        self.shape = shape or draw_shape(seed)
        self.world = World(seed, trace)
        inputs = {
            f"{PREFIX}driftline-joiner": ("predictions", "labels", "resources"),
            f"{PREFIX}driftline-monitor": ("partials", "models"),
        }
        self.cluster = Cluster(self.world, PREFIX, self.shape.counts(), inputs)
        self.disk = Disk(Path(gettempdir()) / f"simulated-disk-{os.getpid()}", seed) if self.shape.copies else None
        self.fleet = Fleet(self.world, self.cluster, self.shape, self.disk)
        self.faults = Faults(self.world, self.cluster, self.fleet, self.shape)
        self.workload = Workload(self.world, self.cluster, self.shape)
        self._traced = trace is not None
        self._windows = 0

    def run(self) -> Result:
        """Run to the end and audit."""
        try:
            with self._patched():
                differences = self._run()
                for process in self.fleet.alive():
                    self.fleet.count(process.name)
                    process.end()
        finally:
            if self.disk is not None:
                self.disk.remove()
        result = Result(self.shape.seed, differences, virtual_s=self.world.now_s)
        result.passes, result.taken = self.faults.passes, self.faults.taken
        if self.disk is not None:
            result.taken.update({("local copy", fault): count for fault, count in self.disk.taken.items()})
        result.counts = self.fleet.counts
        result.windows = self._windows
        return result

    def _run(self) -> list[str]:
        world, fleet, shape = self.world, self.fleet, self.shape
        self.workload.start()
        fleet.wanted = {f"w{number}" for number in range(shape.workers)}
        for name in sorted(fleet.wanted):
            world.at(world.rng.random() * 2, partial(fleet.start, name))
        faulty_s = shape.live_s * 1.3
        self.faults.start(faulty_s)

        def failed() -> bool:
            return bool(fleet.failures)

        def written() -> bool:
            return failed() or world.now_s > max(faulty_s, self.workload.last_s)

        world.run(written, PATIENCE_S)
        # The log of the inputs is complete now, so it is known what must come out.
        truth = compute_truth(self.cluster.log(), shape.rules())
        out = self._every(1.0, partial(self._is_out, len(truth.windows), len(truth.hosts)))
        ended = world.run(lambda: failed() or out(), world.now_s + PATIENCE_S)
        # Time to do something twice, and to forget what no window needs any more; partitions may still be moving.
        world.run(failed, world.now_s + 3.0 + max(one.size_ms for one in shape.rules().windows) / 1_000)
        forgotten = self._every(1.0, lambda: not any(self._left_behind()))
        world.run(lambda: failed() or forgotten(), world.now_s + PATIENCE_S)
        if failed():
            return [f"a worker ended with {error!r}" for error in fleet.failures]
        differences = [] if ended else [f"not everything was out after {PATIENCE_S:.0f} s"]
        audit = Audit(self.cluster.log(), shape.rules(), DRIFT_ROWS)
        differences += audit.differences()
        self._windows = audit.windows_compared
        return differences or list(self._left_behind())

    def _every(self, seconds: float, call: Callable[[], bool]) -> Callable[[], bool]:
        """Ask something that is not cheap only now and then."""
        next_s = self.world.now_s

        def ask() -> bool:
            nonlocal next_s
            if self.world.now_s < next_s:
                return False
            next_s = self.world.now_s + seconds
            return call()

        return ask

    def _is_out(self, windows: int, hosts: int) -> bool:
        log = self.cluster.log()
        published = [
            one.value or b"" for place, records in log.items() if place[0] == "window-metrics" for one in records
        ]
        finals = sum(b'"final":true' in value for value in published)
        host_windows = sum(len(records) for place, records in log.items() if place[0] == "host-metrics")
        return finals >= windows and host_windows >= hosts and self.cluster.transactions.settled()

    def _left_behind(self) -> Iterator[str]:
        """State that no window needs any more must be gone from the changelogs once they are compacted."""
        for (topic, number), records in self.cluster.log().items():
            if not topic.endswith("-changelog"):
                continue
            newest = {record.key or b"": record.value for record in records}
            for key, value in newest.items():
                kind = key.replace(b'["', b"").split(b'"')[0].split(b"/")[0].decode()
                if value is not None and kind in ("pane", "window", "host", "rows", "part"):
                    yield f"{topic}-{number} still holds {key!r}"

    @contextmanager
    def _patched(self) -> Iterator[None]:
        logger = logging.getLogger("driftline.engine")
        handler, level = _Traced(self.world), logger.level
        # The environment has a say in every configuration; a seed must mean the same whatever stands there.
        others = {name: value for name, value in os.environ.items() if not name.startswith("DRIFTLINE_")}
        failpoints.arm(self.faults.reach)
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG if self._traced else logging.CRITICAL + 1)
        logger.propagate, propagate = False, logger.propagate
        try:
            with (
                mock.patch.dict(os.environ, others, clear=True),
                mock.patch.object(drift, "MIN_ROWS", DRIFT_ROWS),
                simulated_disk(),
            ):
                yield
        finally:
            failpoints.arm(None)
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate


class _Traced(logging.Handler):
    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        self._world.say(f"{current_process()}: {record.getMessage()}")


def simulate(seed: int, trace: Callable[[str], None] | None = None) -> Result:
    """Run one seed."""
    return Simulation(seed, trace).run()
