"""Numbers: exact sums of a regression's errors, of their sizes and of their squares."""

from typing import Self

import numpy as np

from pipeline.core.accumulate.exact_sum import ExactSum, sum_squares, sum_values
from pipeline.core.accumulate.pairs import task_pairs
from pipeline.core.events import Cells, Json, LabelChanges, Task


class Errors:
    """The errors (prediction minus label) of one cell.

    Args:
        count: labelled predictions.
        beyond: those whose error is beyond the doubles; it is in none of the sums.
        total: the sum of the errors.
        sizes: the sum of their absolute values.
        squares: the sum of their squares.
    """

    __slots__ = ("beyond", "count", "sizes", "squares", "total")

    def __init__(
        self,
        count: int = 0,
        beyond: int = 0,
        total: ExactSum | None = None,
        sizes: ExactSum | None = None,
        squares: ExactSum | None = None,
    ) -> None:
        self.count = count
        self.beyond = beyond
        self.total = total or ExactSum()
        self.sizes = sizes or ExactSum()
        self.squares = squares or ExactSum()

    def merge(self, other: Self) -> None:
        """Add another state.

        Args:
            other: the other state.
        """
        self.count += other.count
        self.beyond += other.beyond
        self.total.merge(other.total)
        self.sizes.merge(other.sizes)
        self.squares.merge(other.squares)

    def is_zero(self) -> bool:
        """Whether every contribution has cancelled out."""
        sums = (self.total, self.sizes, self.squares)
        return not (self.count or self.beyond) and all(one.is_zero() for one in sums)

    def to_wire(self) -> Json:
        """``[count, beyond, total, sizes, squares]``."""
        return [self.count, self.beyond, self.total.to_wire(), self.sizes.to_wire(), self.squares.to_wire()]

    @classmethod
    def from_wire(cls, wire: Json) -> Self:
        """Read what ``to_wire`` wrote.

        Args:
            wire: the JSON value.

        Returns:
            The state.
        """
        count, beyond, *sums = wire
        return cls(count, beyond, *(ExactSum.from_wire(one) for one in sums))


def fold_errors(changes: LabelChanges, cells: Cells) -> dict[int, Errors]:
    """Fold the contributions of labels to regressions.

    Args:
        changes: the contributions.
        cells: their pairs.

    Returns:
        A state for each cell that changed.
    """
    pairs = task_pairs(cells, lambda task: task is Task.REGRESSION)
    size = len(pairs.cells)
    if not size:
        return {}
    # Rows of other tasks hold no doubles: only what is paired may be read as such.
    sign = changes.sign[pairs.at]
    with np.errstate(over="ignore", invalid="ignore"):
        error = changes.predicted[pairs.at].view(np.float64) - changes.label[pairs.at].view(np.float64)
    at = np.arange(len(error), dtype=np.int32)
    # Doubles hold these small integers exactly.
    counts = np.bincount(pairs.cell, sign, size).tolist()
    beyond = np.bincount(pairs.cell, np.where(np.isfinite(error), 0, sign), size).tolist()
    totals = sum_values(error, sign, at, pairs.cell, size)
    sizes = sum_values(np.abs(error), sign, at, pairs.cell, size)
    squares = sum_squares(error, sign, at, pairs.cell, size)
    states = {}
    for index, cell in enumerate(pairs.cells.tolist()):
        state = Errors(int(counts[index]), int(beyond[index]), totals[index], sizes[index], squares[index])
        if not state.is_zero():
            states[cell] = state
    return states
