"""Plain counts by name: predictions, duplicates, late, labels, labelled, mismatched, unmatched_labels, unbinned."""

from collections.abc import Mapping
from typing import Self

import numpy as np

from pipeline.core.events import Cells, Int64s, Json


class Counts:
    """How often each thing happened in one cell; signed, so that a correction can take back."""

    def __init__(self, counts: Mapping[str, int] | None = None) -> None:
        self.counts: dict[str, int] = dict(counts or {})

    def __getitem__(self, name: str) -> int:
        """The count of a name; 0 where nothing was counted."""
        return self.counts.get(name, 0)

    def merge(self, other: Self) -> None:
        """Add another state's counts to these."""
        for name, count in other.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count

    def to_wire(self) -> Json:
        """The counts that are not zero, by name."""
        return {name: count for name, count in sorted(self.counts.items()) if count}

    @classmethod
    def from_wire(cls, value: Json) -> Self:
        """Read what ``to_wire`` wrote."""
        return cls(value)

    def is_zero(self) -> bool:
        """Whether every count is zero."""
        return not any(self.counts.values())


def fold_counts(cells: Cells, weights: Mapping[str, Int64s | None]) -> dict[int, Counts]:
    """Count rows into their cells.

    Args:
        cells: the rows' cells.
        weights: name to int64[n], what each row adds; None adds one a row.

    Returns:
        A state for each cell.
    """
    states = [Counts() for _ in range(len(cells))]
    for name, weight in weights.items():
        per_pair = None if weight is None else weight[cells.row].astype(np.float64)
        # float64 counts exactly up to 2^53, far beyond a batch.
        totals = np.bincount(cells.cell, per_pair, minlength=len(cells)).astype(np.int64)
        for state, total in zip(states, totals.tolist(), strict=True):
            if total:
                state.counts[name] = total
    return dict(enumerate(states))
