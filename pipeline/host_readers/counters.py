"""Rates from counters that only rise."""

from collections.abc import Mapping


class Counters:
    """Remembers the last reading of some counters and gives their growth per second.

    A counter has no rate on its first reading, after a reset (it fell), or while no time has passed.
    """

    def __init__(self) -> None:
        self._values: dict[str, float] = {}
        self._read_at_ms = 0.0

    def rates(self, now_ms: float, values: Mapping[str, float]) -> dict[str, float]:
        """Take a reading.

        Args:
            now_ms: when it was taken, on a clock that never jumps.
            values: counter names to counts.

        Returns:
            The names that have a rate, to their growth per second.
        """
        elapsed_s = (now_ms - self._read_at_ms) / 1_000
        previous = self._values
        self._values, self._read_at_ms = dict(values), now_ms
        if elapsed_s <= 0:
            return {}
        return {
            name: (value - previous[name]) / elapsed_s
            for name, value in values.items()
            if name in previous and value >= previous[name]
        }
