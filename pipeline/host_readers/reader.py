"""What every reader has in common: its interface, and how a fault costs one metric and one line in the log."""

import logging
import re
from collections.abc import Callable
from typing import Protocol, TypeVar

logger = logging.getLogger(__name__)

Value = TypeVar("Value")

_NAME_CHARS_MAX = 64
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")


class Reader(Protocol):
    """One source of readings."""

    def read(self, now_ms: float) -> dict[str, float]:
        """Read the source once.

        Args:
            now_ms: a clock that never jumps, in milliseconds: rates are differences over it.

        Returns:
            Metric names to finite numbers in base units; what cannot be read is absent.
        """
        ...

    def close(self) -> None:
        """Give back what the reader holds open."""
        ...


class Notices:
    """Says each fault once, and once more when it is over: a host without a sensor must not fill its log."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def say(self, subject: str, sentence: str) -> None:
        """Log a fault, unless this subject's fault has been logged already.

        Args:
            subject: what is missing, e.g. ``cpu.temperature_celsius``.
            sentence: why, for a person.
        """
        if subject not in self._said:
            self._said.add(subject)
            logger.warning("no %s: %s", subject, sentence)

    def mended(self, subject: str) -> None:
        """Log that a fault is over, if it had been logged.

        Args:
            subject: as given to ``say``.
        """
        if subject in self._said:
            self._said.remove(subject)
            logger.info("%s is back", subject)

    def attempt(
        self, subject: str, read: Callable[[], Value | None], absent: str = "this host has none"
    ) -> Value | None:
        """Read something that may not be there.

        Args:
            subject: what is read, for the log.
            read: the reading, which also finds the function that reads: a platform's library may lack it. None means
                that the host has no such thing.
            absent: the sentence for None.

        Returns:
            The reading, or None with the reason said once.
        """
        try:
            value = read()
        except Exception as error:  # noqa: BLE001 - what a platform's /proc, /sys or driver raises is open-ended, and none of it may stop the agent
            self.say(subject, f"{type(error).__name__}: {error}")
            return None
        if value is None:
            self.say(subject, absent)
            return None
        self.mended(subject)
        return value


def name_part(text: str) -> str:
    """A process or mount name as a part of a metric name.

    Args:
        text: any text.

    Returns:
        At most 64 letters, digits, ``_``, ``.`` and ``-``; every run of other characters is one ``_``.
    """
    return _NOT_IN_NAMES.sub("_", text)[:_NAME_CHARS_MAX] or "_"
