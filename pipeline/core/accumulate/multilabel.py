"""Sets of labels, compared label by label and row by row."""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from itertools import starmap
from typing import Self

import numpy as np

from pipeline.core.accumulate.exact_sum import ExactSum, sum_squares, sum_values
from pipeline.core.accumulate.pairs import task_pairs
from pipeline.core.events import Cells, Json, LabelChanges, Task
from pipeline.core.kernels.multilabel import COUNTS, MOMENTS, compare_sets, count_labels, count_sets

TASKS = frozenset({Task.MULTILABEL})
"""The tasks that it speaks of."""

Margins = tuple[int, int, int]
"""Of one label: the rows where it is predicted and true, where it is predicted, where it is true."""


@dataclass(slots=True)
class Multilabel:
    """The sets of one cell.

    Attributes:
        count: labelled predictions.
        guessed: those with a predicted label.
        true: those with a true one.
        either: those with one or the other.
        hits_hits, hits_guesses, hits_truths, guesses_guesses, guesses_truths, truths_truths: sums over the rows of the
            products of their numbers of labels predicted right, predicted, true.
        precision: the sum of each row's share of right labels among those predicted.
        recall: of the share of found labels among the true ones.
        f1: of the harmonic mean of both.
        jaccard: of the share of right labels among those predicted or true.
        precision_squares, recall_squares, f1_squares, jaccard_squares: of the squares of these.
        labels: each label's rows, none of them all zero.
    """

    count: int = 0
    guessed: int = 0
    true: int = 0
    either: int = 0
    hits_hits: int = 0
    hits_guesses: int = 0
    hits_truths: int = 0
    guesses_guesses: int = 0
    guesses_truths: int = 0
    truths_truths: int = 0
    precision: ExactSum = field(default_factory=ExactSum)
    recall: ExactSum = field(default_factory=ExactSum)
    f1: ExactSum = field(default_factory=ExactSum)
    jaccard: ExactSum = field(default_factory=ExactSum)
    precision_squares: ExactSum = field(default_factory=ExactSum)
    recall_squares: ExactSum = field(default_factory=ExactSum)
    f1_squares: ExactSum = field(default_factory=ExactSum)
    jaccard_squares: ExactSum = field(default_factory=ExactSum)
    labels: dict[str, Margins] = field(default_factory=dict)

    def merge(self, other: Self) -> None:
        """Add another state.

        Args:
            other: the other state.
        """
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for mine, others in zip(self._sums(), other._sums(), strict=True):
            mine.merge(others)
        for label, (hits, guesses, truths) in other.labels.items():
            before = self.labels.get(label, (0, 0, 0))
            total = (before[0] + hits, before[1] + guesses, before[2] + truths)
            if any(total):
                self.labels[label] = total
            else:
                del self.labels[label]

    def is_zero(self) -> bool:
        """Whether every contribution has cancelled out."""
        is_zero = not self.labels and not any(getattr(self, name) for name in _COUNTS)
        return is_zero and all(one.is_zero() for one in self._sums())

    def to_wire(self) -> Json:
        """``[counts, sums, [label, …], [hits, guesses, truths, …]]``, the first two in the order of the attributes."""
        names = sorted(self.labels)
        return [
            [getattr(self, name) for name in _COUNTS],
            [one.to_wire() for one in self._sums()],
            names,
            [rows for name in names for rows in self.labels[name]],
        ]

    @classmethod
    def from_wire(cls, wire: Json) -> Self:
        """Read what ``to_wire`` wrote.

        Args:
            wire: the JSON value.

        Returns:
            The state.
        """
        counts, sums, names, flat = wire
        margins = zip(flat[::3], flat[1::3], flat[2::3], strict=True)
        state = cls(*counts, *map(ExactSum.from_wire, sums))
        state.labels = dict(zip(names, margins, strict=True))
        return state

    def _sums(self) -> Iterator[ExactSum]:
        return (getattr(self, name) for name in _SUMS)


_COUNTS = tuple(one.name for one in fields(Multilabel))[: COUNTS + MOMENTS]
_SUMS = tuple(one.name for one in fields(Multilabel))[COUNTS + MOMENTS : -1]


def halve_multilabel(wire: Json) -> tuple[Json, Json] | None:
    """Cut a wire value in two that merge to the same.

    Args:
        wire: what ``Multilabel.to_wire`` wrote.

    Returns:
        The two; None where there is one label at most.
    """
    counts, sums, names, flat = wire
    middle = len(names) // 2
    if not middle:
        return None
    empty = Multilabel().to_wire()
    return [counts, sums, names[:middle], flat[: 3 * middle]], [*empty[:2], names[middle:], flat[3 * middle :]]


def fold_multilabel(changes: LabelChanges, cells: Cells) -> dict[int, Multilabel]:
    """Fold the contributions of labels to models that predict sets.

    Args:
        changes: the contributions.
        cells: their pairs.

    Returns:
        A state for each cell that changed.
    """
    pairs = task_pairs(cells, TASKS)
    size = len(pairs.cells)
    guessed, stated = changes.guessed, changes.stated
    if not size or not len(guessed):
        return {}
    sets = guessed.starts, guessed.codes, stated.starts, stated.codes
    sizes, terms = np.empty((3, len(changes)), np.int64), np.empty((4, len(changes)))
    compare_sets(*sets, sizes, terms)
    counts = np.zeros((size, COUNTS + MOMENTS), np.int64)
    count_sets(sizes, changes.sign, pairs.at, pairs.cell, counts)
    where = changes.sign, pairs.at, pairs.cell, size
    sums = [sum_values(term, *where) for term in terms] + [sum_squares(term, *where) for term in terms]
    states = list(starmap(Multilabel, (one for one in zip(*counts.T.tolist(), *sums, strict=True))))
    width = len(changes.classes)
    keys, rows = count_labels(*sets, changes.sign, pairs.at, pairs.cell, width)
    for key, margins in zip(keys.tolist(), rows.tolist(), strict=True):
        if any(margins):
            cell, label = divmod(key, width)
            states[cell].labels[changes.classes[label]] = tuple(margins)
    return {cell: state for cell, state in zip(pairs.cells.tolist(), states, strict=True) if not state.is_zero()}
