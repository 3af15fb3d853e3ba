"""How far a topic partition's event time has come, and what that makes of the events in it."""

from dataclasses import dataclass

import numpy as np

from pipeline.core.events import Int64s

NEVER = -(1 << 60)
"""A time before every event; far enough from the edge of int64 that horizons can be added."""


@dataclass(slots=True)
class Watermark:
    """The watermark of one topic partition: the newest event time seen, less the lateness that is allowed.

    Attributes:
        lateness_ms: how far behind the newest event another may come and still be in time.
        newest_ms: the newest event time seen so far.
    """

    lateness_ms: int
    newest_ms: int = NEVER

    @property
    def value_ms(self) -> int:
        """No event in time comes before this moment any more."""
        return self.newest_ms - self.lateness_ms

    def advance(self, timestamp_ms: Int64s) -> Int64s:
        """Take in events in log order.

        Args:
            timestamp_ms: int64[n], their own times.

        Returns:
            int64[n], the watermark at each event, its own time included. It depends on this partition's log alone.
        """
        if not len(timestamp_ms):
            return timestamp_ms
        newest = np.maximum.accumulate(timestamp_ms)
        np.maximum(newest, self.newest_ms, out=newest)
        self.newest_ms = int(newest[-1])
        return newest - self.lateness_ms

    def idle_until(self, moment_ms: int) -> None:
        """The partition is read to its end and quiet: time itself moves its watermark.

        Args:
            moment_ms: an event from before this moment is not expected any more.
        """
        self.newest_ms = max(self.newest_ms, moment_ms)
