"""Numbers by cell and bin, the bins fixed, signed and logarithmic: see ``kernels/value_bins.py``."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np

from pipeline.core.accumulate.pairs import Pairs
from pipeline.core.events import Int32s, Int64s
from pipeline.core.kernels.value_bins import count_slots, place_in_bins


@dataclass(frozen=True, slots=True)
class BinnedPairs:
    """Pairs of a number and a cell, by slot: the slots are the distinct pairs of a cell and a bin.

    Attributes:
        slot: int32[m], each pair's slot.
        bins: int32[u], the bin of each slot in the order of cells, and rising in each cell.
        order: int64[u], the slots in that order.
        ends: int64[c + 1], the slots of cell i are from ``ends[i]`` to ``ends[i + 1]`` there.
        cells: int32[c], the index into ``Cells`` of each cell.
    """

    slot: Int32s
    bins: Int32s
    order: Int64s
    ends: Int64s
    cells: Int32s

    @classmethod
    def of(cls, numbers: Int64s, pairs: Pairs) -> Self:
        """Find the slots.

        Args:
            numbers: int64[k], bit patterns of finite doubles.
            pairs: which of them counts where.
        """
        slot, cell, bins = place_in_bins(numbers, pairs.at, pairs.cell)
        order = np.lexsort((bins, cell))
        ends = np.searchsorted(cell[order], np.arange(len(pairs.cells) + 1))
        return cls(slot, bins[order], order, ends, pairs.cells)

    def counts(self, sign: Int64s, at: Int32s) -> Int64s:
        """The pairs of each slot, int64[u], in order.

        Args:
            sign: int64[k], +1 or -1.
            at: int32[m], each pair's sign.
        """
        return count_slots(sign, at, self.slot, len(self.order))[self.order]

    def places(self) -> Iterator[tuple[int, slice]]:
        """Each cell that is paired with a number, and its slots in order."""
        for place, (start, end) in zip(self.cells.tolist(), pairwise(self.ends.tolist()), strict=True):
            if start < end:
                yield place, slice(start, end)
