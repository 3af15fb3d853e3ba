"""Sets of labels: how often the predicted set was exactly the true one."""

from typing import Self

import numpy as np

from pipeline.core.accumulate.pairs import task_pairs
from pipeline.core.events import Cells, Json, LabelChanges, Task

TASKS = frozenset({Task.MULTILABEL})
"""The tasks that it speaks of."""


class Sets:
    """The sets of one cell.

    Args:
        count: labelled predictions.
        exact: those whose set equals the label's.
    """

    __slots__ = ("count", "exact")

    def __init__(self, count: int = 0, exact: int = 0) -> None:
        self.count = count
        self.exact = exact

    def merge(self, other: Self) -> None:
        """Add another state.

        Args:
            other: the other state.
        """
        self.count += other.count
        self.exact += other.exact

    def is_zero(self) -> bool:
        """Whether every count has cancelled out."""
        return not (self.count or self.exact)

    def to_wire(self) -> Json:
        """``[count, exact]``."""
        return [self.count, self.exact]

    @classmethod
    def from_wire(cls, wire: Json) -> Self:
        """Read what ``to_wire`` wrote.

        Args:
            wire: the JSON value.

        Returns:
            The state.
        """
        return cls(*wire)


def fold_sets(changes: LabelChanges, cells: Cells) -> dict[int, Sets]:
    """Fold the contributions of labels to models that predict sets.

    Args:
        changes: the contributions.
        cells: their pairs.

    Returns:
        A state for each cell that changed.
    """
    pairs = task_pairs(cells, TASKS)
    size = len(pairs.cells)
    exact = np.where(changes.predicted == changes.label, changes.sign, 0)
    # Doubles hold these small integers exactly.
    counts = np.bincount(pairs.cell, changes.sign[pairs.at], size)
    hits = np.bincount(pairs.cell, exact[pairs.at], size)
    folded = zip(pairs.cells.tolist(), counts.tolist(), hits.tolist(), strict=True)
    return {cell: Sets(int(count), int(hit)) for cell, count, hit in folded if count or hit}
