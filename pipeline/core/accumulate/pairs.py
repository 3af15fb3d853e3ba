"""The pairs of rows and cells that one family counts in one fold."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from pipeline.core.events import Cells, FeatureTable, Float64s, Int32s, Int64s, Task
from pipeline.core.family import State
from pipeline.core.kernels.pairs import narrow_pairs

S = TypeVar("S", bound=State)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of a place in what is counted and a cell, the cells numbered densely.

    Attributes:
        at: int32[m], the place of pair i.
        cell: int32[m], the dense number of its cell.
        cells: int32[u], the index into ``Cells`` of each dense number.
    """

    at: Int32s
    cell: Int32s
    cells: Int32s

    def places(self) -> Int64s:
        """The number of places a cell is paired with, int64[u]."""
        return np.bincount(self.cell, minlength=len(self.cells))


def all_pairs(cells: Cells) -> Pairs:
    """Every pair as it stands; the place is the row.

    Args:
        cells: the pairs of a batch.

    Returns:
        The pairs.
    """
    return Pairs(cells.row, cells.cell, np.arange(len(cells), dtype=np.int32))


def table_pairs(cells: Cells, table: FeatureTable, rows: int) -> Pairs:
    """The pairs of the rows that a feature table holds.

    Args:
        cells: the pairs of a batch.
        table: k rows of features.
        rows: the rows of the batch.

    Returns:
        Pairs whose place is a row of the table.
    """
    position = np.full(rows, -1, np.int32)
    position[table.rows] = np.arange(len(table.rows), dtype=np.int32)
    return Pairs(*narrow_pairs(cells.row, cells.cell, position, len(cells)))


def task_pairs(cells: Cells, tasks: Container[Task]) -> Pairs:
    """The pairs whose cell belongs to a model of certain tasks.

    Args:
        cells: the pairs of a batch.
        tasks: those whose pairs are kept.

    Returns:
        Pairs whose place is the row.
    """
    by_group = np.array([group.task in tasks for group in cells.groups] or [False])
    wanted = by_group[cells.group]
    if wanted.all():
        return all_pairs(cells)
    kept = wanted[cells.cell]
    numbers = np.cumsum(wanted, dtype=np.int32) - np.int32(1)
    return Pairs(cells.row[kept], numbers[cells.cell[kept]], np.flatnonzero(wanted).astype(np.int32))


def scored_pairs(pairs: Pairs, score: Float64s) -> tuple[Int64s, Pairs]:
    """The pairs whose row carries a score.

    Args:
        pairs: pairs whose place is the row.
        score: float64[n], NaN where absent.

    Returns:
        int64[k], the rows with a score that have a pair, rising; pairs whose place is one of the k.
    """
    scored = np.zeros(len(score), bool)
    scored[pairs.at] = True
    rows = np.flatnonzero(scored & ~np.isnan(score))
    position = np.full(len(score), -1, np.int32)
    position[rows] = np.arange(len(rows), dtype=np.int32)
    at, cell, touched = narrow_pairs(pairs.at, pairs.cell, position, len(pairs.cells))
    return rows, Pairs(at, cell, pairs.cells[touched])


def merge_into(states: dict[int, S], cells: Sequence[int], fresh: Sequence[S]) -> None:
    """Add one feature table's states; a group whose rows have too many names comes in several tables.

    Args:
        states: cell to state, changed in place.
        cells: k cells.
        fresh: k states; they may be kept.
    """
    for cell, state in zip(cells, fresh, strict=True):
        if cell in states:
            states[cell].merge(state)
        else:
            states[cell] = state
