"""The probabilities that a multiclass model gives its classes, compared with the class that turned out to be true."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from pipeline.core.accumulate.exact_sum import ExactSum, sum_squares, sum_values
from pipeline.core.accumulate.pairs import Pairs, task_pairs
from pipeline.core.accumulate.scores import Scores, fold_classes, halve_scores
from pipeline.core.events import Cells, Int64s, Json, LabelChanges, Task
from pipeline.core.kernels.class_scores import MAX_RANK, compare_scores, count_ranks
from pipeline.core.kernels.pairs import narrow_pairs

TASKS = frozenset({Task.MULTICLASS})
"""The tasks that this is about."""

RIGHT, WRONG = "1", "0"
"""The names of the two classes that ``ClassScores.sureness`` is about."""


@dataclass(slots=True)
class ClassScores:
    """The scored rows of one cell.

    Attributes:
        count: labelled predictions with scores.
        log_loss: the sum of -log of the true class's probability.
        brier: of squared distances of the probabilities from 1 for the true class and 0 for the others.
        log_loss_squares, brier_squares: of the squares of these.
        ranks: how often the true class had each rank, none of them zero; those beyond ``MAX_RANK`` share the next.
        sureness: the probabilities of the predicted classes, by whether they were right.
    """

    count: int = 0
    log_loss: ExactSum = field(default_factory=ExactSum)
    brier: ExactSum = field(default_factory=ExactSum)
    log_loss_squares: ExactSum = field(default_factory=ExactSum)
    brier_squares: ExactSum = field(default_factory=ExactSum)
    ranks: dict[int, int] = field(default_factory=dict)
    sureness: Scores = field(default_factory=Scores)

    def merge(self, other: Self) -> None:
        """Add another state.

        Args:
            other: the other state.
        """
        self.count += other.count
        for mine, others in zip(self._sums(), other._sums(), strict=True):
            mine.merge(others)
        for rank, rows in other.ranks.items():
            self.ranks[rank] = self.ranks.get(rank, 0) + rows
            if not self.ranks[rank]:
                del self.ranks[rank]
        self.sureness.merge(other.sureness)

    def is_zero(self) -> bool:
        """Whether every contribution has cancelled out."""
        is_zero = not (self.count or self.ranks) and self.sureness.is_zero()
        return is_zero and all(one.is_zero() for one in self._sums())

    def to_wire(self) -> Json:
        """``[count, log_loss, brier, their squares, [rank, rows, …], sureness]``, ranks rising."""
        ranks = [number for pair in sorted(self.ranks.items()) for number in pair]
        return [self.count, *(one.to_wire() for one in self._sums()), ranks, self.sureness.to_wire()]

    @classmethod
    def from_wire(cls, wire: Json) -> Self:
        """Read what ``to_wire`` wrote.

        Args:
            wire: the JSON value.

        Returns:
            The state.
        """
        count, *sums, ranks, sureness = wire
        log_loss, brier, log_loss_squares, brier_squares = map(ExactSum.from_wire, sums)
        state = cls(count, log_loss, brier, log_loss_squares, brier_squares)
        state.ranks = dict(zip(ranks[::2], ranks[1::2], strict=True))
        state.sureness = Scores.from_wire(sureness)
        return state

    def _sums(self) -> tuple[ExactSum, ...]:
        return self.log_loss, self.brier, self.log_loss_squares, self.brier_squares


def halve_class_scores(wire: Json) -> tuple[Json, Json] | None:
    """Cut a wire value in two that merge to the same.

    Args:
        wire: what ``ClassScores.to_wire`` wrote.

    Returns:
        The two; None where all scores are in one part of a bin.
    """
    halves = halve_scores(wire[-1])
    return halves and ([*wire[:-1], halves[0]], [*ClassScores().to_wire()[:-1], halves[1]])


def fold_class_scores(changes: LabelChanges, cells: Cells) -> dict[int, ClassScores]:
    """Fold the contributions of labels to multiclass models that give scores.

    Args:
        changes: the contributions.
        cells: their pairs.

    Returns:
        A state for each cell that changed.
    """
    pairs = task_pairs(cells, TASKS)
    if not len(pairs.at) or not len(changes.guessed):
        return {}
    lists, count = changes.guessed, len(changes)
    terms, ranks, sure = np.empty((2, count)), np.empty(count, np.int64), np.empty(count)
    compare_scores(lists.starts, lists.codes, lists.weights, changes.label, terms, ranks, sure)
    scored = _narrowed(pairs, np.where(ranks > 0, np.arange(count), -1))
    size = len(scored.cells)
    if not size:
        return {}
    where = changes.sign, scored.at, scored.cell, size
    counts = np.zeros((size, MAX_RANK + 2), np.int64)
    count_ranks(ranks, *where[:3], counts)
    sums = [sum_values(term, *where) for term in terms] + [sum_squares(term, *where) for term in terms]
    states = {}
    for cell, (rows, *by_rank), of_cell in zip(
        scored.cells.tolist(), counts.tolist(), zip(*sums, strict=True), strict=True
    ):
        states[cell] = ClassScores(rows, *of_cell)
        states[cell].ranks = {rank: one for rank, one in enumerate(by_rank, 1) if one}
    _add_sureness(states, changes, pairs, sure)
    return {cell: state for cell, state in states.items() if not state.is_zero()}


def _add_sureness(states: dict[int, ClassScores], changes: LabelChanges, pairs: Pairs, sure: np.ndarray) -> None:
    rows = np.flatnonzero(~np.isnan(sure))
    position = np.full(len(sure), -1, np.int64)
    position[rows] = np.arange(len(rows))
    kept = _narrowed(pairs, position)
    is_right = (changes.predicted == changes.label)[rows]
    slot = 2 * kept.cell + is_right[kept.at]
    score = sure[rows].astype(np.float32).astype(np.float64)
    slots = 2 * len(kept.cells)
    for number, one in enumerate(fold_classes(score, changes.sign[rows], kept.at, slot.astype(np.int32), slots)):
        if not one.is_zero():
            states[int(kept.cells[number // 2])].sureness.classes[RIGHT if number % 2 else WRONG] = one


def _narrowed(pairs: Pairs, position: Int64s) -> Pairs:
    """The pairs of rows that have a position, which becomes their place; their cells as ``Cells`` numbers them."""
    at, cell, touched = narrow_pairs(pairs.at, pairs.cell, position.astype(np.int32), len(pairs.cells))
    return Pairs(at, cell, pairs.cells[touched])
