"""How sure a multiclass model was of what it predicted, with or without labels: integers in coarse bins, by class.

Quality is estimated from them before there are labels. ``kernels/confidences.py`` says what the bins are; a class takes
at most ``CONFIDENCE_KEYS`` of them, and none while the model gives it less than half a unit.
"""

from typing import Self

import numpy as np

from pipeline.core.accumulate.delays import NO_CLASS
from pipeline.core.accumulate.key_counts import KeyCounts
from pipeline.core.accumulate.pairs import task_pairs
from pipeline.core.accumulate.predicted_scores import PredictedScores
from pipeline.core.events import Cells, Json, Predictions, Task
from pipeline.core.family import References
from pipeline.core.kernels.confidences import (
    BELOW_FIRST,
    PLACE_SHIFT,
    count_confidences,
    find_sure,
    order_by_cell,
)
from pipeline.core.kernels.pairs import narrow_pairs

TASKS = frozenset({Task.MULTICLASS})
"""The tasks that it speaks of."""

MAX_CLASSES = 1_000
"""Classes that are counted apart, as many as a row may list: those whose names are least, for they are among the least
wherever they are, so that the order of merging decides nothing."""


class Confidences(PredictedScores):
    """The scored predictions of one cell.

    ``classes`` holds what is counted of each class that was listed; of those beyond ``MAX_CLASSES`` together, under
    ``NO_CLASS``.
    """

    __slots__ = ()

    def merge(self, other: Self) -> None:
        """Add another state.

        Args:
            other: the other state.
        """
        super().merge(other)
        self.bound()

    def bound(self) -> None:
        """Put the classes together that are too many."""
        if len(self.classes) <= MAX_CLASSES:
            return
        rest = KeyCounts()
        for name in sorted(self.classes.keys() - {NO_CLASS})[MAX_CLASSES:]:
            rest.merge(self.classes.pop(name))
        if not rest.is_zero():
            self.classes.setdefault(NO_CLASS, KeyCounts()).merge(rest)


def halve_confidences(wire: Json) -> tuple[Json, Json] | None:
    """Cut a wire value in two that merge to the same.

    Args:
        wire: what ``Confidences.to_wire`` wrote.

    Returns:
        The two, of half of the classes each; None where there is one class, which is small.
    """
    half = len(wire) // 4 * 2
    return (wire[:half], wire[half:]) if half else None


def fold_confidences(predictions: Predictions, cells: Cells, references: References) -> dict[int, Confidences]:  # noqa: ARG001 - every fold of predictions is called alike
    """Fold the scores of a batch.

    Args:
        predictions: the batch.
        cells: its pairs.
        references: not needed here.

    Returns:
        A state for each cell with a row of a multiclass model that lists its predicted class.
    """
    rows, lists = predictions.members.row, predictions.members.lists
    pairs = task_pairs(cells, TASKS)
    if not len(rows) or not len(pairs.at):
        return {}
    guess, sure = predictions.value[rows], np.empty(len(rows))
    find_sure(lists.starts, lists.codes, lists.weights, guess, sure)
    listed = np.flatnonzero(~np.isnan(sure))
    position = np.full(len(predictions), -1, np.int32)
    position[rows[listed]] = listed
    at, cell, touched = narrow_pairs(pairs.at, pairs.cell, position, len(pairs.cells))
    place = np.maximum(((1 - sure).astype(np.float32).view(np.int32) >> PLACE_SHIFT) - BELOW_FIRST, 0)
    ordered, starts = order_by_cell(at, cell, len(touched))
    number = np.full(len(predictions.classes), -1, np.int32)
    states = {}
    for one, of_cell in enumerate(pairs.cells[touched].tolist()):
        own = ordered[starts[one] : starts[one + 1]]
        classes, begins, keys, counts = count_confidences(
            lists.starts, lists.codes, lists.weights, guess, place, own, number
        )
        state = states[of_cell] = Confidences()
        ends = begins.tolist()
        for name, start, end in zip(classes.tolist(), ends, ends[1:], strict=False):
            if start < end:
                state.classes[predictions.classes[name]] = KeyCounts((keys[start:end].copy(), counts[start:end].copy()))
        state.bound()
    return states
