"""Features against their reference: how many rows fell into each slot of the reference profile."""

from typing import Self

import numpy as np

from pipeline.core.accumulate.pairs import merge_into, table_pairs
from pipeline.core.events import Cells, Int64s, Json, Predictions
from pipeline.core.family import References
from pipeline.core.kernels.bins import count_slots

MIXED = "mixed"
"""Stands for a reference where rows were counted against several: one was replaced while their pane was open."""


class Bins:
    """The slots of one cell.

    Args:
        reference: the id of the profile whose slots are counted; "" while nothing is.
        rows: rows that carry features; what no slot counted is missing.
    """

    __slots__ = ("features", "reference", "rows")

    def __init__(self, reference: str = "", rows: int = 0) -> None:
        self.reference = reference
        self.rows = rows
        self.features: dict[str, Int64s] = {}

    def merge(self, other: Self) -> None:
        """Add another state; counts against another reference do not speak of the same slots, and are given up.

        Args:
            other: the other state.
        """
        if other.is_zero():
            return
        if self.is_zero():
            self.reference = other.reference
        self.rows += other.rows
        if self.reference != other.reference:
            # Nothing merged later can bring the counts back, so that the order of merging does not matter.
            self.reference, self.features = MIXED, {}
            return
        for name, theirs in other.features.items():
            ours = self.features.get(name)
            if ours is None:
                self.features[name] = theirs.copy()
            else:
                ours += theirs

    def counts(self, name: str, slots: int) -> Int64s:
        """A feature's counts over all slots of its profile, ``missing`` last.

        Args:
            name: the feature.
            slots: the number of slots in the reference profile.

        Returns:
            int64[slots].
        """
        counts = np.zeros(slots, np.int64)
        if name in self.features:
            counts[:-1] = self.features[name]
        counts[-1] = self.rows - counts.sum()
        return counts

    def is_zero(self) -> bool:
        """Whether nothing was counted: no row, and no slot of rows that another part of the state holds."""
        return not (self.rows or self.features)

    def to_wire(self) -> Json:
        """``[reference, rows, {feature: counts of all slots but missing}]``."""
        return [
            self.reference,
            self.rows,
            {name: counts.tolist() for name, counts in sorted(self.features.items()) if counts.any()},
        ]

    @classmethod
    def from_wire(cls, wire: Json) -> Self:
        """Read what ``to_wire`` wrote.

        Args:
            wire: the JSON value.

        Returns:
            The state.
        """
        reference, rows, features = wire
        state = cls(reference, rows)
        state.features = {name: np.array(counts, np.int64) for name, counts in features.items()}
        return state


def halve_bins(wire: Json) -> tuple[Json, Json] | None:
    """Cut a wire value in two that merge to the same: the rows go with the first features.

    Args:
        wire: what ``Bins.to_wire`` wrote.

    Returns:
        The two; None where there is one feature at most.
    """
    reference, rows, features = wire
    names = sorted(features)
    if len(names) < 2:
        return None
    first, second = names[: len(names) // 2], names[len(names) // 2 :]
    return (
        [reference, rows, {name: features[name] for name in first}],
        [reference, 0, {name: features[name] for name in second}],
    )


def fold_bins(predictions: Predictions, cells: Cells, references: References) -> dict[int, Bins]:
    """Fold the features of those groups in a batch whose reference is known.

    Args:
        predictions: the batch.
        cells: its pairs.
        references: the known reference profiles.

    Returns:
        A state for each cell with a row that carries features and has a reference.
    """
    states: dict[int, Bins] = {}
    for table in predictions.features:
        profile = references.get(predictions.groups[table.group])
        if profile is None:
            continue
        pairs = table_pairs(cells, table, len(predictions))
        fresh = [Bins(profile.id, rows) for rows in pairs.places().tolist()]
        for name, column in table.columns.items():
            feature = profile.features.get(name)
            if feature is None:
                continue
            counts = np.zeros((len(fresh), feature.slots), np.int64)
            count_slots(feature.slot(column), pairs.at, pairs.cell, counts)
            for index, state in enumerate(fresh):
                state.features[name] = counts[index, :-1].copy()
        merge_into(states, pairs.cells.tolist(), fresh)
    return states
