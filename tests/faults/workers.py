"""Worker processes that a round starts, stops, kills and freezes; never more than four of them."""

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from pipeline.config import Config
from pipeline.engine.failpoints import ENVIRONMENT
from pipeline.processes import tied_command
from tests.faults.settings import PROJECT, SETTINGS

MOST = 4
_STARTED = "==== started"


class Fleet:
    """The workers of a round, by name; their logs lie in the round's folder."""

    def __init__(self, config: Config, folder: Path) -> None:
        self._config, self._folder = config, folder
        self.state = folder / "state"
        """Where the workers keep the local copies of their state."""
        self.state.mkdir()
        self._alive: dict[str, subprocess.Popen[bytes]] = {}
        self._strays: list[subprocess.Popen[bytes]] = []
        self.surprises: list[str] = []
        """Workers that ended although nobody asked them to."""

    def start(self, name: str, failpoints: str = "") -> None:
        """Start a worker, in the place of the one of this name if that has ended."""
        if len(self.names()) >= MOST:
            raise AssertionError(f"{MOST} workers run already: {self.names()}")
        environment = {
            **os.environ,
            **SETTINGS,
            "PYTHONPATH": str(PROJECT),
            "DRIFTLINE_KAFKA__BOOTSTRAP_SERVERS": self._config.kafka.bootstrap_servers,
            "DRIFTLINE_KAFKA__TOPIC_PREFIX": self._config.kafka.topic_prefix,
            "DRIFTLINE_WORKER__NAME": name,
            "DRIFTLINE_WORKER__STATE_DIR": str(self.state),
            ENVIRONMENT: failpoints,
        }
        with (self._folder / f"{name}.log").open("ab") as log:
            now = time.strftime("%H:%M:%S", time.gmtime())
            log.write(f"{_STARTED} {now} with {failpoints or 'no failpoints'}\n".encode())
            log.flush()
            self._alive[name] = subprocess.Popen(
                tied_command([sys.executable, "-m", "pipeline.cli", "worker"]),
                env=environment, stdout=log, stderr=log, cwd=self._folder,
            )  # fmt: skip

    def pid(self, name: str) -> int:
        return self._alive[name].pid

    def names(self) -> list[str]:
        """The workers that run, frozen ones too."""
        for name, process in list(self._alive.items()):
            if (code := process.poll()) is not None:
                self._end(name)
                if code != -signal.SIGKILL:
                    self.surprises.append(f"{name} ended by itself with exit code {code}")
        return list(self._alive)

    def has_died(self, name: str) -> bool:
        """Whether a worker was killed, by a failpoint of its own for one."""
        return name not in self.names()

    def has_stopped(self, name: str) -> bool:
        """Whether a failpoint has frozen a worker."""
        process = self._alive.get(name)
        with suppress(OSError):
            return process is not None and Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1][1] == "T"
        return False

    def kill(self, name: str) -> None:
        """SIGKILL, frozen or not."""
        self._alive[name].kill()
        self._alive[name].wait()
        self._end(name)

    def freeze(self, name: str) -> None:
        self._alive[name].send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        self._alive[name].send_signal(signal.SIGCONT)

    def terminate(self, name: str, timeout_s: float = 40.0) -> None:
        """SIGTERM; it must end by itself and say that it went well."""
        process = self._alive.pop(name)
        has_begun = not deque(self.log_lines(name), 1)[0].startswith(_STARTED)
        process.terminate()
        try:
            code = process.wait(timeout_s)
            # Before it has said a word it is Python that starts, not yet a worker, and the signal simply ends it.
            if code != 0 and (has_begun or code != -signal.SIGTERM):
                self.surprises.append(f"{name} was asked to stop and ended with exit code {code}")
        except subprocess.TimeoutExpired:
            self.surprises.append(f"{name} was asked to stop and did not within {timeout_s:.0f} s")
            process.kill()
            process.wait()

    def set_aside(self, name: str) -> subprocess.Popen[bytes]:
        """Take a worker out of the list while it lives, so that another of its name can be started."""
        process = self._alive.pop(name)
        self._strays.append(process)
        return process

    def close(self) -> None:
        """Kill whatever is left."""
        for process in [*self._alive.values(), *self._strays]:
            process.kill()
            process.wait()
        self._alive.clear()

    def log_lines(self, name: str) -> Iterator[str]:
        with (self._folder / f"{name}.log").open(errors="replace") as log:
            yield from log

    def _end(self, name: str) -> None:
        del self._alive[name]


def wait_until(predicate: Callable[[], object], timeout_s: float) -> bool:
    """Whether something becomes true in time."""
    deadline_s = time.monotonic() + timeout_s
    while not predicate():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.05)
    return True
