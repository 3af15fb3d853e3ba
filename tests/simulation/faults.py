"""What goes wrong in one run, and when: at failpoints, and at any moment."""

import random
from collections import Counter
from collections.abc import Callable
from functools import partial

from pipeline.core.errors import FencedError, RetriableError
from pipeline.engine.failpoints import POINTS
from tests.simulation.cluster import Cluster
from tests.simulation.fleet import Fleet, InjectedError
from tests.simulation.shape import Shape
from tests.simulation.transactions import MARKER_S
from tests.simulation.world import Process, World, current_process

ERRORS = ("retriable", "fenced", "bug")
ACTIONS = ("kill", "freeze", "long freeze", "stall", "stop", "rebalance", *ERRORS)
MEANWHILE = " during a commit"
"""Added to a failpoint that is passed while Kafka takes a transaction of the same worker."""
ROUNDS = tuple(point + MEANWHILE for point in ("after_consume", "after_process", "in_revoke"))
DELICATE = ("before_send_offsets", "before_commit", "before_commit", "after_offsets", "in_changelog", "before_abort")
"""Where a fault is worth more tries."""
NOWHERE_TO_RAISE = ("in_lost",)
"""Called back by librdkafka where an error has no one to go to."""


class Faults:
    """One run's plan: some failpoints with an action each, and moments at which something happens to a worker."""

    def __init__(self, world: World, cluster: Cluster, fleet: Fleet, shape: Shape) -> None:
        self._world, self._cluster, self._fleet, self._shape = world, cluster, fleet, shape
        self._rng = rng = random.Random(f"faults {shape.seed}")
        self.over = False
        self.passes: Counter[str] = Counter()
        self.taken: Counter[tuple[str, str]] = Counter()
        self._random = True
        self._planned: dict[tuple[str, int], str] = {}
        for _ in range(rng.choice([0, 1, 2, 4])):
            point = rng.choice([*sorted(POINTS), *DELICATE, *ROUNDS])
            action = rng.choice(ACTIONS)
            if point.removesuffix(MEANWHILE) in NOWHERE_TO_RAISE and action in ERRORS:
                action = "kill"
            self._planned[point, rng.choice([1, 2, 3, 5, 8, 13])] = action

    def plan(self, actions: dict[tuple[str, int], str]) -> None:
        """Have these happen, by failpoint and pass, and nothing else."""
        self._planned = actions
        self._random = False

    def start(self, until_s: float) -> None:
        """Plan what happens between now and then."""
        self._world.at(until_s, self._end)
        if not self._random:
            return
        rng, world = self._rng, self._world
        self._cluster.hanging = rng.choice([0.0, 0.0, 0.0, 0.02])
        world.call_s = rng.choice([0.004, 0.004, 0.02, 0.1])
        self._cluster.lossy = rng.choice([0.0, 0.0, 0.02, 0.1])
        self._cluster.transactions.marker_s = rng.choice([MARKER_S, MARKER_S, 0.4])
        for _ in range(rng.choice([0, 1, 2, 3, 5])):
            world.at(rng.random() * until_s, self._something)

    def reach(self, name: str) -> None:
        """A failpoint is passed."""
        process = current_process()
        if process is None or not process.alive:
            return
        for point in (name, name + MEANWHILE) if process.transactions else (name,):
            self.passes[point] += 1
            action = self._planned.pop((point, self.passes[point]), None)
            if action is not None and not self.over:
                self._world.say(f"{process}: {action} at {point}")
                self.taken[point, action] += 1
                self._take(process, action)

    def _take(self, process: Process, action: str) -> None:
        session_s = self._shape.session_ms / 1_000
        if action == "kill":
            process.kill()
            process.check()
        elif action == "freeze":
            process.freeze(self._rng.random() * session_s)
            process.pause()
        elif action == "long freeze":
            process.freeze(session_s * (1.2 + self._rng.random()))
            process.pause()
        elif action == "stall":  # the heartbeats go on
            process.sleep(self._rng.random() * 2 * session_s)
        elif action == "stop":  # noticed by another of its threads while this one goes on slowly
            self._fleet.stop(process.name)
            process.sleep(self._rng.random() * session_s)
        elif action == "rebalance":
            self._cluster.rebalance()
            process.sleep(self._rng.random() * session_s)
        elif action == "retriable":
            raise RetriableError("injected")
        elif action == "fenced":
            raise FencedError("injected")
        else:
            raise InjectedError("injected")

    def _something(self) -> None:
        """Something happens, whatever the workers are doing."""
        rng, fleet, session_s = self._rng, self._fleet, self._shape.session_ms / 1_000
        kinds: dict[str, Callable[[], None]] = {
            "away": partial(self._cluster.go_away, rng.choice([0.5, 3.0, 12.0])),
            "clean": self._cluster.clean,
            "more workers": self._fleet.more,
            "rebalance": self._cluster.rebalance,
        }
        running = fleet.alive()
        if running:
            process = rng.choice(running)
            kinds |= {
                "kill": process.kill,
                "freeze": partial(process.freeze, rng.random() * session_s),
                "long freeze": partial(process.freeze, session_s * (1.2 + rng.random())),
                "stop": partial(fleet.stop, process.name),
            }
        kind = rng.choice(sorted(kinds))
        is_meanwhile = any(process.transactions for process in running)
        self.taken["any moment" + MEANWHILE * is_meanwhile, kind] += 1
        kinds[kind]()

    def _end(self) -> None:
        self.over = True
        self._cluster.hanging = self._cluster.lossy = 0.0
        self._cluster.transactions.marker_s = MARKER_S
        self._world.call_s = 0.004
