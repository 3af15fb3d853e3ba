"""The scores of a binary model by the class that turned out to be true: fine bins, and exact sums.

Which class is positive is known only when all names of a window have been seen, so that everything is kept by the name
of the true class, in a form that serves a positive and a negative class alike.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self, TypeVar

import numpy as np

from pipeline.core.accumulate.exact_sum import ExactSum, sum_squares, sum_values
from pipeline.core.accumulate.key_counts import KeyCounts
from pipeline.core.accumulate.pairs import scored_pairs, task_pairs
from pipeline.core.accumulate.score_bins import terms_of
from pipeline.core.distinct import distinct_codes
from pipeline.core.events import Cells, Float64s, Int32s, Int64s, Json, LabelChanges, Task
from pipeline.core.kernels.scores import (
    KEYS,
    PARTS,
    add_units,
    count_keys,
    place_pairs,
)

TASKS = frozenset({Task.BINARY})
"""The tasks that it speaks of."""

K = TypeVar("K")

_JSON_BITS = 53
_FEW = 2
"""Classes of a batch up to which few slots are in vain."""


@dataclass(slots=True)
class ScoredClass:
    """The scores s of the rows of one class.

    Attributes:
        bins: the rows by the part of a fine bin that they are in.
        units: twentieth to the sum of its scores, each rounded to 2^-40, in units of 2^-40; none of them zero.
        total: the sum of s.
        squares: of its square.
        hits: of -log s.
        misses: of -log(1 - s).
    """

    bins: KeyCounts = field(default_factory=KeyCounts)
    units: dict[int, int] = field(default_factory=dict)
    total: ExactSum = field(default_factory=ExactSum)
    squares: ExactSum = field(default_factory=ExactSum)
    hits: ExactSum = field(default_factory=ExactSum)
    misses: ExactSum = field(default_factory=ExactSum)

    def merge(self, other: Self) -> None:
        """Add the rows of another.

        Args:
            other: the other.
        """
        self.bins.merge(other.bins)
        for part, units in other.units.items():
            _add(self.units, part, units)
        for mine, others in zip(self._sums(), other._sums(), strict=True):
            mine.merge(others)

    def is_zero(self) -> bool:
        """Whether every contribution has cancelled out."""
        # Counts alone do not tell: of two scores in one bin, one may be added and the other taken back.
        return self.bins.is_zero() and not self.units and all(one.is_zero() for one in self._sums())

    def to_wire(self) -> Json:
        """``[counts by bin, [twentieth, units, …], total, squares, hits, misses]``, twentieths rising."""
        units = [number for part, total in sorted(self.units.items()) for number in (part, _to_wire(total))]
        return [self.bins.to_wire(), units, *(one.to_wire() for one in self._sums())]

    @classmethod
    def from_wire(cls, wire: Json) -> Self:
        """Read what ``to_wire`` wrote.

        Args:
            wire: the JSON value.

        Returns:
            The rows.
        """
        bins, units, *sums = wire
        found = cls(KeyCounts.from_wire(bins))
        found.units = {int(part): _from_wire(total) for part, total in zip(units[::2], units[1::2], strict=True)}
        found.total, found.squares, found.hits, found.misses = map(ExactSum.from_wire, sums)
        return found

    def _sums(self) -> tuple[ExactSum, ...]:
        return self.total, self.squares, self.hits, self.misses


class Scores:
    """The scored rows of one cell.

    Attributes:
        classes: true class to its rows; none of them zero.
        predicted: predicted class to how many rows; never zero.
    """

    __slots__ = ("classes", "predicted")

    def __init__(self) -> None:
        self.classes: dict[str, ScoredClass] = {}
        self.predicted: dict[str, int] = {}

    def merge(self, other: Self) -> None:
        """Add another state.

        Args:
            other: the other state.
        """
        for name, rows in other.classes.items():
            mine = self.classes.setdefault(name, ScoredClass())
            mine.merge(rows)
            if mine.is_zero():
                del self.classes[name]
        for name, count in other.predicted.items():
            _add(self.predicted, name, count)

    def is_zero(self) -> bool:
        """Whether every contribution has cancelled out."""
        return not self.classes and not self.predicted

    def to_wire(self) -> Json:
        """``[[class, …], [rows of the class, …], [predicted class, count, …]]``, classes in their order."""
        names = sorted(self.classes)
        predicted = [part for pair in sorted(self.predicted.items()) for part in pair]
        return [names, [self.classes[name].to_wire() for name in names], predicted]

    @classmethod
    def from_wire(cls, wire: Json) -> Self:
        """Read what ``to_wire`` wrote.

        Args:
            wire: the JSON value.

        Returns:
            The state.
        """
        names, rows, predicted = wire
        state = cls()
        state.classes = {name: ScoredClass.from_wire(one) for name, one in zip(names, rows, strict=True)}
        state.predicted = dict(zip(predicted[::2], predicted[1::2], strict=True))
        return state


def halve_scores(wire: Json) -> tuple[Json, Json] | None:
    """Cut a wire value in two that merge to the same.

    Args:
        wire: what ``Scores.to_wire`` wrote.

    Returns:
        The two; None where no class has rows in two parts of bins.
    """
    first, second = Scores.from_wire(wire), Scores()
    for name, rows in first.classes.items():
        lesser, greater = rows.bins.halve()
        if not lesser.is_zero():
            rows.bins, second.classes[name] = lesser, ScoredClass(greater)
    return (first.to_wire(), second.to_wire()) if second.classes else None


def fold_scores(changes: LabelChanges, cells: Cells) -> dict[int, Scores]:
    """Fold the contributions of labels to binary models that give scores.

    Args:
        changes: the contributions.
        cells: their pairs.

    Returns:
        A state for each cell that changed.
    """
    if not len(changes.score):
        return {}
    rows, pairs = scored_pairs(task_pairs(cells, TASKS), changes.score)
    if not len(rows):
        return {}
    at, cell = pairs.at, pairs.cell
    sign = changes.sign[rows]
    label, of_label = distinct_codes(changes.label[rows])
    guess, of_guess = distinct_codes(changes.predicted[rows])
    slot = np.empty(len(at), np.int32)
    guessed = np.zeros((len(pairs.cells), len(guess)), np.int64)
    place_pairs(at, cell, of_label.astype(np.int32), of_guess.astype(np.int32), sign, len(label), slot, guessed)
    places = pairs.cells.tolist()
    states: dict[int, Scores] = {place: Scores() for place in places}
    used, slot = used_slots(slot, len(label))
    for number, one in zip(used, fold_classes(changes.score[rows], sign, at, slot, len(used)), strict=True):
        if not one.is_zero():
            place, name = divmod(number, len(label))
            states[places[place]].classes[changes.classes[label[name]]] = one
    for place, name in np.argwhere(guessed).tolist():
        states[places[place]].predicted[changes.classes[guess[name]]] = int(guessed[place, name])
    return {place: state for place, state in states.items() if not state.is_zero()}


def used_slots(slot: Int32s, names: int) -> tuple[Sequence[int], Int32s]:
    """Number slots anew, so that a batch of many models, each of which has classes of its own, has no slots in vain.

    Args:
        slot: int32[m], at least one; each a cell times ``names``, and the class.
        names: how many classes there are.

    Returns:
        What each new number stands for, rising; int32[m] the new numbers.
    """
    if names <= _FEW:
        return range(int(slot.max()) + 1), slot
    used, numbers = distinct_codes(slot.astype(np.int64))
    return used.tolist(), numbers.astype(np.int32)


def fold_classes(score: Float64s, sign: Int64s, at: Int32s, slot: Int32s, slots: int) -> Iterator[ScoredClass]:
    """The rows of each slot, a (cell, true class).

    Args:
        score: float64[k], 32-bit floats from 0 to 1.
        sign: int64[k], +1 or -1.
        at: int32[m], each pair's score.
        slot: int32[m], each pair's slot.
        slots: how many there are.

    Yields:
        One for every slot, in order.
    """
    terms = terms_of(score)
    keys, counts = count_keys(terms.key, sign, at, slot, slots)
    ends = np.searchsorted(keys, np.arange(1, slots + 1) * KEYS).tolist()
    units = np.zeros((slots, PARTS), np.int64)
    add_units(terms.units, terms.part, sign, at, slot, units)
    where = sign, at, slot, slots
    sums = (
        sum_values(score, *where),
        sum_squares(score, *where),
        sum_values(terms.logs[0], *where),
        sum_values(terms.logs[1], *where),
    )
    start = 0
    for number, (end, by_part, *of_slot) in enumerate(zip(ends, units.tolist(), *sums, strict=True)):
        own = (keys[start:end] - number * KEYS).astype(np.int32)
        used = {part: total for part, total in enumerate(by_part) if total}
        yield ScoredClass(KeyCounts((own, counts[start:end].copy())), used, *of_slot)
        start = end


def _add(into: dict[K, int], name: K, count: int) -> None:
    total = into.get(name, 0) + count
    if total:
        into[name] = total
    else:
        into.pop(name, None)


def _to_wire(total: int) -> Json:
    return total if total.bit_length() <= _JSON_BITS else f"{total:x}"


def _from_wire(total: Json) -> int:
    return int(total, 16) if isinstance(total, str) else total
