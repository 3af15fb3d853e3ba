"""How a version ages: the trend of a metric over its windows since the first, as a straight line with its interval.

Weighted least squares (Draper, Smith 1998, "Applied Regression Analysis", ch. 9.2) through k windows with start x,
metric y and labelled rows w as weight, since the variance of what is averaged over a window goes with 1 / w. With sums
over windows

- A = Σw Σwx² - (Σwx)², B = Σw Σwxy - Σwx Σwy, C = Σw Σwy² - (Σwy)²
- slope = B / A, its squared standard error (C / A - slope²) / (k - 2)
- interval: slope ± t · standard error, t of Student's distribution with k - 2 degrees of freedom.

The sums are exact, so windows may come in any order and states may be merged; only the end is rounded. The interval
takes the windows for independent: a metric that wanders (a weekly pattern, say) has more uncertainty than it says.
"""

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Self

from pipeline.core.accumulate.exact_sum import ExactSum
from pipeline.core.events import Json
from pipeline.core.family import Report
from pipeline.core.metrics.intervals import NO_VARIANCE
from pipeline.core.metrics.student import student_deviate

SECTION = "ageing"
MIN_WINDOWS = 3
"""Two windows lie on a line whatever they are."""

_DAY_MS = 86_400_000
_ROOT_BITS = 64
_SUMS = ("w", "wx", "wxx", "wy", "wxy", "wyy")


class Trend:
    """The sums of one metric over windows."""

    __slots__ = ("sums", "windows")

    def __init__(self) -> None:
        self.windows = 0
        self.sums: dict[str, ExactSum] = {name: ExactSum() for name in _SUMS}

    def add(self, start_ms: int, value: float, weight: int) -> None:
        """Count a window, once.

        Args:
            start_ms: its start.
            value: the metric, finite.
            weight: its labelled rows, at least 1.
        """
        digits, denominator = value.as_integer_ratio()
        exponent = 1 - denominator.bit_length()
        self.windows += 1
        for name, mantissa, power in (
            ("w", 1, 0), ("wx", start_ms, 0), ("wxx", start_ms**2, 0),
            ("wy", digits, 1), ("wxy", start_ms * digits, 1), ("wyy", digits**2, 2),
        ):  # fmt: skip
            self.sums[name].merge(ExactSum(weight * mantissa, power * exponent))

    def merge(self, other: Self) -> None:
        """Add the windows of another state; none may be in both.

        Args:
            other: the other state.
        """
        self.windows += other.windows
        for name, one in other.sums.items():
            self.sums[name].merge(one)

    def to_wire(self) -> Json:
        """``[windows, sum, …]``, the sums of ``_SUMS``."""
        return [self.windows, *(self.sums[name].to_wire() for name in _SUMS)]

    @classmethod
    def from_wire(cls, wire: Json) -> Self:
        """Read what ``to_wire`` wrote.

        Args:
            wire: the JSON value.
        """
        trend = cls()
        trend.windows, *sums = wire
        trend.sums = {name: ExactSum.from_wire(one) for name, one in zip(_SUMS, sums, strict=True)}
        return trend

    def line(self) -> tuple[float, float]:
        """The straight line through the windows; there are at least ``MIN_WINDOWS``, with different starts.

        Returns:
            Its slope a day, and the slope's standard error, 0 where all windows lie on the line.

        Raises:
            OverflowError: one of them is beyond the doubles.
        """
        w, wx, wxx, wy, wxy, wyy = (self.sums[name].as_fraction() for name in _SUMS)
        spread = w * wxx - wx * wx
        slope = (w * wxy - wx * wy) / spread
        squared = ((w * wyy - wy * wy) / spread - slope * slope) / (self.windows - 2)
        return float(slope * _DAY_MS), _root(squared * _DAY_MS**2)


def report_ageing(trends: Mapping[str, Trend], level: float) -> Report:
    """Report the trends of a version.

    Args:
        trends: by metric.
        level: the confidence of the two-sided intervals.

    Returns:
        The section ``ageing``: each metric's ``slope_per_day``, its ``low`` and ``high``, and the number of windows.
    """
    values: dict[str, dict[str, Json]] = {}
    reasons: dict[str, str] = {}
    for metric, trend in trends.items():
        found: dict[str, float | str] = dict.fromkeys(("slope_per_day", "low", "high"), "too_few_windows")
        if trend.windows >= MIN_WINDOWS:
            found = _numbers(trend, level)
        values[metric] = {name: None if isinstance(one, str) else one for name, one in found.items()}
        values[metric]["windows"] = trend.windows
        reasons |= {f"{SECTION}.{metric}.{name}": one for name, one in found.items() if isinstance(one, str)}
    return Report({SECTION: values}, reasons)


def _numbers(trend: Trend, level: float) -> dict[str, float | str]:
    try:
        slope, error = trend.line()
    except OverflowError:
        return dict.fromkeys(("slope_per_day", "low", "high"), "overflow")
    if not error:
        return {"slope_per_day": slope, "low": NO_VARIANCE, "high": NO_VARIANCE}
    reach = student_deviate(level, trend.windows - 2) * error
    bounds = {"low": slope - reach, "high": slope + reach}
    return {"slope_per_day": slope, **{name: one if math.isfinite(one) else "overflow" for name, one in bounds.items()}}


def _root(square: Fraction) -> float:
    """The square root of an exact number that is not negative; OverflowError beyond the doubles."""
    # Scaled by an even power of two, so that the integer root has more bits than a double.
    scale = max(0, square.denominator.bit_length() - square.numerator.bit_length() + 2 * _ROOT_BITS)
    scale += scale % 2
    return math.ldexp(math.isqrt((square.numerator << scale) // square.denominator), -scale // 2)
