"""Features against their reference: how many rows fell into each slot of the reference profile."""

from typing import Self

import numpy as np

from pipeline.core.accumulate.packed import pack_counts, unpack_counts
from pipeline.core.accumulate.pairs import merge_into, table_pairs
from pipeline.core.events import Cells, Int64s, Json, Predictions
from pipeline.core.family import References
from pipeline.core.kernels.bins import count_slots
from pipeline.core.reference import ReferenceProfile

MIXED = "mixed"
"""Stands for a reference where rows were counted against several: one was replaced while their pane was open."""

_NONE: Int64s = np.empty(0, np.int64)


class Bins:
    """The slots of one cell.

    Args:
        reference: the id of the profile whose slots are counted; "" while nothing is.
        rows: rows that carry features; what no slot counted is missing.
        counts: int64[profile.size], all features' slots but ``missing``, see ``ReferenceProfile.places``; empty while
            nothing is counted. The state keeps the array.
    """

    __slots__ = ("counts", "reference", "rows")

    def __init__(self, reference: str = "", rows: int = 0, counts: Int64s = _NONE) -> None:
        self.reference = reference
        self.rows = rows
        self.counts = counts

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
            self.reference, self.counts = MIXED, _NONE
        elif not len(self.counts):
            self.counts = other.counts.copy()
        elif len(other.counts):
            self.counts += other.counts

    def slots(self, profile: ReferenceProfile, name: str) -> Int64s:
        """A feature's counts over all slots of its profile, ``missing`` last.

        Args:
            profile: the reference.
            name: the feature.

        Returns:
            int64[slots].
        """
        counts = np.zeros(profile.features[name].slots, np.int64)
        if len(self.counts):
            counts[:-1] = self.counts[profile.places[name]]
        counts[-1] = self.rows - counts.sum()
        return counts

    def is_zero(self) -> bool:
        """Whether nothing was counted: no row, and no slot of rows that another part of the state holds."""
        return not (self.rows or len(self.counts))

    def to_wire(self) -> Json:
        """``[reference, rows, size, first, counts]``: the counts from the first one that is not 0 to the last."""
        used = np.flatnonzero(self.counts)
        first, end = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 0)
        size = len(self.counts) if end else 0
        return [self.reference, self.rows, size, first, pack_counts(self.counts[first:end])]

    @classmethod
    def from_wire(cls, wire: Json) -> Self:
        """Read what ``to_wire`` wrote.

        Args:
            wire: the JSON value.

        Returns:
            The state.
        """
        reference, rows, size, first, packed = wire
        found = unpack_counts(packed)
        counts = np.zeros(size, np.int64)
        counts[first : first + len(found)] = found
        return cls(reference, rows, counts)


def halve_bins(wire: Json) -> tuple[Json, Json] | None:
    """Cut a wire value in two that merge to the same: the rows go with the first counts.

    Args:
        wire: what ``Bins.to_wire`` wrote.

    Returns:
        The two; None where there is one count at most.
    """
    reference, rows, size, first, packed = wire
    counts = unpack_counts(packed)
    half = len(counts) // 2
    if not half:
        return None
    head, tail = pack_counts(counts[:half]), pack_counts(counts[half:])
    return [reference, rows, size, first, head], [reference, 0, size, first + half, tail]


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
        rows = pairs.places().tolist()
        counts = np.zeros((len(rows), profile.size), np.int64)
        for name, place in profile.places.items():
            column = table.columns.get(name)
            if column is None:
                continue
            feature = profile.features[name]
            found = np.zeros((len(rows), feature.slots), np.int64)
            count_slots(feature.slot(column), pairs.at, pairs.cell, found)
            counts[:, place] = found[:, :-1]
        fresh = [Bins(profile.id, own, counts[cell].copy()) for cell, own in enumerate(rows)]
        merge_into(states, pairs.cells.tolist(), fresh)
    return states
