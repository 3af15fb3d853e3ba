"""When the next commit is due."""

from dataclasses import dataclass

# Where commits are slow they come further apart, so that most of the time is left for the work.
_SPACING, _SPACING_MAX_S = 8, 2.0


@dataclass(slots=True)
class Schedule:
    """The commits of one assignment.

    Attributes:
        interval_s: between two of them.
        last_s: when the last one was begun, on the clock for durations.
        took_s: how long it kept the work waiting.
    """

    interval_s: float
    last_s: float
    took_s: float = 0.0

    @property
    def soonest_s(self) -> float:
        """When one is due while nothing comes: no work would have had the time that spacing saves."""
        return self.last_s + self.interval_s

    @property
    def due_s(self) -> float:
        """When one is due otherwise."""
        return max(self.soonest_s, self.last_s + min(_SPACING * self.took_s, _SPACING_MAX_S))
