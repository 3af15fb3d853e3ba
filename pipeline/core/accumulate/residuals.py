"""How a regression's errors are distributed: a quantile sketch of them with their signs (see ``buckets.py``).

Labels are corrected, so the sketch holds counts alone: no extremes, which could not be taken back. Errors below 2^-64
on either side of zero count as zero, those from 2^64 on in an outermost bucket; there are at most 16,387 buckets.
"""

import math
from typing import Self

import numpy as np

from pipeline.core.accumulate.buckets import bucket_value
from pipeline.core.accumulate.pairs import task_pairs
from pipeline.core.events import Cells, Int32s, Int64s, Json, LabelChanges, Task
from pipeline.core.kernels.regression import BELOW_FIRST, LAST_BUCKET, count_residuals

TASKS = frozenset({Task.REGRESSION})
"""The tasks that it speaks of."""

_NO_BUCKETS: Int32s = np.empty(0, np.int32)
_NO_COUNTS: Int64s = np.empty(0, np.int64)


class Residuals:
    """The errors (prediction minus label) of one cell.

    Many panes wait for their labels at once, so the sketch is two arrays: an eighth of what a dictionary takes. They
    are replaced, never changed.

    Attributes:
        buckets: int32[b], strictly rising.
        counts: int64[b], none of them zero.
    """

    __slots__ = ("buckets", "counts")

    def __init__(self, buckets: Int32s = _NO_BUCKETS, counts: Int64s = _NO_COUNTS) -> None:
        self.buckets = buckets
        self.counts = counts

    def merge(self, other: Self) -> None:
        """Add another state.

        Args:
            other: the other state.
        """
        if other.is_zero():
            return
        if self.is_zero():
            self.buckets, self.counts = other.buckets, other.counts
            return
        buckets = np.concatenate((self.buckets, other.buckets))
        order = np.argsort(buckets, kind="stable")  # two runs that rise already: one pass
        buckets, counts = buckets[order], np.concatenate((self.counts, other.counts))[order]
        first = np.flatnonzero(np.diff(buckets, prepend=buckets[0] - 1))
        counts = np.add.reduceat(counts, first)
        kept = counts != 0
        self.buckets, self.counts = buckets[first][kept], counts[kept]

    def is_zero(self) -> bool:
        """Whether every contribution has cancelled out."""
        return not len(self.buckets)

    def to_wire(self) -> Json:
        """``[bucket, count, …]``, buckets rising."""
        return np.column_stack((self.buckets, self.counts)).ravel().tolist()

    @classmethod
    def from_wire(cls, wire: Json) -> Self:
        """Read what ``to_wire`` wrote.

        Args:
            wire: the JSON value.

        Returns:
            The state.
        """
        pairs = np.array(wire, np.int64).reshape(-1, 2)
        return cls(pairs[:, 0].astype(np.int32), pairs[:, 1].copy())

    def ranked(self, *, sizes: bool) -> "Ranked":
        """The errors in their order.

        Args:
            sizes: their absolute values instead.

        Returns:
            What gives the error of any rank.
        """
        if not sizes:
            return Ranked(self.buckets, self.counts)
        order = np.argsort(np.abs(self.buckets), kind="stable")
        return Ranked(np.abs(self.buckets)[order], self.counts[order])


class Ranked:
    """Values by rank, each within ``RELATIVE_ERROR``.

    Args:
        buckets: int32[b], rising; one may come twice.
        counts: int64[b], their rows.
    """

    def __init__(self, buckets: Int32s, counts: Int64s) -> None:
        self._buckets = buckets
        self._ends = np.cumsum(counts)
        self.count = int(self._ends[-1]) if len(counts) else 0

    def at(self, rank: int) -> float:
        """The value of a rank.

        Args:
            rank: from 0 to ``count`` - 1.

        Returns:
            The value; infinite, with its sign, for one of 2^64 or more.
        """
        bucket = int(self._buckets[np.searchsorted(self._ends, rank, side="right")])
        if not bucket:
            return 0.0
        size = math.inf if abs(bucket) == LAST_BUCKET else bucket_value(abs(bucket) + BELOW_FIRST)
        return math.copysign(size, bucket)


def fold_residuals(changes: LabelChanges, cells: Cells) -> dict[int, Residuals]:
    """Fold the contributions of labels to regressions.

    Args:
        changes: the contributions.
        cells: their pairs.

    Returns:
        A state for each cell that changed.
    """
    pairs = task_pairs(cells, TASKS)
    if not len(pairs.cells):
        return {}
    with np.errstate(over="ignore"):
        # Rows of other tasks hold no doubles: only what is paired may be read as such.
        error = changes.predicted[pairs.at].view(np.float64) - changes.label[pairs.at].view(np.float64)
    at = np.arange(len(error), dtype=np.int32)
    cell, bucket, count = count_residuals(error.view(np.int64), changes.sign[pairs.at], at, pairs.cell)
    kept = np.flatnonzero(count)
    kept = kept[np.lexsort((bucket[kept], cell[kept]))]
    cell, bucket, count = cell[kept], bucket[kept], count[kept]
    touched, starts = np.unique(cell, return_index=True)
    ends = np.append(starts, len(cell))[1:]  # none where all has cancelled out
    return {
        int(pairs.cells[place]): Residuals(bucket[low:high].copy(), count[low:high].copy())
        for place, low, high in zip(touched.tolist(), starts.tolist(), ends.tolist(), strict=True)
    }
