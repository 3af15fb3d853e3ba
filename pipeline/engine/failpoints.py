"""Failpoints: named places in the protocol where a test makes a worker crash, stall, stop or raise.

Nothing happens unless a test asks for it, in its own process through ``arm``, or in a worker process through the
environment: ``DRIFTLINE_FAILPOINTS="before_commit=kill@3;in_restore=sleep:2.5@1"`` kills the process at the third
pass of ``before_commit``, and holds the first restore up for two and a half seconds. The actions:

=============  ================================================================================================
``kill``       SIGKILL to this process: no handler runs, nothing is closed
``stop``       SIGSTOP to this process: it stands still until somebody sends SIGCONT
``sleep:<s>``  the calling thread sleeps; the process's other threads, librdkafka's too, go on
``retriable``  raises ``RetriableError``
``fenced``     raises ``FencedError``
``bug``        raises ``RuntimeError``, as a mistake in the code would
=============  ================================================================================================

Without ``@n`` the action is taken at every pass.
"""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial

from pipeline.core.errors import ConfigError, ConfigFault, FencedError, RetriableError
from pipeline.engine.kafka import log

ENVIRONMENT = "DRIFTLINE_FAILPOINTS"

POINTS: Mapping[str, str] = {
    "after_consume": "records were taken from librdkafka and not yet shown to a task",
    "after_process": "the tasks know the records; nothing was written",
    "before_produce": "the tasks handed over what they have; the transaction has not begun",
    "before_send_offsets": "everything is produced, which may mean: in librdkafka's queue; the group knows nothing",
    "before_commit": "the offsets are sent and wait for the transaction's end",
    "after_commit": "committed, and the runner does not know it yet",
    "before_abort": "a failure was noticed; the transaction is still open",
    "in_restore": "new partitions, nothing asked yet",
    "after_offsets": "the committed offsets are known, the changelog's end is not",
    "in_changelog": "between two batches of a changelog",
    "before_cache_write": "what was read for the local copy is about to be written, in a thread of its own",
    "after_cache_write": "it is on the disk; later changes are not",
    "in_revoke": "the group wants the partitions back",
    "in_lost": "the group has given the partitions away",
}
"""Every failpoint and the moment it stands for, in the order of the protocol."""

Handler = Callable[[str], None]

_handler: Handler | None = None


def reach(name: str) -> None:
    """Pass a failpoint.

    Args:
        name: one of ``POINTS``.
    """
    if _handler is not None:
        _handler(name)


def arm(handler: Handler | None) -> None:
    """Have a function called at every pass of every failpoint of this process.

    Args:
        handler: gets the failpoint's name; None switches them off.
    """
    global _handler  # noqa: PLW0603 - one switch a process: a failpoint must cost nothing when it is off
    _handler = handler


def arm_from_environment(environ: Mapping[str, str] = os.environ) -> None:
    """Arm what the environment asks for, if it asks.

    Args:
        environ: the environment.

    Raises:
        ConfigError: it asks for something that is not there.
    """
    if text := environ.get(ENVIRONMENT):
        arm(Plan(text))
        log.warning("failpoints are armed, this worker will fail on purpose: %s", text)


class Plan:
    """Actions at failpoints, as the module's docstring writes them.

    Args:
        text: ``point=action@pass``, several with semicolons between them.

    Raises:
        ConfigError: a name or an action is unknown, or a pass is not a number.
    """

    def __init__(self, text: str) -> None:
        self.passes: Counter[str] = Counter()
        self._steps: list[tuple[str, int | None, Callable[[], None]]] = []
        for step in filter(None, (part.strip() for part in text.split(";"))):
            name, _, rest = step.partition("=")
            action, _, at = rest.partition("@")
            take = _action(action)
            if name not in POINTS or take is None or (at and not at.isdecimal()):
                raise ConfigError([ConfigFault(ENVIRONMENT, f"{step!r} is no failpoint", _mend())])
            self._steps.append((name, int(at) if at else None, take))

    def __call__(self, name: str) -> None:
        """Count a pass, and act if it is the one."""
        self.passes[name] += 1
        for point, at, take in self._steps:
            if point == name and at in (None, self.passes[name]):
                take()


def _mend() -> str:
    return (
        f"write point=action@pass; points: {', '.join(POINTS)}; actions: kill, stop, sleep:<s>, retriable, fenced, bug"
    )


def _action(text: str) -> Callable[[], None] | None:
    name, _, argument = text.partition(":")
    if name == "sleep":
        try:
            return partial(time.sleep, float(argument))
        except ValueError:
            return None
    actions: dict[str, Callable[[], None]] = {
        "kill": partial(os.kill, os.getpid(), signal.SIGKILL),
        "stop": _stop,
        "retriable": partial(_raise, RetriableError, text),
        "fenced": partial(_raise, FencedError, text),
        "bug": partial(_raise, RuntimeError, text),
    }
    return actions.get(text)


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(0.2)  # the signal may reach another thread first: do not run on


def _raise(error: type[Exception], text: str) -> None:
    raise error(f"failpoint {text!r}")
