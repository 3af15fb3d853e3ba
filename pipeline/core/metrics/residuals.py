"""How the errors of number predictions are distributed, from a sketch whose values are within 1/129 of the true ones.

- ``median_absolute_error``, ``absolute_error_p90``, ``absolute_error_p99``: quantiles of |e|, interpolated between two
  rows as numpy and scikit-learn do; all values are on one side of zero, so the result is within 1/129, too.
- ``residual_p05`` to ``residual_p95``: quantiles of e = prediction - label, without interpolation: the row of rank
  floor(share (n - 1)), which numpy calls ``lower``.

The interval of the median is that of order statistics (Conover 1999, "Practical Nonparametric Statistics", 3.2), which
holds for any distribution, widened by the sketch's error.
"""

import math

from pipeline.core.accumulate.buckets import RELATIVE_ERROR
from pipeline.core.accumulate.residuals import Ranked, Residuals
from pipeline.core.events import Json, Task
from pipeline.core.family import Context, Report
from pipeline.core.metrics.intervals import normal_deviate

_OF_SIZES = {"median_absolute_error": 0.5, "absolute_error_p90": 0.9, "absolute_error_p99": 0.99}
_OF_RESIDUALS = {
    "residual_p05": 0.05,
    "residual_p25": 0.25,
    "residual_p50": 0.5,
    "residual_p75": 0.75,
    "residual_p95": 0.95,
}
_MEDIAN = "median_absolute_error"


def report_residuals(state: Residuals, context: Context) -> Report:
    """Report the quantiles of a regression's errors.

    Args:
        state: the sketch of the window.
        context: what the window is of.

    Returns:
        The section ``quality``; empty for other tasks. ``overflow`` is the reason for a quantile of 2^64 or more.
    """
    if context.task is not Task.REGRESSION:
        return Report()
    if state.is_zero():
        names = (*_OF_SIZES, *_OF_RESIDUALS)
        return Report({"quality": dict.fromkeys(names)}, {f"quality.{name}": "no_labels" for name in names})
    sizes, residuals = state.ranked(sizes=True), state.ranked(sizes=False)
    found: dict[str, float] = {name: _between(sizes, share) for name, share in _OF_SIZES.items()}
    found |= {name: residuals.at(int(share * (residuals.count - 1))) for name, share in _OF_RESIDUALS.items()}
    quality: dict[str, Json] = {name: value if math.isfinite(value) else None for name, value in found.items()}
    reasons = {f"quality.{name}": "overflow" for name, value in quality.items() if value is None}
    low, high = _bounds_of_median(sizes, normal_deviate(context.quality.interval_level))
    known = math.isfinite(high)
    quality["intervals"] = {_MEDIAN: {"low": low, "high": high} if known else None}
    if not known:
        reasons[f"quality.intervals.{_MEDIAN}"] = "too_few_rows" if math.isnan(high) else "overflow"
    return Report({"quality": quality}, reasons)


def _between(ranked: Ranked, share: float) -> float:
    place = share * (ranked.count - 1)
    below = math.floor(place)
    low = ranked.at(below)
    if place == below:
        return low
    high = ranked.at(below + 1)
    return low + (high - low) * (place - below) if high > low else low


def _bounds_of_median(ranked: Ranked, z: float) -> tuple[float, float]:
    """The rows between whose sizes the true median lies; NaN where there are too few rows to say."""
    half = z * math.sqrt(ranked.count) / 2
    low, high = math.floor(ranked.count / 2 - half), math.ceil(ranked.count / 2 + half)
    if low < 1 or high + 1 > ranked.count:
        return math.nan, math.nan
    return ranked.at(low - 1) / (1 + RELATIVE_ERROR), ranked.at(high) / (1 - RELATIVE_ERROR)
