"""When so many rows are dead letters that what writes them must be wrong, and going on would drain the topic."""

from collections import deque
from dataclasses import dataclass

from pipeline.core.errors import LimitError

LEAST_ROWS = 1_000
"""Fewer rows are no ground to stop for: somebody tries something out."""

STEPS = 20
"""The span moves on by a twentieth of itself."""


@dataclass(slots=True)
class _Step:
    number: int
    rows: int = 0
    dead: int = 0


class DeadLetterGuard:
    """Counts rows and dead letters over a span that moves on with the clock.

    Args:
        limit: the share of dead letters that is too many; 1 allows all.
        span_ms: the span.
    """

    def __init__(self, limit: float, span_ms: int) -> None:
        self._limit, self._span_ms = limit, span_ms
        self._step_ms = max(1, span_ms // STEPS)
        self._steps: deque[_Step] = deque()
        self._rows = self._dead = 0

    def take(self, now_ms: int, rows: int, dead: int) -> None:
        """Count.

        Args:
            now_ms: the wall clock.
            rows: rows read, dead ones included.
            dead: those of them that are dead letters.

        Raises:
            LimitError: more than the limit of at least ``LEAST_ROWS`` rows are dead letters.
        """
        number = now_ms // self._step_ms
        while self._steps and not number - STEPS < self._steps[0].number <= number:
            old = self._steps.popleft()  # from before the span, or from a clock that was set back since
            self._rows -= old.rows
            self._dead -= old.dead
        if not self._steps or self._steps[-1].number < number:
            self._steps.append(_Step(number))
        self._steps[-1].rows += rows
        self._steps[-1].dead += dead
        self._rows += rows
        self._dead += dead
        if self._rows >= LEAST_ROWS and self._dead > self._limit * self._rows:
            raise LimitError(
                f"{self._dead:,} of {self._rows:,} rows became dead letters within {self._span_ms / 1_000:.0f} s, more"
                f" than engine.dead_letter_limit = {self._limit} allows; the last are not committed and will be read"
                " again: correct what writes them, or have them all in dead-letters with engine.dead_letter_limit = 1.0"
            )
