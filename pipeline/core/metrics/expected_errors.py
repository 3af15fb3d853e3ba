"""Errors of a regression estimated without labels, from what was predicted.

Past rows say which |e| and e^2 to expect of a predicted value; their means over the predictions of a window are its
expected errors: direct loss estimation (NannyML's DLE), with bins of the predicted value in place of its regression
trees. The estimate holds while the mix of predictions alone changes; where their errors change it is wrong, which
``estimated.error`` shows when labels are in.

Neighbouring bins are put together until they have ``_POOL_ROWS`` rows, since a few rows say little. Predictions in bins
that no past row was in take what is expected in the nearest one; there is no estimate where they are too many.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core.accumulate.binned_errors import BinnedErrors
from pipeline.core.accumulate.exact_sum import SQUARE_UNIT, VALUE_UNIT, ExactSum
from pipeline.core.accumulate.key_counts import KeyCounts
from pipeline.core.events import Float64s, Int32s, Int64s, Json
from pipeline.core.family import Report
from pipeline.core.kernels.scores import weighted_sum

EXPECTED = ("mae", "mse", "rmse")
UNSEEN_SHARE = "unseen_share"
NOT_LEARNED, UNSEEN = "no_past_errors", "unseen_predictions"

_POOL_ROWS = 100
_MOST_UNSEEN = 0.1


@dataclass(frozen=True, slots=True)
class ExpectedErrors:
    """Which errors to expect of predictions.

    Attributes:
        bins: int32[b], the bins that labelled rows were in, rising, at least one.
        sizes: float64[b], the mean of |e| there and in the bins that it was put together with.
        squares: float64[b], of e^2.
    """

    bins: Int32s
    sizes: Float64s
    squares: Float64s

    def nearest(self, bins: Int32s) -> Int64s:
        """The place of the bin next to each; of two the lesser.

        Args:
            bins: int32[k].

        Returns:
            int64[k].
        """
        above = np.minimum(np.searchsorted(self.bins, bins), len(self.bins) - 1)
        below = np.maximum(above - 1, 0)
        return np.where(np.abs(self.bins[above] - bins) < np.abs(bins - self.bins[below]), above, below)


def learn_errors(rows: BinnedErrors) -> ExpectedErrors:
    """Learn which errors to expect.

    Args:
        rows: labelled rows, at least one.

    Returns:
        What they say.
    """
    kept = rows.taken(np.flatnonzero(rows.counts > 0))
    sizes, squares = kept.sizes.sums(VALUE_UNIT), kept.squares.sums(SQUARE_UNIT)
    expected = np.empty((2, len(kept.bins)))
    for pool in _pools(kept.counts.tolist()):
        count = int(kept.counts[pool].sum())
        expected[:, pool] = [[_mean(sums[pool], count)] for sums in (sizes, squares)]
    return ExpectedErrors(kept.bins, *expected)


def _pools(counts: Sequence[int]) -> Iterator[slice]:
    """Neighbours put together until there are enough of them; what is left at the end goes to the last."""
    start, rows, left = 0, 0, sum(counts)
    for end, count in enumerate(counts, 1):
        rows, left = rows + count, left - count
        if (rows >= _POOL_ROWS and left >= _POOL_ROWS) or end == len(counts):
            yield slice(start, end)
            start, rows = end, 0


def _mean(sums: Sequence[ExactSum], count: int) -> float:
    whole = ExactSum()
    for one in sums:
        whole.merge(one)
    return whole.divided_by(count)


def report_expected_errors(state: KeyCounts, learned: ExpectedErrors | None, event: Mapping[str, Json]) -> Report:
    """Report which errors are expected.

    Args:
        state: the predictions of the window by bin.
        learned: which errors to expect of them; None while too few labelled rows are known.
        event: its ``quality``, and ``reasons`` for what is null there.

    Returns:
        The section ``estimated``, and in it ``error``, the estimates less what labels say of the same window.
    """
    if state.is_zero():
        return Report({"estimated": {}}, {"estimated": "no_predictions"})
    found: Mapping[str, float | None] = dict.fromkeys(EXPECTED)
    unseen, code = None, NOT_LEARNED
    if learned is not None:
        bins, counts = state.arrays
        unseen, code = int(counts[~np.isin(bins, learned.bins)].sum()) / int(counts.sum()), UNSEEN
        if unseen <= _MOST_UNSEEN:
            found = _expected(learned, bins, counts)
    reasons = {f"estimated.{name}": code for name, value in found.items() if value is None}
    if unseen is None:
        reasons[f"estimated.{UNSEEN_SHARE}"] = code
    errors: dict[str, Json] = {}
    for name, value in found.items():
        real = event["quality"][name]
        errors[name] = None if value is None or real is None else value - real
        if errors[name] is None:
            why = event["reasons"].get(f"quality.{name}") if real is None else code
            reasons[f"estimated.error.{name}"] = why or code
    return Report({"estimated": {**found, UNSEEN_SHARE: unseen, "error": errors}}, reasons)


def _expected(learned: ExpectedErrors, bins: Int32s, counts: Int64s) -> dict[str, float]:
    places, rows = learned.nearest(bins), int(counts.sum())
    mae, mse = (float(weighted_sum(counts, values[places])) / rows for values in (learned.sizes, learned.squares))
    return {"mae": mae, "mse": mse, "rmse": math.sqrt(mse)}
