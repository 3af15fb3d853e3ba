"""Every error Driftline raises on purpose, sorted by the reaction it needs.

DriftlineError
├── ConfigError        wrong configuration: all faults at once, exit 2
├── BadEventError      a row that cannot be read: goes to dead-letters, the rows beside it count
├── RetriableError     the broker or a peer is away: try again, with a limit
├── FencedError        another worker took over: drop the state and rejoin
├── StartupError       the environment cannot serve (port taken, no Java, wrong partition counts): exit 1
├── StuckError         a processor gets nowhere although it could: exit 1
└── LimitError         a limit of the configuration is reached and going on would do harm: exit 1
"""

from collections.abc import Sequence
from dataclasses import dataclass


class DriftlineError(Exception):
    """The root of all errors raised on purpose."""


@dataclass(frozen=True, slots=True)
class ConfigFault:
    """One fault in the configuration.

    Attributes:
        place: where it stands, e.g. ``rules[2].below`` or ``DRIFTLINE_WINDOWS__SIZES``.
        problem: what is wrong with it.
        mend: what to write instead.
    """

    place: str
    problem: str
    mend: str

    def __str__(self) -> str:
        return f"{self.place}: {self.problem} ({self.mend})"


class ConfigError(DriftlineError):
    """The configuration is wrong; carries every fault found, not only the first."""

    def __init__(self, faults: Sequence[ConfigFault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class BadEventError(DriftlineError):
    """A row that cannot be read.

    Args:
        reason: a fixed code, e.g. ``not_json``.
        detail: what exactly was wrong, for a person.
    """

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


class RetriableError(DriftlineError):
    """A passing fault of a peer: trying again may help."""


class FencedError(DriftlineError):
    """Another producer with the same identity is alive: this one must drop its state and rejoin."""


class StartupError(DriftlineError):
    """The environment cannot serve; the message names the mend."""


class StuckError(DriftlineError):
    """A processor gets nowhere although it could; the message is a diagnosis."""


class LimitError(DriftlineError):
    """A limit of the configuration is reached, and going on would do harm; the message names the limit and the mend."""
