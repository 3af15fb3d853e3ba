"""The faults: each begins its round, strikes, and leaves at least one healthy worker behind."""

import os
import signal
import time
from collections.abc import Mapping

from tests.faults.broken_rows import broken_records
from tests.faults.caches import spoil_caches
from tests.faults.publishers import kill_publishers
from tests.faults.rounds import Fault, Round
from tests.faults.settings import SESSION_S
from tests.faults.workers import wait_until

_STRIKE_S = 30.0
"""How long a failpoint may take to be reached: a worker's start, and a rebalance or two."""

ALWAYS = ("after_consume", "after_process", "before_produce", "before_send_offsets", "before_commit", "after_commit")
STARTING = ("in_restore", "after_offsets", "in_changelog")


def kill_at_failpoints(here: Round) -> None:
    """SIGKILL at every failpoint, two workers at a time, each at another point; every point once or more."""
    here.begin("a", "b")
    plans = [f"{point}=kill@{here.rng.randrange(1, 12)}" for point in ALWAYS]
    plans += [f"{point}=kill@{here.rng.randrange(1, 3)}" for point in STARTING[:2]] + ["in_changelog=kill@1"]
    plans += [f"{here.rng.choice(ALWAYS[-2:])}=retriable@{here.rng.randrange(2, 8)};before_abort=kill@1"]
    here.rng.shuffle(plans)
    armed: dict[str, tuple[str, float]] = {}
    while plans or armed:
        for name in ("a", "b"):
            if name not in armed and plans:
                if name in here.fleet.names():
                    here.fleet.kill(name)
                armed[name] = plans.pop(), time.monotonic()
                here.fleet.start(name, armed[name][0])
            elif name in armed:
                plan, since_s = armed[name]
                if here.fleet.has_died(name):
                    here.tries += 1
                elif time.monotonic() < since_s + _STRIKE_S:
                    continue
                else:
                    here.notes.append(f"{plan} was not reached")
                del armed[name]
        time.sleep(0.05)
    here.ensure("a", "b")
    _kill_in_revoke(here)
    _kill_in_lost(here)
    here.ensure("a", "b")


def _kill_in_revoke(here: Round) -> None:
    """A third worker makes the group take partitions back."""
    here.fleet.kill("a")
    here.fleet.start("a", "in_revoke=kill@1")
    here.wait_for(lambda: "a-joiner" in here.progress.members or here.fleet.has_died("a"), _STRIKE_S, "a's partitions")
    here.fleet.start("c")
    _count_death(here, "a", "in_revoke")


def _kill_in_lost(here: Round) -> None:
    """A worker that slept over its session finds its partitions gone."""
    here.ensure("a")
    here.fleet.kill("b")
    here.fleet.start("b", "in_lost=kill@1")
    here.wait_for(lambda: "b-joiner" in here.progress.members, _STRIKE_S, "b's partitions")
    for _ in range(3):  # it may find out by a refused commit instead
        if not here.fleet.has_died("b"):
            here.fleet.freeze("b")
            time.sleep(SESSION_S + 2)
            here.fleet.thaw("b")
            wait_until(lambda: here.fleet.has_died("b"), 6)
    _count_death(here, "b", "in_lost", 0)


def _count_death(here: Round, name: str, point: str, timeout_s: float = _STRIKE_S) -> None:
    if wait_until(lambda: here.fleet.has_died(name), timeout_s):
        here.tries += 1
    else:
        here.notes.append(f"{point} was not reached")


def kill_at_random(here: Round) -> None:
    """SIGKILL at random moments, one worker or two at once."""
    here.begin("a", "b", "c")
    end_s = time.monotonic() + here.span_s
    while time.monotonic() < end_s:
        here.sleep(0.5, 5)
        for name in here.rng.sample(here.fleet.names(), here.rng.choice([1, 1, 2])):
            here.fleet.kill(name)
            here.tries += 1
        here.sleep(0.0, 1)
        here.ensure("a", "b", "c")


def terminate(here: Round) -> None:
    """SIGTERM at random moments, also while the worker starts; it must end well, and its partitions move at once."""
    here.begin("a", "b")
    end_s = time.monotonic() + here.span_s
    while time.monotonic() < end_s:
        name = here.rng.choice(["a", "b"])
        here.fleet.terminate(name)
        here.tries += 1
        here.sleep(0, 1)
        here.ensure(name)
        here.sleep(2, 7)


def zombies(here: Round) -> None:
    """SIGSTOP at a failpoint or at random, SIGCONT when the other worker has taken over: it must write nothing."""
    here.begin("a", "b")
    points = [*here.rng.sample(ALWAYS, len(ALWAYS)), "", ""]
    for point in points[: max(1, round(len(points) * here.amount))]:
        name, other = here.rng.sample(["a", "b"], 2)
        here.fleet.kill(name)
        here.fleet.start(name, f"{point}=stop@{here.rng.randrange(8, 20)}" if point else "")
        if point:
            here.wait_for(lambda name=name: here.fleet.has_stopped(name), _STRIKE_S, f"{name} to stop at {point}")  # type: ignore[misc]
        else:
            here.wait_for(lambda name=name: f"{name}-joiner" in here.progress.members, _STRIKE_S, "partitions")  # type: ignore[misc]
            here.sleep(0, 1)
            here.fleet.freeze(name)
        here.wait_for(lambda other=other: here.progress.members == {f"{other}-joiner"}, _STRIKE_S, "a successor")  # type: ignore[misc]
        here.sleep(0, 2)
        here.fleet.thaw(name)
        here.tries += 1
        here.sleep(2, 4)
    here.ensure("a", "b")


