"""Features: how many rows hold a number, a text, nothing; exact sums of numbers and of their squares; extremes."""

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from pipeline.core.accumulate.exact_sum import SQUARE_UNIT, VALUE_UNIT, ExactSum, square_limbs, value_limbs
from pipeline.core.accumulate.exact_sums import ExactSums
from pipeline.core.accumulate.packed import pack_counts, unpack_counts
from pipeline.core.accumulate.pairs import Pairs, merge_into, table_pairs
from pipeline.core.events import Cells, FeatureColumn, Float64s, Int32s, Int64s, Json, Predictions
from pipeline.core.family import References
from pipeline.core.kernels.moments import count_kinds

MAX_FEATURES = 1024
"""The most features a state holds: twice what one prediction may carry. Beyond it the least names stay."""

_NO_CODES: Int32s = np.empty(0, np.int32)


@dataclass(frozen=True, slots=True)
class FeatureMoments:
    """One feature's numbers; rows that hold neither number nor text are not counted here.

    Attributes:
        numbers: rows with a number.
        texts: rows with a text.
        total: the sum of the numbers.
        squares: the sum of their squares.
        least: the least number, None without numbers.
        greatest: the greatest number, None without numbers.
    """

    numbers: int
    texts: int
    total: ExactSum
    squares: ExactSum
    least: float | None
    greatest: float | None


class Moments:
    """The features of one cell, f of them, in the order of their names.

    Args:
        rows: rows that carry features; a feature is missing in those where it was not counted.
        names: the features. The state keeps this and the arrays.
        counts: int64[f, 2], rows with a number and with a text; at least one has.
        extremes: float64[f, 2], least and greatest number; infinite without numbers.
        totals: f sums of the numbers.
        squares: f sums of their squares.
        limited: whether there were more features than a state holds.
    """

    __slots__ = ("counts", "extremes", "limited", "names", "rows", "squares", "totals")

    def __init__(
        self,
        rows: int = 0,
        names: tuple[str, ...] = (),
        counts: Int64s | None = None,
        extremes: Float64s | None = None,
        totals: ExactSums | None = None,
        squares: ExactSums | None = None,
        *,
        limited: bool = False,
    ) -> None:
        self.rows = rows
        self.names = names
        self.counts = np.zeros((0, 2), np.int64) if counts is None else counts
        self.extremes = np.zeros((0, 2)) if extremes is None else extremes
        self.totals = totals or ExactSums.zero(0)
        self.squares = squares or ExactSums.zero(0)
        self.limited = limited

    def features(self) -> Mapping[str, FeatureMoments]:
        """Each feature by its name."""
        totals, squares = self.totals.sums(VALUE_UNIT), self.squares.sums(SQUARE_UNIT)
        rows = zip(self.names, self.counts.tolist(), self.extremes.tolist(), totals, squares, strict=True)
        return {
            name: FeatureMoments(numbers, texts, total, square, *((least, greatest) if numbers else (None, None)))
            for name, (numbers, texts), (least, greatest), total, square in rows
        }

    def merge(self, other: Self) -> None:
        """Add another state.

        Args:
            other: the other state.
        """
        self.rows += other.rows
        self.limited |= other.limited
        if not other.names:
            return
        if self.names != other.names:
            names = tuple(sorted({*self.names, *other.names}))
            self._become(self._spread(names))
            other = other._spread(names)
        self.counts += other.counts
        np.minimum(self.extremes[:, 0], other.extremes[:, 0], out=self.extremes[:, 0])
        np.maximum(self.extremes[:, 1], other.extremes[:, 1], out=self.extremes[:, 1])
        self.totals.merge(other.totals)
        self.squares.merge(other.squares)
        self.bound()

    def _spread(self, names: tuple[str, ...]) -> Self:
        """The same among more features, as a state of its own."""
        place = {name: at for at, name in enumerate(names)}
        rows = np.array([place[name] for name in self.names], np.int64)
        counts = np.zeros((len(names), 2), np.int64)
        extremes = np.full((len(names), 2), (np.inf, -np.inf))
        counts[rows], extremes[rows] = self.counts, self.extremes
        totals, squares = (sums.spread(rows, len(names)) for sums in (self.totals, self.squares))
        return type(self)(self.rows, names, counts, extremes, totals, squares, limited=self.limited)

    def taken(self, rows: Int64s, own_rows: int) -> Self:
        """Some of the features, as a state of their own.

        Args:
            rows: int64[k], which, rising.
            own_rows: the rows that the state speaks of.
        """
        names = tuple(self.names[row] for row in rows.tolist())
        totals, squares = self.totals.taken(rows), self.squares.taken(rows)
        return type(self)(
            own_rows, names, self.counts[rows], self.extremes[rows], totals, squares, limited=self.limited
        )

    def _become(self, other: Self) -> None:
        self.names, self.counts, self.extremes = other.names, other.counts, other.extremes
        self.totals, self.squares = other.totals, other.squares

    def bound(self) -> None:
        """Drop the features beyond the limit. Keeping the least names makes the outcome the same in any order."""
        if len(self.names) > MAX_FEATURES:
            self.limited = True
            self._become(self.taken(np.arange(MAX_FEATURES), self.rows))

    def is_zero(self) -> bool:
        """Whether no row was counted."""
        return not self.rows

    def to_wire(self) -> Json:
        """``[rows, limited, names, counts, extremes, totals, squares]``.

        The counts are numbers and texts of each feature, one behind the other; the extremes base64 of doubles,
        likewise.
        """
        extremes = b64encode(self.extremes.astype("<f8").tobytes()).decode()
        counts = pack_counts(self.counts.ravel())
        sums = self.totals.to_wire(), self.squares.to_wire()
        return [self.rows, int(self.limited), list(self.names), counts, extremes, *sums]

    @classmethod
    def from_wire(cls, wire: Json) -> Self:
        """Read what ``to_wire`` wrote.

        Args:
            wire: the JSON value.

        Returns:
            The state.
        """
        rows, limited, names, counts, extremes, totals, squares = wire
        return cls(
            rows,
            tuple(names),
            unpack_counts(counts).reshape(-1, 2),
            np.frombuffer(b64decode(extremes), "<f8").astype(np.float64).reshape(-1, 2),
            ExactSums.from_wire(totals, len(names)),
            ExactSums.from_wire(squares, len(names)),
            limited=bool(limited),
        )


