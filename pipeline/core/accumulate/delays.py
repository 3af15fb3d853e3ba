"""How long labels take: a quantile sketch of their delays for each true class.

A delay is the label's own time less its prediction's. A correction takes the corrected label's delay back and counts
its own: the sketch is of the labels that count now, and no trace is left of the others.

The sketch is a DDSketch (Masson, Rim, Lee: "DDSketch", VLDB 2019) with a linearly interpolated mapping, coarser than
that of latencies: a bucket is 1/16 of an octave, so a quantile is off by at most 1/33 = 3 % of the true value.
Thousands of panes wait for their labels at once, and each is written again with every few of them, so size counts.
Labels that came with their prediction or before it count as having taken no time.
"""

from collections.abc import Iterable
from typing import Self

import numpy as np

from pipeline.core.accumulate.pairs import all_pairs
from pipeline.core.events import Cells, Float64s, Int64s, Json, LabelChanges
from pipeline.core.kernels.delays import BUCKETS, STEPS, add_sketches, count_delays

RELATIVE_ERROR = 1 / 33
"""The most that the value for a bucket differs from a delay in it, as a share of that."""

NO_CLASS = ""
"""What labels that are no classes are counted under; no class has this name."""

NO_DELAYS: Int64s = np.empty((0, 2), np.int64)
"""The empty sketch."""


def _values() -> Float64s:
    octave, step = np.divmod(np.arange(BUCKETS - 1), STEPS)
    low, high = np.ldexp(1 + step / STEPS, octave), np.ldexp(1 + (step + 1) / STEPS, octave)
    return np.concatenate(([0.0], 2 * low * high / (low + high)))


VALUES_MS = _values()
"""float64[1024], the delay with the least relative error for each bucket: the harmonic mean of its ends."""


class Delays:
    """The delays of one cell's labels.

    Many panes wait for their labels at once, so a sketch is an array. Arrays are replaced, never changed.

    Attributes:
        sketches: true class to int64[b, 2]: the buckets, strictly rising, and their counts, none of them zero.
    """

    __slots__ = ("sketches",)

    def __init__(self, sketches: dict[str, Int64s] | None = None) -> None:
        self.sketches = sketches or {}

    def merge(self, other: Self) -> None:
        """Add another state.

        Args:
            other: the other state.
        """
        for name, sketch in other.sketches.items():
            own = self.sketches.get(name)
            merged = sketch if own is None else add_sketches(own, sketch)
            if len(merged):
                self.sketches[name] = merged
            else:
                del self.sketches[name]

    def is_zero(self) -> bool:
        """Whether every contribution has cancelled out."""
        return not self.sketches

    def of_all(self) -> Int64s:
        """The sketch of all classes together, int64[b, 2]."""
        return add_all(self.sketches.values())

    def to_wire(self) -> Json:
        """``{class: [bucket, count, …]}``, classes sorted, buckets rising."""
        return {name: self.sketches[name].ravel().tolist() for name in sorted(self.sketches)}

    @classmethod
    def from_wire(cls, wire: Json) -> Self:
        """Read what ``to_wire`` wrote.

        Args:
            wire: the JSON value.

        Returns:
            The state.
        """
        return cls({name: np.array(flat, np.int64).reshape(-1, 2) for name, flat in wire.items()})


def count_labels(sketch: Int64s) -> int:
    """The labels in a sketch.

    Args:
        sketch: int64[b, 2].
    """
    return int(sketch[:, 1].sum())


def add_all(sketches: Iterable[Int64s]) -> Int64s:
    """Add sketches.

    Args:
        sketches: each int64[b, 2].

    Returns:
        Their sum, int64[c, 2].
    """
    whole = NO_DELAYS
    for sketch in sketches:
        whole = add_sketches(whole, sketch)
    return whole


def delay_quantile(sketch: Int64s, share: float) -> float:
    """The delay that a share of the labels did not exceed, within ``RELATIVE_ERROR``.

    Args:
        sketch: int64[b, 2], not empty.
        share: from 0 to 1; the delay of rank ``floor(share * (count - 1))``, counted from 0, is estimated.

    Returns:
        Milliseconds.
    """
    ends = np.cumsum(sketch[:, 1])
    rank = int(share * (int(ends[-1]) - 1))
    return float(VALUES_MS[sketch[np.searchsorted(ends, rank, side="right"), 0]])


def halve_delays(wire: Json) -> tuple[Json, Json] | None:
    """Cut a wire value in two that merge to the same.

    Args:
        wire: what ``Delays.to_wire`` wrote.

    Returns:
        The two; None where there is one class at most.
    """
    classes = sorted(wire.items())
    if len(classes) < 2:
        return None
    return dict(classes[: len(classes) // 2]), dict(classes[len(classes) // 2 :])


def fold_delays(changes: LabelChanges, cells: Cells) -> dict[int, Delays]:
    """Fold the delays of a batch's labels.

    Args:
        changes: the contributions.
        cells: their pairs.

    Returns:
        A state for each cell that changed.
    """
    if not len(changes.delay_ms):
        return {}
    pairs, classes = all_pairs(cells), len(changes.classes)
    is_class = np.array([group.task.is_classes for group in cells.groups] or [False], np.uint8)[cells.group]
    keys, counts = count_delays(changes.delay_ms, changes.label, changes.sign, pairs.at, pairs.cell, is_class, classes)
    order = np.argsort(keys)
    order = order[counts[order] != 0]
    keys = keys[order]
    place, runs = keys // BUCKETS, np.column_stack((keys % BUCKETS, counts[order]))
    starts = np.flatnonzero(np.diff(place, prepend=-1))
    ends = np.append(starts, len(place))[1:]  # none where all has cancelled out
    names = [*changes.classes, NO_CLASS]
    states: dict[int, Delays] = {}
    for key, low, high in zip(place[starts].tolist(), starts.tolist(), ends.tolist(), strict=True):
        cell, name = divmod(key, classes + 1)
        states.setdefault(cell, Delays()).sketches[names[name]] = runs[low:high]
    return states
