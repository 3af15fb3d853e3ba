"""Latencies: count, exact sum, maximum and a quantile sketch of bounded size.

The sketch has the buckets of ``buckets.py``, at most 3,330. Values below 2^-20 ms, zero and below zero count in
the first bucket, values from 2^32 ms in the last.
"""

from typing import Self

import numpy as np

from pipeline.core.accumulate.buckets import bucket_value
from pipeline.core.accumulate.exact_sum import ExactSum, sum_values
from pipeline.core.accumulate.pairs import all_pairs
from pipeline.core.events import Cells, Json, Predictions
from pipeline.core.family import References
from pipeline.core.kernels.latency import FIRST_BUCKET, LAST_BUCKET, bucket_rows, count_buckets


class Latency:
    """The latencies of one cell; ``buckets`` holds counts by bucket."""

    __slots__ = ("buckets", "count", "greatest", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = ExactSum()
        self.greatest: float | None = None
        self.buckets: dict[int, int] = {}

    def merge(self, other: Self) -> None:
        """Add another state.

        Args:
            other: the other state.
        """
        self.count += other.count
        self.total.merge(other.total)
        if other.greatest is not None:
            self.greatest = other.greatest if self.greatest is None else max(self.greatest, other.greatest)
        for bucket, count in other.buckets.items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + count

    def is_zero(self) -> bool:
        """Whether no latency was counted."""
        return not self.count

    def to_wire(self) -> Json:
        """``[count, total, greatest, [bucket, count, …]]``, buckets rising."""
        flat = [number for pair in sorted(self.buckets.items()) for number in pair]
        return [self.count, self.total.to_wire(), self.greatest, flat]

    @classmethod
    def from_wire(cls, wire: Json) -> Self:
        """Read what ``to_wire`` wrote.

        Args:
            wire: the JSON value.

        Returns:
            The state.
        """
        state = cls()
        state.count, total, state.greatest, flat = wire
        state.total = ExactSum.from_wire(total)
        state.buckets = dict(zip(flat[::2], flat[1::2], strict=True))
        return state

    def quantile(self, share: float) -> float:
        """The value that a share of the latencies does not exceed, within ``buckets.RELATIVE_ERROR``.

        Args:
            share: from 0 to 1; the value of rank ``floor(share * (count - 1))``, counted from 0, is estimated.

        Returns:
            The estimate, never above the maximum; 0 for the first bucket, the maximum for the last.

        Raises:
            ValueError: no latency was counted.
        """
        if self.greatest is None:
            raise ValueError("no latencies, no quantile")
        rank = int(share * (self.count - 1))
        seen = 0
        for bucket, count in sorted(self.buckets.items()):
            seen += count
            if seen > rank:
                return min(_middle(bucket), self.greatest)
        return self.greatest


def _middle(bucket: int) -> float:
    if bucket == FIRST_BUCKET:
        return 0.0
    return float("inf") if bucket == LAST_BUCKET else bucket_value(bucket)


def fold_latency(predictions: Predictions, cells: Cells, references: References) -> dict[int, Latency]:  # noqa: ARG001 - every fold of predictions is called alike
    """Fold the latencies of a batch.

    Args:
        predictions: the batch.
        cells: its pairs.
        references: not needed here.

    Returns:
        A state for each cell with a row that carries a latency.
    """
    values = predictions.latency_ms
    buckets = np.empty(len(values), np.int32)
    found, least, greatest = bucket_rows(values, values.view(np.int64), buckets)
    if not found:
        return {}
    pairs = all_pairs(cells)
    size = len(cells)
    counts = np.zeros((size, greatest - least + 1), np.int64)
    highest = np.full(size, -np.inf)
    count_buckets(buckets, values, pairs.at, pairs.cell, least, counts, highest)
    totals = sum_values(values, np.ones(len(values), np.int64), pairs.at, pairs.cell, size)
    # Adding 0.0 turns -0.0 into 0.0: the two are equal, and the state must not depend on which came first.
    highest += 0.0
    filled = np.flatnonzero(counts.ravel())
    cell_of, bucket_of = np.divmod(filled, counts.shape[1])
    number = counts.ravel()[filled]
    states: dict[int, Latency] = {}
    touched, starts = np.unique(cell_of, return_index=True)
    ends = np.append(starts, len(filled))[1:]  # none where no paired row carries a latency
    for cell, low, high in zip(touched.tolist(), starts.tolist(), ends.tolist(), strict=True):
        state = states[cell] = Latency()
        state.buckets = dict(zip((bucket_of[low:high] + least).tolist(), number[low:high].tolist(), strict=True))
        state.count = int(number[low:high].sum())
        state.total = totals[cell]
        state.greatest = float(highest[cell])
    return states