def halve_moments(wire: Json) -> tuple[Json, Json] | None:
    """Cut a wire value in two that merge to the same: the rows go with the first features.

    Args:
        wire: what ``Moments.to_wire`` wrote.

    Returns:
        The two; None where there is one feature at most.
    """
    state = Moments.from_wire(wire)
    count = len(state.names)
    if count < 2:
        return None
    first, second = np.arange(count // 2), np.arange(count // 2, count)
    return state.taken(first, state.rows).to_wire(), state.taken(second, 0).to_wire()


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
        merge_into(states, pairs.cells.tolist(), _fold_table(table.columns, pairs, len(table.rows)))
    return states


def _fold_table(columns: Mapping[str, FeatureColumn], pairs: Pairs, rows: int) -> list[Moments]:
    names = tuple(sorted(columns))
    size = len(pairs.cells)
    counts = np.zeros((len(names), size, 2), np.int64)
    extremes = np.full((len(names), size, 2), (np.inf, -np.inf))
    sign = np.ones(rows, np.int64)
    totals: list[tuple[int, Int64s]] = []
    squares: list[tuple[int, Int64s]] = []
    for at, name in enumerate(names):
        column = columns[name]
        codes = _NO_CODES if column.codes is None else column.codes
        count_kinds(column.numbers, codes, pairs.at, pairs.cell, counts[at], extremes[at])
        totals.append(value_limbs(column.numbers, sign, pairs.at, pairs.cell, size))
        squares.append(square_limbs(column.numbers, sign, pairs.at, pairs.cell, size))
    # Adding 0.0 turns -0.0 into 0.0: the two are equal, and the state must not depend on which came first.
    extremes += 0.0
    parts = max(1, len(pairs.at))
    low, limbs = _side_by_side(totals, size)
    square_low, more_limbs = _side_by_side(squares, size)
    states = []
    for cell, own in enumerate(pairs.places().tolist()):
        whole = Moments(
            own,
            names,
            counts[:, cell].copy(),
            extremes[:, cell].copy(),
            ExactSums(low, limbs[cell], parts),
            ExactSums(square_low, more_limbs[cell], parts),
        )
        seen = np.flatnonzero(whole.counts.any(axis=1))
        state = whole if len(seen) == len(names) else whole.taken(seen, own)
        state.bound()
        states.append(state)
    return states


def _side_by_side(sums: Sequence[tuple[int, Int64s]], cells: int) -> tuple[int, Int64s]:
    """The limbs of all features, int64[cells, features, w], and the place of the first."""
    spans = [(low, low + limbs.shape[1]) for low, limbs in sums if limbs.shape[1]]
    if not spans:
        return 0, np.zeros((cells, len(sums), 0), np.int64)
    first, last = min(low for low, _ in spans), max(high for _, high in spans)
    found = np.zeros((cells, len(sums), last - first), np.int64)
    for at, (low, limbs) in enumerate(sums):
        if limbs.shape[1]:
            found[:, at, low - first : low - first + limbs.shape[1]] = limbs
    return first, found
