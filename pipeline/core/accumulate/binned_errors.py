"""The errors of a regression by what was predicted: which errors are to be expected is learned from them.

Only rows of everything are kept, not those of segments: what is learned is the same for all of them. Errors below 2^-64
in size count as zero, rows with one of 2^64 or more are left out: so a state has 2,051 bins of 110 bytes at most.
"""

from typing import Self

import numpy as np
from numpy.typing import NDArray

from pipeline.core.accumulate.exact_sum import square_limbs, value_limbs
from pipeline.core.accumulate.exact_sums import ExactSums
from pipeline.core.accumulate.pairs import Pairs, task_pairs
from pipeline.core.accumulate.value_bins import BinnedPairs
from pipeline.core.events import NO_SEGMENT, Cells, Int32s, Int64s, Json, LabelChanges, Task

TASKS = frozenset({Task.REGRESSION})
"""The tasks that it speaks of."""

_BEYOND = 2.0**64
_NO_BINS: Int32s = np.empty(0, np.int32)
_NO_COUNTS: Int64s = np.empty(0, np.int64)


class BinnedErrors:
    """The errors of one cell, by the bin of the prediction.

    Args:
        bins: int32[b], rising. The state keeps this and the rest.
        counts: int64[b], labelled rows.
        sizes: b sums of the errors' absolute values.
        squares: b sums of their squares.
    """

    __slots__ = ("bins", "counts", "sizes", "squares")

    def __init__(
        self,
        bins: Int32s = _NO_BINS,
        counts: Int64s = _NO_COUNTS,
        sizes: ExactSums | None = None,
        squares: ExactSums | None = None,
    ) -> None:
        self.bins = bins
        self.counts = counts
        self.sizes = sizes or ExactSums.zero(0)
        self.squares = squares or ExactSums.zero(0)

    def merge(self, other: Self) -> None:
        """Add another state.

        Args:
            other: the other state.
        """
        if not len(other.bins):
            return
        if not np.array_equal(self.bins, other.bins):
            bins = np.union1d(self.bins, other.bins)
            mine, other = self._spread(bins), other._spread(bins)
            self.bins, self.counts, self.sizes, self.squares = bins, mine.counts, mine.sizes, mine.squares
        self.counts = self.counts + other.counts
        self.sizes.merge(other.sizes)
        self.squares.merge(other.squares)

    def is_zero(self) -> bool:
        """Whether every contribution has cancelled out."""
        return not self._used().any()

    def to_wire(self) -> Json:
        """``[bins, counts, sizes, squares]``, without the bins in which all has cancelled out."""
        used = self._used()
        kept = self if used.all() else self.taken(np.flatnonzero(used))
        return [kept.bins.tolist(), kept.counts.tolist(), kept.sizes.to_wire(), kept.squares.to_wire()]

    @classmethod
    def from_wire(cls, wire: Json) -> Self:
        """Read what ``to_wire`` wrote.

        Args:
            wire: the JSON value.

        Returns:
            The state.
        """
        bins, counts, sizes, squares = wire
        sums = ExactSums.from_wire(sizes, len(bins)), ExactSums.from_wire(squares, len(bins))
        return cls(np.array(bins, np.int32), np.array(counts, np.int64), *sums)

    def taken(self, rows: Int64s) -> Self:
        """Some of the bins, as a state of their own.

        Args:
            rows: int64[k], which, rising.
        """
        return type(self)(self.bins[rows], self.counts[rows], self.sizes.taken(rows), self.squares.taken(rows))

    def _spread(self, bins: Int32s) -> Self:
        """The same among more bins, as a state of its own."""
        rows = np.searchsorted(bins, self.bins)
        counts = np.zeros(len(bins), np.int64)
        counts[rows] = self.counts
        return type(self)(bins, counts, self.sizes.spread(rows, len(bins)), self.squares.spread(rows, len(bins)))

    def _used(self) -> NDArray[np.bool_]:
        # Counts alone do not tell: of two rows in one bin, one may be added and the other taken back.
        used: NDArray[np.bool_] = (self.counts != 0) | self.sizes.used() | self.squares.used()
        return used


def fold_binned_errors(changes: LabelChanges, cells: Cells) -> dict[int, BinnedErrors]:
    """Fold the contributions of labels to regressions.

    Args:
        changes: the contributions.
        cells: their pairs.

    Returns:
        A state for each cell of everything that changed.
    """
    pairs = _of_everything(task_pairs(cells, TASKS), cells)
    with np.errstate(over="ignore"):
        # Rows of other tasks hold no doubles: only what is paired may be read as such.
        errors = changes.predicted[pairs.at].view(np.float64) - changes.label[pairs.at].view(np.float64)
    near = np.abs(errors) < _BEYOND
    pairs, sizes = Pairs(pairs.at[near], pairs.cell[near], pairs.cells), np.abs(errors[near])
    if not len(sizes):
        return {}
    sizes[sizes < 1 / _BEYOND] = 0.0
    binned = BinnedPairs.of(changes.predicted, pairs)
    counts = binned.counts(changes.sign, pairs.at)
    where = changes.sign[pairs.at], np.arange(len(sizes), dtype=np.int32), binned.slot, len(counts)
    low, limbs = value_limbs(sizes, *where)
    square_low, more_limbs = square_limbs(sizes, *where)
    states = {}
    for place, own in binned.places():
        slots = binned.order[own]
        sums = ExactSums(low, limbs[slots], len(sizes)), ExactSums(square_low, more_limbs[slots], len(sizes))
        state = BinnedErrors(binned.bins[own].copy(), counts[own].copy(), *sums)
        if not state.is_zero():
            states[place] = state
    return states


def _of_everything(pairs: Pairs, cells: Cells) -> Pairs:
    """The pairs without those of segments."""
    whole = np.array([cells.segment[cell] == NO_SEGMENT for cell in pairs.cells.tolist()] or [True])
    if whole.all():
        return pairs
    cell, kept = np.full(len(whole), -1, np.int32), np.flatnonzero(whole)
    cell[kept] = np.arange(len(kept), dtype=np.int32)
    taken = whole[pairs.cell]
    return Pairs(pairs.at[taken], cell[pairs.cell[taken]], pairs.cells[kept])
