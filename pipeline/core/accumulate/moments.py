"""Features: how many rows hold a number, a text, nothing; exact sums of numbers and of their squares; extremes."""

from typing import Self

import numpy as np

from pipeline.core.accumulate.exact_sum import ExactSum, sum_squares, sum_values
from pipeline.core.accumulate.pairs import Pairs, merge_into, table_pairs
from pipeline.core.events import Cells, FeatureColumn, Int32s, Int64s, Json, Predictions
from pipeline.core.family import References
from pipeline.core.kernels.moments import count_kinds

MAX_FEATURES = 1024
"""The most features a state holds: twice what one prediction may carry. Beyond it the least names stay."""

_NO_CODES: Int32s = np.empty(0, np.int32)


class FeatureMoments:
    """One feature's numbers; rows that hold neither number nor text are not counted here.

    Args:
        numbers: rows with a number.
        texts: rows with a text.
        total: the sum of the numbers.
        squares: the sum of their squares.
        least: the least number, None without numbers.
        greatest: the greatest number, None without numbers.
    """

    __slots__ = ("greatest", "least", "numbers", "squares", "texts", "total")

    def __init__(
        self,
        numbers: int,
        texts: int,
        total: ExactSum,
        squares: ExactSum,
        least: float | None,
        greatest: float | None,
    ) -> None:
        self.numbers = numbers
        self.texts = texts
        self.total = total
        self.squares = squares
        self.least = least
        self.greatest = greatest

    def merge(self, other: Self) -> None:
        """Add another state of the same feature.

        Args:
            other: the other state.
        """
        self.numbers += other.numbers
        self.texts += other.texts
        self.total.merge(other.total)
        self.squares.merge(other.squares)
        if other.least is not None and other.greatest is not None:
            self.least = other.least if self.least is None else min(self.least, other.least)
            self.greatest = other.greatest if self.greatest is None else max(self.greatest, other.greatest)

    def copy(self) -> "FeatureMoments":
        """A state of its own with the same content."""
        fresh = FeatureMoments(0, 0, ExactSum(), ExactSum(), None, None)
        fresh.merge(self)
        return fresh


class Moments:
    """The features of one cell.

    Args:
        rows: rows that carry features; a feature is missing in those where it was not counted.
    """

    __slots__ = ("features", "limited", "rows")

    def __init__(self, rows: int = 0) -> None:
        self.rows = rows
        self.features: dict[str, FeatureMoments] = {}
        self.limited = False

    def merge(self, other: Self) -> None:
        """Add another state.

        Args:
            other: the other state.
        """
        self.rows += other.rows
        self.limited |= other.limited
        for name, theirs in other.features.items():
            ours = self.features.get(name)
            if ours is None:
                self.features[name] = theirs.copy()
            else:
                ours.merge(theirs)
        self.bound()

    def bound(self) -> None:
        """Drop the features beyond the limit. Keeping the least names makes the outcome the same in any order."""
        if len(self.features) > MAX_FEATURES:
            self.limited = True
            for name in sorted(self.features)[MAX_FEATURES:]:
                del self.features[name]

    def is_zero(self) -> bool:
        """Whether no row was counted."""
        return not self.rows

    def to_wire(self) -> Json:
        """``[rows, limited, {feature: [numbers, texts, total, squares, least, greatest]}]``."""
        features = {
            name: [one.numbers, one.texts, one.total.to_wire(), one.squares.to_wire(), one.least, one.greatest]
            for name, one in sorted(self.features.items())
        }
        return [self.rows, int(self.limited), features]

    @classmethod
    def from_wire(cls, wire: Json) -> Self:
        """Read what ``to_wire`` wrote.

        Args:
            wire: the JSON value.

        Returns:
            The state.
        """
        rows, limited, features = wire
        state = cls(rows)
        state.limited = bool(limited)
        for name, (numbers, texts, total, squares, least, greatest) in features.items():
            state.features[name] = FeatureMoments(
                numbers, texts, ExactSum.from_wire(total), ExactSum.from_wire(squares), least, greatest
            )
        return state


def halve_moments(wire: Json) -> tuple[Json, Json] | None:
    """Cut a wire value in two that merge to the same: the rows go with the first features.

    Args:
        wire: what ``Moments.to_wire`` wrote.

    Returns:
        The two; None where there is one feature at most.
    """
    rows, limited, features = wire
    names = sorted(features)
    if len(names) < 2:
        return None
    first, second = names[: len(names) // 2], names[len(names) // 2 :]
    return (
        [rows, limited, {name: features[name] for name in first}],
        [0, limited, {name: features[name] for name in second}],
    )


def fold_moments(predictions: Predictions, cells: Cells, references: References) -> dict[int, Moments]:  # noqa: ARG001 - every fold of predictions is called alike
    """Fold the features of a batch.

    Args:
        predictions: the batch.
        cells: its pairs.
        references: not needed here.

    Returns:
        A state for each cell with a row that carries features.
    """
    states: dict[int, Moments] = {}
    for table in predictions.features:
        pairs = table_pairs(cells, table, len(predictions))
        fresh = [Moments(rows) for rows in pairs.places().tolist()]
        sign = np.ones(len(table.rows), np.int64)
        for name, column in table.columns.items():
            for state, moments in zip(fresh, _fold_feature(column, pairs, sign), strict=True):
                if moments.numbers or moments.texts:
                    state.features[name] = moments
        merge_into(states, pairs.cells.tolist(), fresh)
    for state in states.values():
        state.bound()
    return states


def _fold_feature(column: FeatureColumn, pairs: Pairs, sign: Int64s) -> list[FeatureMoments]:
    size = len(pairs.cells)
    counts = np.zeros((size, 2), np.int64)
    extremes = np.full((size, 2), (np.inf, -np.inf))
    codes = _NO_CODES if column.codes is None else column.codes
    count_kinds(column.numbers, codes, pairs.at, pairs.cell, counts, extremes)
    totals = sum_values(column.numbers, sign, pairs.at, pairs.cell, size)
    squares = sum_squares(column.numbers, sign, pairs.at, pairs.cell, size)
    # Adding 0.0 turns -0.0 into 0.0: the two are equal, and the state must not depend on which came first.
    extremes += 0.0
    return [
        FeatureMoments(numbers, texts, total, square, least if numbers else None, greatest if numbers else None)
        for (numbers, texts), (least, greatest), total, square in zip(
            counts.tolist(), extremes.tolist(), totals, squares, strict=True
        )
    ]
