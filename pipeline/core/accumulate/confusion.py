"""Classes: how often each class was predicted where each class was true."""

from typing import Self

from pipeline.core.accumulate.pairs import task_pairs
from pipeline.core.events import Cells, Json, LabelChanges, Task
from pipeline.core.kernels.confusion import count_outcomes

TASKS = frozenset({Task.BINARY, Task.MULTICLASS})
"""The tasks that it speaks of."""


class Confusion:
    """The confusion matrix of one cell, sparse: ``counts`` of (predicted class, true class), never zero."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], int] = {}

    def merge(self, other: Self) -> None:
        """Add another state.

        Args:
            other: the other state.
        """
        for outcome, count in other.counts.items():
            total = self.counts.get(outcome, 0) + count
            if total:
                self.counts[outcome] = total
            else:
                del self.counts[outcome]

    def is_zero(self) -> bool:
        """Whether every count has cancelled out."""
        return not self.counts

    def to_wire(self) -> Json:
        """``[[class, …], [predicted, true, count, …]]`` with indexes into the classes, everything sorted."""
        classes = sorted({name for outcome in self.counts for name in outcome})
        index = {name: position for position, name in enumerate(classes)}
        flat: list[int] = []
        for (predicted, label), count in sorted(self.counts.items()):
            flat += (index[predicted], index[label], count)
        return [classes, flat]

    @classmethod
    def from_wire(cls, wire: Json) -> Self:
        """Read what ``to_wire`` wrote.

        Args:
            wire: the JSON value.

        Returns:
            The state.
        """
        classes, flat = wire
        state = cls()
        for predicted, label, count in zip(flat[::3], flat[1::3], flat[2::3], strict=True):
            state.counts[classes[predicted], classes[label]] = count
        return state


def halve_confusion(wire: Json) -> tuple[Json, Json] | None:
    """Cut a wire value in two that merge to the same.

    Args:
        wire: what ``Confusion.to_wire`` wrote.

    Returns:
        The two; None where there is one outcome at most.
    """
    outcomes = sorted(Confusion.from_wire(wire).counts.items())
    if len(outcomes) < 2:
        return None
    halves = Confusion(), Confusion()
    halves[0].counts = dict(outcomes[: len(outcomes) // 2])
    halves[1].counts = dict(outcomes[len(outcomes) // 2 :])
    return halves[0].to_wire(), halves[1].to_wire()


def fold_confusion(changes: LabelChanges, cells: Cells) -> dict[int, Confusion]:
    """Fold the contributions of labels to models that predict one class.

    Args:
        changes: the contributions.
        cells: their pairs.

    Returns:
        A state for each cell that changed.
    """
    pairs = task_pairs(cells, TASKS)
    states: dict[int, Confusion] = {}
    width = len(changes.classes)
    keys, counts = count_outcomes(changes.predicted, changes.label, changes.sign, pairs.at, pairs.cell, width)
    for key, count in zip(keys.tolist(), counts.tolist(), strict=True):
        if count:
            rest, label = divmod(key, width)
            cell, predicted = divmod(rest, width)
            outcome = (changes.classes[predicted], changes.classes[label])
            states.setdefault(int(pairs.cells[cell]), Confusion()).counts[outcome] = count
    return states
