"""Numbers: exact sums over the rows of a regression, from which its metrics follow."""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Self

import numpy as np

from pipeline.core.accumulate.exact_sum import ExactSum, sum_squares, sum_values
from pipeline.core.accumulate.pairs import task_pairs
from pipeline.core.events import Cells, Json, LabelChanges, Task
from pipeline.core.kernels.regression import FLAGS, count_flags, error_terms

TASKS = frozenset({Task.REGRESSION})
"""The tasks that it speaks of."""


@dataclass(slots=True)
class Errors:
    """The errors (prediction minus label) of one cell.

    What is beyond the doubles is in none of the sums, and counted instead.

    Attributes:
        count: labelled predictions.
        beyond: those whose error is beyond the doubles.
        beyond_squares: those whose error's square is.
        beyond_ratios: those whose error's share of the label is.
        beyond_logs: those where prediction or label is -1 or less.
        total: the sum of the errors.
        sizes: of their absolute values.
        squares: of their squares.
        fourth: of the squares of their squares, which are rounded before they are squared again.
        labels: of the labels.
        label_squares: of their squares.
        ratios: of each absolute error over the label's absolute value.
        symmetric: of each absolute error over the mean of the absolute values of prediction and label.
        log_squares: of the squared differences of log(1 + prediction) and log(1 + label).
    """

    count: int = 0
    beyond: int = 0
    beyond_squares: int = 0
    beyond_ratios: int = 0
    beyond_logs: int = 0
    total: ExactSum = field(default_factory=ExactSum)
    sizes: ExactSum = field(default_factory=ExactSum)
    squares: ExactSum = field(default_factory=ExactSum)
    fourth: ExactSum = field(default_factory=ExactSum)
    labels: ExactSum = field(default_factory=ExactSum)
    label_squares: ExactSum = field(default_factory=ExactSum)
    ratios: ExactSum = field(default_factory=ExactSum)
    symmetric: ExactSum = field(default_factory=ExactSum)
    log_squares: ExactSum = field(default_factory=ExactSum)

    def merge(self, other: Self) -> None:
        """Add another state.

        Args:
            other: the other state.
        """
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for mine, others in zip(self._sums(), other._sums(), strict=True):
            mine.merge(others)

    def is_zero(self) -> bool:
        """Whether every contribution has cancelled out."""
        return not any(getattr(self, name) for name in _COUNTS) and all(one.is_zero() for one in self._sums())

    def to_wire(self) -> Json:
        """The counts and then the sums, in the order of the attributes."""
        return [*(getattr(self, name) for name in _COUNTS), *(one.to_wire() for one in self._sums())]

    @classmethod
    def from_wire(cls, wire: Json) -> Self:
        """Read what ``to_wire`` wrote.

        Args:
            wire: the JSON value.

        Returns:
            The state.

        Raises:
            ValueError: it is of a release that kept fewer sums.
        """
        if len(wire) != len(_COUNTS) + len(_SUMS):
            raise ValueError(f"the state of a regression has {len(_COUNTS) + len(_SUMS)} parts, not {len(wire)}")
        return cls(*wire[: len(_COUNTS)], *map(ExactSum.from_wire, wire[len(_COUNTS) :]))

    def _sums(self) -> Iterator[ExactSum]:
        return (getattr(self, name) for name in _SUMS)


_COUNTS = tuple(one.name for one in fields(Errors))[: 1 + FLAGS]
_SUMS = tuple(one.name for one in fields(Errors))[1 + FLAGS :]


def fold_errors(changes: LabelChanges, cells: Cells) -> dict[int, Errors]:
    """Fold the contributions of labels to regressions.

    Args:
        changes: the contributions.
        cells: their pairs.

    Returns:
        A state for each cell that changed.
    """
    pairs = task_pairs(cells, TASKS)
    size = len(pairs.cells)
    if not size:
        return {}
    # Rows of other tasks hold no doubles: only what is paired may be read as such.
    sign = changes.sign[pairs.at]
    predicted, label = changes.predicted[pairs.at].view(np.float64), changes.label[pairs.at].view(np.float64)
    at = np.arange(len(label), dtype=np.int32)
    terms, flags = np.empty((6, len(label))), np.empty(len(label), np.int64)
    error_terms(predicted, label, terms, flags)
    counts = np.zeros((size, 1 + FLAGS), np.int64)
    count_flags(flags, sign, at, pairs.cell, counts)
    error, sizes, squares, ratios, symmetric, logs = terms
    where = sign, at, pairs.cell, size
    sums = (
        sum_values(error, *where),
        sum_values(sizes, *where),
        sum_squares(error, *where),
        sum_squares(squares, *where),
        sum_values(label, *where),
        sum_squares(label, *where),
        sum_values(ratios, *where),
        sum_values(symmetric, *where),
        sum_squares(logs, *where),
    )
    states = {}
    for cell, numbers, *of_cell in zip(pairs.cells.tolist(), counts.tolist(), *sums, strict=True):
        state = Errors(*numbers, *of_cell)
        if not state.is_zero():
            states[cell] = state
    return states
