"""The lives of processes: a child that never outlives its parent, and signals that end a program in order."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

_STDERR = 2

# Runs in the new process before the command takes its place: the kernel shall end the child when the thread that
# started it is gone. The check after it covers a parent that died in between. Not a preexec_fn, which is unsafe beside
# threads.
_LAUNCHER = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, int(sys.argv[2]))
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Stopped(BaseException):
    """SIGTERM or SIGINT came; not an ``Exception``, so that no handler of errors swallows it."""


def tied_command(command: Sequence[str], death_signal: signal.Signals = signal.SIGKILL) -> list[str]:
    """A command whose process gets a signal when the thread that starts it ends, by a kill -9 of its program too.

    Args:
        command: the program's absolute path and its arguments.
        death_signal: the signal it gets.

    Returns:
        The command to start instead. Elsewhere than on Linux the child is not tied.
    """
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), str(int(death_signal)), *command]


@contextmanager
def end_on_signals() -> Iterator[None]:
    """While a program starts, SIGTERM or SIGINT ends it on the spot with exit code 0: nothing is under way yet.

    Not by an exception, which would be lost where Python calls back from within an import. Whatever the program sets up
    for itself later takes the place of this.
    """

    def end(_signal: int, _frame: FrameType | None) -> None:
        with suppress(OSError):  # nobody may be listening
            os.write(_STDERR, b"stopped\n")
        os._exit(0)

    with _handled_by(end):
        yield


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """Turn the first SIGTERM or SIGINT into ``Stopped`` in the main thread; later ones do not disturb the ending."""
    stopping = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        if not stopping:
            stopping = True
            raise Stopped

    with _handled_by(stop):
        yield


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
