"""The scores of a binary model's predictions, with or without a label, by predicted class: counts in fine bins.

Quality is estimated from them before there are labels.
"""

from itertools import pairwise
from typing import Self

import numpy as np

from pipeline.core.accumulate.key_counts import KeyCounts
from pipeline.core.accumulate.pairs import scored_pairs, task_pairs
from pipeline.core.accumulate.score_bins import keys_of
from pipeline.core.accumulate.scores import used_slots
from pipeline.core.distinct import distinct_codes
from pipeline.core.events import Cells, Json, Predictions, Task
from pipeline.core.family import References
from pipeline.core.kernels.scores import KEYS, count_keys

TASKS = frozenset({Task.BINARY})
"""The tasks that it speaks of."""


class PredictedScores:
    """The scored predictions of one cell; ``classes`` holds the counts of each predicted class that has any."""

    __slots__ = ("classes",)

    def __init__(self) -> None:
        self.classes: dict[str, KeyCounts] = {}

    def merge(self, other: Self) -> None:
        """Add another state.

        Args:
            other: the other state.
        """
        for name, counted in other.classes.items():
            self.classes.setdefault(name, KeyCounts()).merge(counted)

    def is_zero(self) -> bool:
        """Whether no prediction was counted."""
        return not self.classes

    def to_wire(self) -> Json:
        """``[class, its counts, …]``, classes in their order."""
        return [
            part
            for name, counted in sorted(self.classes.items(), key=lambda item: item[0])
            for part in (name, counted.to_wire())
        ]

    @classmethod
    def from_wire(cls, wire: Json) -> Self:
        """Read what ``to_wire`` wrote.

        Args:
            wire: the JSON value.

        Returns:
            The state.
        """
        state = cls()
        for name, counts in zip(wire[::2], wire[1::2], strict=True):
            state.classes[name] = KeyCounts.from_wire(counts)
        return state


def halve_predicted_scores(wire: Json) -> tuple[Json, Json] | None:
    """Cut a wire value in two that merge to the same.

    Args:
        wire: what ``PredictedScores.to_wire`` wrote.

    Returns:
        The two; None where no class has rows in two parts of bins.
    """
    first, second = PredictedScores.from_wire(wire), PredictedScores()
    for name, counted in list(first.classes.items()):
        lesser, greater = counted.halve()
        if not lesser.is_zero():
            first.classes[name], second.classes[name] = lesser, greater
    return (first.to_wire(), second.to_wire()) if second.classes else None


def fold_predicted_scores(predictions: Predictions, cells: Cells, references: References) -> dict[int, PredictedScores]:  # noqa: ARG001 - every fold of predictions is called alike
    """Fold the scores of a batch.

    Args:
        predictions: the batch.
        cells: its pairs.
        references: not needed here.

    Returns:
        A state for each cell with a row of a binary model that carries a score.
    """
    rows, pairs = scored_pairs(task_pairs(cells, TASKS), predictions.score)
    if not len(rows):
        return {}
    at, cell = pairs.at, pairs.cell
    guess, of_guess = distinct_codes(predictions.value[rows])
    slot = cell * np.int32(len(guess)) + of_guess.astype(np.int32)[at]
    # As the join keeps them; adding 0 turns -0 into 0.
    score = (predictions.score[rows].astype(np.float32) + np.float32(0)).astype(np.float64)
    used, slot = used_slots(slot, len(guess))
    keys, counts = count_keys(keys_of(score), np.ones(len(rows), np.int64), at, slot, len(used))
    ends = np.searchsorted(keys, np.arange(len(used) + 1) * KEYS).tolist()
    places = pairs.cells.tolist()
    states = {place: PredictedScores() for place in places}
    for number, (start, end) in enumerate(pairwise(ends)):
        if start < end:
            place, name = divmod(used[number], len(guess))
            own = (keys[start:end] - number * KEYS).astype(np.int32)
            states[places[place]].classes[predictions.classes[guess[name]]] = KeyCounts((own, counts[start:end].copy()))
    return states
