"""Readings of a host's metric in one pane: count, exact sum, extremes and the last by time."""

from typing import Self

import numpy as np

from pipeline.core.accumulate.exact_sum import ExactSum, sum_values
from pipeline.core.events import Int32s, Json, Resources


class Readings:
    """The readings of one metric; at least one."""

    __slots__ = ("count", "greatest", "last", "least", "total")

    def __init__(self, count: int, total: ExactSum, least: float, greatest: float, last: tuple[int, float]) -> None:
        self.count = count
        self.total = total
        self.least = least
        self.greatest = greatest
        self.last = last

    def merge(self, other: Self) -> None:
        """Add other readings; of two last ones at the same time the greater stays, so that order does not matter."""
        self.count += other.count
        self.total.merge(other.total)
        self.least = min(self.least, other.least)
        self.greatest = max(self.greatest, other.greatest)
        self.last = max(self.last, other.last)

    def to_wire(self) -> Json:
        """``[count, sum, least, greatest, last time, last value]``."""
        return [self.count, self.total.to_wire(), self.least, self.greatest, *self.last]

    @classmethod
    def from_wire(cls, wire: Json) -> Self:
        """Read what ``to_wire`` wrote."""
        count, total, least, greatest, last_ms, last = wire
        return cls(count, ExactSum.from_wire(total), least, greatest, (last_ms, last))

    def report(self) -> dict[str, float]:
        """The mean, least, greatest and last reading."""
        return {
            "mean": self.total.divided_by(self.count),
            "min": self.least,
            "max": self.greatest,
            "last": self.last[1],
        }


def fold_resources(resources: Resources, rows: Int32s, pane_ms: int) -> dict[tuple[str, str, int], Readings]:
    """Fold resource readings by host, metric and pane.

    Args:
        resources: the decoded readings.
        rows: int32[k], the rows to fold.
        pane_ms: the length of a pane.

    Returns:
        (host, metric, pane start) to its readings.
    """
    if not len(rows):
        return {}
    host, metric = resources.host[rows].astype(np.int64), resources.metric[rows]
    pane = resources.timestamp_ms[rows] // pane_ms * pane_ms
    value, time_ms = resources.value[rows], resources.timestamp_ms[rows]
    order = np.lexsort((value, time_ms, pane, metric, host))
    host, metric, pane = host[order], metric[order], pane[order]
    value, time_ms = value[order], time_ms[order]
    new = np.ones(len(order), bool)
    new[1:] = (host[1:] != host[:-1]) | (metric[1:] != metric[:-1]) | (pane[1:] != pane[:-1])
    starts = np.flatnonzero(new)
    ends = np.append(starts[1:], len(order)) - 1
    cell = (np.cumsum(new) - 1).astype(np.int32)
    everything = np.arange(len(order), dtype=np.int32)
    totals = sum_values(value, np.ones(len(order), np.int64), everything, cell, len(starts))
    least, greatest = np.minimum.reduceat(value, starts), np.maximum.reduceat(value, starts)
    return {
        (resources.hosts[host[first]], resources.metrics[metric[first]], int(pane[first])): Readings(
            int(last - first) + 1, total, float(low), float(high), (int(time_ms[last]), float(value[last]))
        )
        for first, last, total, low, high in zip(starts, ends, totals, least, greatest, strict=True)
    }