def replaced_zombie(here: Round) -> None:
    """A frozen worker whose place was taken by a new process of the same name wakes up, then is killed."""
    here.begin("a", "b")
    for _ in range(max(1, round(3 * here.amount))):
        here.sleep(0.5, 2)
        here.fleet.freeze("a")
        frozen = here.fleet.set_aside("a")
        here.fleet.start("a")
        here.sleep(4, 8)
        frozen.send_signal(signal.SIGCONT)
        here.sleep(0.2, 1.5)
        frozen.kill()
        frozen.wait()
        here.tries += 1
        here.sleep(2, 4)


def kill_broker(here: Round) -> None:
    """SIGKILL to the broker at random moments; it is started again after a while."""
    here.begin("a", "b")
    for _ in range(max(1, round(3 * here.amount))):
        here.sleep(1, 4)
        os.kill(here.broker.pid, signal.SIGKILL)
        here.broker.wait(10)
        here.sleep(0, 5)
        here.broker.start()
        here.tries += 1
        here.sleep(4, 10)


def broker_in_transaction(here: Round) -> None:
    """The broker is killed, or stopped and started, while a worker stands in mid-transaction."""
    here.begin("a", "b")
    for point in here.rng.sample(["before_send_offsets", "before_commit", "after_commit"], 3)[
        : max(1, round(3 * here.amount))
    ]:
        here.fleet.kill("a")
        held = f"{point}={'sleep:3' if here.rng.random() < 0.5 else 'stop'}@{here.rng.randrange(10, 20)}"
        here.fleet.start("a", held)
        if "stop" in held:
            here.wait_for(lambda: here.fleet.has_stopped("a"), _STRIKE_S, f"a to stand still at {point}")
        else:
            here.wait_for(lambda: "a-joiner" in here.progress.members, _STRIKE_S, "a's partitions")
            here.sleep(1, 4)
        if here.rng.random() < 0.5:
            os.kill(here.broker.pid, signal.SIGKILL)
            here.broker.wait(10)
        else:
            here.broker.stop()
        if "stop" in held:
            here.fleet.thaw("a")
        here.broker.start()
        here.tries += 1
        here.sleep(5, 10)


def storm(here: Round) -> None:
    """Workers come and go every second or two: killed, stopped, frozen for a moment, started."""
    here.begin("a", "b")
    end_s = time.monotonic() + here.span_s
    while time.monotonic() < end_s:
        here.sleep(0.7, 2)
        names = here.fleet.names()
        missing = [name for name in "abcd" if name not in names]
        if missing and (len(names) < 2 or here.rng.random() < 0.5):
            here.fleet.start(here.rng.choice(missing))
        else:
            name = here.rng.choice(names)
            if here.rng.random() < 0.5:
                here.fleet.kill(name)
            else:
                here.fleet.terminate(name)
        here.tries += 1
    for name in here.fleet.names()[2:]:
        here.fleet.terminate(name)
    here.ensure("a", "b")


def elasticity(here: Round) -> None:
    """One worker, then four, then two, under load."""
    here.begin("a")
    here.sleep(2, 4)
    for name in "bcd":
        here.fleet.start(name)
    here.wait_for(lambda: len(here.progress.members) == 4, 60, "four workers with partitions")
    here.tries += 1
    here.sleep(4, 6)
    for name in here.rng.sample("abcd", 2):
        here.fleet.terminate(name)
    here.wait_for(lambda: len(here.progress.members) == 2, 60, "two workers with all partitions")
    here.tries += 1
    here.sleep(3, 5)


def broken_rows(here: Round) -> None:
    """A flood of records that are no events, between the good ones: a dead letter each, and nothing else changes."""
    here.begin("a", "b")
    count = round(1_000_000 * here.amount)
    here.sender.send(broken_records(here.rng, count))
    here.tries = count


FAULTS: Mapping[str, tuple[str, Fault]] = {
    "failpoints": ("SIGKILL at each failpoint", kill_at_failpoints),
    "kill": ("SIGKILL at random, one or two workers", kill_at_random),
    "zombie": ("SIGSTOP past the session, SIGCONT", zombies),
    "replaced": ("SIGSTOP, a namesake starts, SIGCONT", replaced_zombie),
    "terminate": ("SIGTERM at random", terminate),
    "broker": ("broker SIGKILL and restart", kill_broker),
    "transaction": ("broker restart in mid-transaction", broker_in_transaction),
    "storm": ("rebalance storm", storm),
    "elastic": ("1 → 4 → 2 workers under load", elasticity),
    "publisher": ("publisher SIGKILL in mid-batch", kill_publishers),
    "cache": ("local copy spoilt, or its disk full", spoil_caches),
    "fuzz": ("broken records between good ones", broken_rows),
}
"""Each fault by its name: what it does, for a person, and the function."""
