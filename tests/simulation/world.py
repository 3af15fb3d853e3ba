"""A virtual clock, and processes that only ever run one at a time: everything that happens is decided by the seed.

A process's code runs in greenlets. Wherever real code would block, the simulated clients call ``Process.sleep``, which
gives the turn back to the world; the world runs the next thing that is due. So each call into a client is a place where
another worker may come in between, where the process may be killed, or may stand still for a while.
"""

import heapq
import random
from collections.abc import Callable

from greenlet import GreenletExit, getcurrent, greenlet

START_MS = 1_700_000_000_000


class KilledError(GreenletExit):
    """Ends the code of a killed process; no client does anything for it any more."""


class World:
    """The clock and what is due.

    Args:
        seed: decides everything.
        trace: told what happens, for people; None for silence.
    """

    def __init__(self, seed: int, trace: Callable[[str], None] | None = None) -> None:
        self.rng = random.Random(seed)
        self.now_s = 0.0
        self.call_s = 0.004
        """How long a call into a client takes at most, most of the time."""
        self.hub = getcurrent()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._trace = trace

    @property
    def now_ms(self) -> int:
        """The true time of the simulated world, epoch milliseconds."""
        return START_MS + int(self.now_s * 1_000)

    def say(self, text: str) -> None:
        if self._trace is not None:
            self._trace(f"{self.now_s:9.3f} {text}")

    def at(self, delay_s: float, call: Callable[[], None]) -> None:
        """Have something done after a while."""
        self._number += 1
        heapq.heappush(self._due, (self.now_s + delay_s, self._number, call))

    def soon(self, call: Callable[[], None], most_s: float = 0.02) -> None:
        """Have something done after a short while, which now and then is much longer."""
        stretch = 20 if self.rng.random() < 0.03 else 1
        self.at(self.rng.random() * most_s * stretch, call)

    def run(self, done: Callable[[], bool], limit_s: float) -> bool:
        """Do what is due until ``done``; False when the clock reaches the limit first."""
        while not done():
            if not self._due or self._due[0][0] > limit_s:
                return False
            moment_s, _, call = heapq.heappop(self._due)
            self.now_s = max(self.now_s, moment_s)
            call()
        return True


class Sleep:
    """One greenlet's sleep; ends once, by time or by a call of ``wake``."""

    __slots__ = ("_process", "_target", "over")

    def __init__(self, process: "Process", target: greenlet) -> None:
        self._process, self._target, self.over = process, target, False

    def wake(self) -> None:
        if not self.over:
            self.over = True
            self._process.go(self._target)


class Process:
    """One worker process.

    Args:
        world: where it lives.
        name: its name; a restarted worker is a new process of the same name.
        skew_ms: how far its wall clock is off.
    """

    def __init__(self, world: World, name: str, skew_ms: int = 0) -> None:
        self.world, self.name, self.skew_ms = world, name, skew_ms
        self.alive, self.frozen = True, False
        self.running = 0
        self.transactions = 0
        """How many of its transactions Kafka is taking while its rounds go on."""
        self.failure: BaseException | None = None
        self.silent_since_s: float | None = None
        self.on_thaw: list[Callable[[], None]] = []
        self.on_silence: list[Callable[[], None]] = []
        self._greenlets: list[greenlet] = []
        self._held: list[greenlet] = []

    def __repr__(self) -> str:
        return self.name

    def spawn(self, run: Callable[[], None], *, counts: bool = True) -> None:
        """Run some code; the process has ended when all code that counts has."""

        def guarded() -> None:
            try:
                run()
            except KilledError:
                return
            except Exception as error:  # noqa: BLE001 - looked at by whoever started it
                self.failure = error
            if counts and self.alive:
                self.running -= 1
                if not self.running or self.failure is not None:
                    self.kill()

        target = _Thread(guarded, self)
        self._greenlets.append(target)
        self.running += counts
        self.world.soon(Sleep(self, target).wake)

    def clock_ms(self) -> int:
        """The process's own wall clock."""
        return self.world.now_ms + self.skew_ms

    def check(self) -> None:
        """End the calling code if the process is dead."""
        if not self.alive:
            raise KilledError

    def sleep(self, seconds: float, wakers: list[Sleep] | None = None) -> None:
        """Give the turn back for a while.

        Args:
            seconds: for how long.
            wakers: where to leave what can end the sleep early.
        """
        self.check()
        sleep = Sleep(self, getcurrent())
        if wakers is not None:
            wakers.append(sleep)
        self.world.at(seconds, sleep.wake)
        self.world.hub.switch()
        self.check()

    def pause(self) -> None:
        """The time that a call takes; another process may run meanwhile."""
        self.check()
        sleep = Sleep(self, getcurrent())
        self.world.soon(sleep.wake, self.world.call_s)
        self.world.hub.switch()
        self.check()

    def go(self, target: greenlet) -> None:
        """Give a greenlet of this process its turn, if it can have it."""
        if not self.alive:
            return
        if self.frozen:
            self._held.append(target)
        elif not target.dead:
            target.switch()

    def freeze(self, seconds: float) -> None:
        """Stand still: no code runs, no heartbeat is sent, nothing leaves a queue."""
        if not self.alive or self.frozen:
            return
        self.world.say(f"{self} stands still for {seconds:.1f} s")
        self.frozen = True
        self._fall_silent()
        self.world.at(seconds, self._thaw)

    def kill(self) -> None:
        """End it without any last words."""
        if not self.alive:
            return
        self.world.say(f"{self} is gone")
        self.alive = False
        self._fall_silent()
        self.world.at(0.0, self._bury)

    def end(self) -> None:
        """End its code for good when the world has stopped: what waits for ever would hold its memory for ever."""
        self.alive = False
        self._bury()

    def _thaw(self) -> None:
        if not self.alive:
            return
        self.world.say(f"{self} goes on")
        self.frozen, self.silent_since_s = False, None
        held, self._held = self._held, []
        for target in held:
            self.world.soon(Sleep(self, target).wake)
        calls, self.on_thaw = self.on_thaw, []
        for call in calls:
            call()

    def _fall_silent(self) -> None:
        if self.silent_since_s is None:
            self.silent_since_s = self.world.now_s
        for call in self.on_silence:
            call()

    def _bury(self) -> None:
        for target in self._greenlets:
            if not target.dead:
                target.throw(KilledError)


class _Thread(greenlet):
    """Code of a process."""

    def __init__(self, run: Callable[[], None], process: Process) -> None:
        super().__init__(run, process.world.hub)
        self.process = process


def current_process() -> Process | None:
    """The process whose code is running; None for the world's own."""
    running = getcurrent()
    return running.process if isinstance(running, _Thread) else None
