"""The demo's processes: started with their logs in files, watched, and ended in order whatever happens."""

import contextlib
import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pipeline.core.errors import StartupError
from pipeline.processes import tied_command

_STOP_TIMEOUT_S = 15.0
_TAIL_LINES = 15


@dataclass(slots=True)
class Child:
    """One process.

    Attributes:
        name: for people.
        process: the process.
        log: where its output goes.
        said: the JSON objects it wrote to stdout, one a line, in order; empty for a child that only logs.
    """

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    said: queue.SimpleQueue[dict[str, Any]]

    def wait_for_line(self, timeout_s: float) -> dict[str, Any]:
        """Wait for the next JSON object from its stdout.

        Args:
            timeout_s: how long.

        Returns:
            The object.

        Raises:
            StartupError: it ended, or said nothing in time; the message carries the end of its log.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            with contextlib.suppress(queue.Empty):
                return self.said.get(timeout=0.1)
            self.check()
        raise StartupError(f"{self.name} said nothing for {timeout_s:.0f} s; the end of {self.log}:\n{_tail(self.log)}")

    def check(self) -> None:
        """Make sure it is alive.

        Raises:
            StartupError: it ended; the message carries the end of its log.
        """
        code = self.process.poll()
        if code is not None:
            raise StartupError(f"{self.name} ended with exit code {code}; the end of {self.log}:\n{_tail(self.log)}")

    def stop(self) -> None:
        """Ask it to end and wait; kill it when it does not listen."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            self.process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Children:
    """All processes of a run; leaving the context ends them, the last started first.

    Args:
        log_directory: where their logs go; created if absent.
    """

    def __init__(self, log_directory: Path) -> None:
        self._log_directory = log_directory
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        self._log_directory.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, name: str, arguments: Sequence[str], *, speaks: bool = False) -> Child:
        """Start a Python process.

        Args:
            name: for people and for the log's file name.
            arguments: what follows ``python``.
            speaks: whether its stdout is JSON lines for us; otherwise stdout joins the log.

        Returns:
            The running child.
        """
        log = self._log_directory / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - our own Python with our own arguments
                tied_command([sys.executable, *arguments], signal.SIGTERM),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if speaks else output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the demo, which ends its children in order
            )
        child = Child(name, process, log, queue.SimpleQueue())
        self._children.append(child)
        if speaks:
            threading.Thread(target=_listen, args=(child,), name=f"{name}-stdout", daemon=True).start()
        return child

    def check(self) -> None:
        """Make sure that all are alive.

        Raises:
            StartupError: one ended; the message carries the end of its log.
        """
        for child in self._children:
            child.check()

    def stop(self) -> None:
        """End all, the last started first, so that nobody loses what it still needs."""
        while self._children:
            self._children.pop().stop()


def _listen(child: Child) -> None:
    if child.process.stdout is None:
        return
    with child.process.stdout as lines:
        for line in lines:
            child.said.put(json.loads(line))


def _tail(path: Path) -> str:
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:])
