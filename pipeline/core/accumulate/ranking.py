"""Rankings, compared with what their items turned out to be worth."""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Self

import numpy as np

from pipeline.core.accumulate.exact_sum import ExactSum, sum_squares, sum_values
from pipeline.core.accumulate.pairs import task_pairs
from pipeline.core.events import Cells, Json, LabelChanges, Task
from pipeline.core.kernels.ranking import TERMS, compare_rankings, count_rankings

TASKS = frozenset({Task.RANKING})
"""The tasks that it speaks of."""


@dataclass(slots=True)
class AtCutoff:
    """The first items of each ranking of one cell.

    Attributes:
        count: labelled predictions with a relevant item.
        hits: those with one among the first.
        ndcg: the sum of normalised discounted cumulative gains.
        precision: of shares of relevant items among the first.
        recall: of shares of the relevant items that are among the first.
        average_precision: of average precisions.
        ndcg_squares, precision_squares, recall_squares, average_precision_squares: of the squares of these.
    """

    count: int = 0
    hits: int = 0
    ndcg: ExactSum = field(default_factory=ExactSum)
    precision: ExactSum = field(default_factory=ExactSum)
    recall: ExactSum = field(default_factory=ExactSum)
    average_precision: ExactSum = field(default_factory=ExactSum)
    ndcg_squares: ExactSum = field(default_factory=ExactSum)
    precision_squares: ExactSum = field(default_factory=ExactSum)
    recall_squares: ExactSum = field(default_factory=ExactSum)
    average_precision_squares: ExactSum = field(default_factory=ExactSum)

    def merge(self, other: Self) -> None:
        """Add another cell's.

        Args:
            other: of the same cutoff.
        """
        self.count += other.count
        self.hits += other.hits
        for mine, others in zip(self.sums(), other.sums(), strict=True):
            mine.merge(others)

    def is_zero(self) -> bool:
        """Whether every contribution has cancelled out."""
        return not self.count and not self.hits and all(one.is_zero() for one in self.sums())

    def sums(self) -> Iterator[ExactSum]:
        """The sums, in the order of the attributes."""
        return (getattr(self, name) for name in _SUMS)


_SUMS = tuple(one.name for one in fields(AtCutoff))[2:]


@dataclass(slots=True)
class Ranking:
    """The rankings of one cell.

    Attributes:
        count: labelled predictions.
        relevant: those with a relevant item, whether it is ranked or not.
        reciprocal: the sum over these of the reciprocal rank of the first relevant item.
        reciprocal_squares: of the squares of these.
        cutoffs: what is said of the first items, by how many; none of them is zero. Each counts its own rows, so that
            states of other cutoffs can be merged.
    """

    count: int = 0
    relevant: int = 0
    reciprocal: ExactSum = field(default_factory=ExactSum)
    reciprocal_squares: ExactSum = field(default_factory=ExactSum)
    cutoffs: dict[int, AtCutoff] = field(default_factory=dict)

    def merge(self, other: Self) -> None:
        """Add another state.

        Args:
            other: the other state.
        """
        self.count += other.count
        self.relevant += other.relevant
        self.reciprocal.merge(other.reciprocal)
        self.reciprocal_squares.merge(other.reciprocal_squares)
        for cutoff, first in other.cutoffs.items():
            mine = self.cutoffs.setdefault(cutoff, AtCutoff())
            mine.merge(first)
            if mine.is_zero():
                del self.cutoffs[cutoff]

    def is_zero(self) -> bool:
        """Whether every contribution has cancelled out."""
        sums = self.reciprocal, self.reciprocal_squares
        return not (self.count or self.relevant or self.cutoffs) and all(one.is_zero() for one in sums)

    def to_wire(self) -> Json:
        """``[count, relevant, reciprocal, its squares, [cutoff, count, hits, sum, …], …]``, cutoffs rising."""
        firsts = [
            [cutoff, first.count, first.hits, *(one.to_wire() for one in first.sums())]
            for cutoff, first in sorted(self.cutoffs.items())
        ]
        return [self.count, self.relevant, self.reciprocal.to_wire(), self.reciprocal_squares.to_wire(), *firsts]

    @classmethod
    def from_wire(cls, wire: Json) -> Self:
        """Read what ``to_wire`` wrote.

        Args:
            wire: the JSON value.

        Returns:
            The state.
        """
        count, relevant, reciprocal, squares, *firsts = wire
        state = cls(count, relevant, ExactSum.from_wire(reciprocal), ExactSum.from_wire(squares))
        for cutoff, rows, hits, *sums in firsts:
            state.cutoffs[cutoff] = AtCutoff(rows, hits, *map(ExactSum.from_wire, sums))
        return state


def fold_ranking(changes: LabelChanges, cells: Cells) -> dict[int, Ranking]:
    """Fold the contributions of labels to models that rank.

    Args:
        changes: the contributions.
        cells: their pairs.

    Returns:
        A state for each cell that changed.
    """
    pairs = task_pairs(cells, TASKS)
    size, (guessed, stated) = len(pairs.cells), (changes.guessed, changes.stated)
    if not size or not len(guessed):
        return {}
    cutoffs = np.array(changes.cutoffs, np.int64)
    terms = np.empty((1 + TERMS * len(cutoffs), len(changes)))
    firsts, counts = np.empty(len(changes), np.int64), np.zeros((size, 2 + len(cutoffs)), np.int64)
    lists = guessed.starts, guessed.codes, stated.starts, stated.codes, stated.weights
    compare_rankings(*lists, cutoffs, terms, firsts)
    count_rankings(firsts, changes.sign, pairs.at, pairs.cell, cutoffs, counts)
    where = changes.sign, pairs.at, pairs.cell, size
    sums = list(zip(*(sum_values(term, *where) for term in terms), strict=True))
    squares = list(zip(*(sum_squares(term, *where) for term in terms), strict=True))
    states = {}
    for cell, rows, means, spreads in zip(pairs.cells.tolist(), counts.tolist(), sums, squares, strict=True):
        state = Ranking(rows[0], rows[1], means[0], spreads[0])
        for number, cutoff in enumerate(changes.cutoffs):
            of_cutoff = slice(1 + TERMS * number, 1 + TERMS * (number + 1))
            first = AtCutoff(rows[1], rows[2 + number], *means[of_cutoff], *spreads[of_cutoff])
            if not first.is_zero():
                state.cutoffs[cutoff] = first
        if not state.is_zero():
            states[cell] = state
    return states
