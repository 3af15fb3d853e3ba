"""Confidence intervals from counts and moments alone, so that they merge as their metrics do.

- A proportion: the score interval of Wilson (1927, "Probable Inference, the Law of Succession, and Statistical
  Inference"); it holds its level for few rows too, and at 0 and 1.
- F1: with J = TP / (TP + FP + FN), a proportion, F1 = 2J / (1 + J) rises with J (Hand, Christen, Kirielle 2021, "F*: an
  interpretable transformation of the F-measure"), so Wilson's bounds of J are carried over.
- A mean of independent proportions: the method of variance estimates recovery (Zou, Donner 2008, "Construction of
  confidence limits about effect measures") from each one's Wilson interval.
- Everything else: the normal interval around the value, its standard error from exact second moments or by the delta
  method (``class_table.py``).

Each is two-sided: at level 0.95 the true value lies below the interval once in forty windows and above it as often.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import TypeAlias

from pipeline.core.accumulate.exact_sum import ExactSum
from pipeline.core.events import Json

Interval: TypeAlias = tuple[float, float]
"""Lower and upper bound."""

NO_VARIANCE = "no_variance"
"""The reason where rows that are all alike give no standard error: that is not the same as certainty."""

_LEAST_ERROR = 1e-12
"""A standard error this small, as a share of what it belongs to, is what rounding leaves of none."""


def normal_deviate(level: float) -> float:
    """How many standard errors a two-sided interval reaches to each side.

    Args:
        level: its confidence, between 0 and 1.

    Returns:
        1.96 for 0.95.
    """
    return NormalDist().inv_cdf((1 + level) / 2)


def wilson_interval(hits: int, trials: int, z: float) -> Interval:
    """The interval of a proportion.

    Args:
        hits: from 0 to ``trials``.
        trials: at least 1.
        z: the normal deviate.

    Returns:
        Bounds from 0 to 1.
    """
    share, spread = hits / trials, z * z / trials
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / trials + spread / (4 * trials)) / (1 + spread)
    return (max(middle - half, 0.0) if hits else 0.0, min(middle + half, 1.0) if hits < trials else 1.0)


def f1_interval(hits: int, predicted: int, support: int, z: float) -> Interval:
    """The interval of one class's F1.

    Args:
        hits: its true positives.
        predicted: rows predicted as it; one of ``predicted`` and ``support`` is above 0.
        support: rows that are of it.
        z: the normal deviate.

    Returns:
        Bounds from 0 to 1.
    """
    low, high = wilson_interval(hits, predicted + support - hits, z)
    return 2 * low / (1 + low), 2 * high / (1 + high)


def mean_interval(parts: Sequence[tuple[int, int]], z: float) -> Interval:
    """The interval of the plain mean of independent proportions.

    Args:
        parts: hits and trials of each, trials above 0; at least one.
        z: the normal deviate.

    Returns:
        Bounds from 0 to 1.
    """
    shares = [hits / trials for hits, trials in parts]
    bounds = [wilson_interval(hits, trials, z) for hits, trials in parts]
    mean = math.fsum(shares) / len(parts)
    below = math.hypot(*(share - low for share, (low, _) in zip(shares, bounds, strict=True))) / len(parts)
    above = math.hypot(*(high - share for share, (_, high) in zip(shares, bounds, strict=True))) / len(parts)
    return max(mean - below, 0.0), min(mean + above, 1.0)


def normal_interval(
    value: float, error: float, z: float, least: float = -math.inf, greatest: float = math.inf
) -> Interval | None:
    """The interval of something about normally distributed.

    Args:
        value: what was measured.
        error: its standard error.
        z: the normal deviate.
        least: the least value there can be.
        greatest: the greatest value there can be.

    Returns:
        The bounds; None where there is no standard error.
    """
    if error <= _LEAST_ERROR * max(abs(value), error):
        return None
    return max(value - z * error, least), min(value + z * error, greatest)


def error_of_mean(total: ExactSum, squares: ExactSum, count: int) -> float:
    """The standard error of a mean: the sample's standard deviation over the root of the count.

    Args:
        total: the exact sum.
        squares: the sum of the squares.
        count: the number of rows.

    Returns:
        0 for one row, and where squares that were rounded before they were summed leave less than nothing.
    """
    variation = total.variation(squares, count)
    if count < 2 or variation.mantissa <= 0:
        return 0.0
    return variation.root_divided_by(count * count) / math.sqrt(count - 1)


def as_section(intervals: Mapping[str, Interval | None]) -> tuple[dict[str, Json], dict[str, str]]:
    """Intervals as ``quality.intervals`` has them.

    Args:
        intervals: by metric; None where rows that are all alike give none.

    Returns:
        Each metric's ``low`` and ``high``, or None; and the reason of each None by its path.
    """
    section = {
        name: None if interval is None else {"low": interval[0], "high": interval[1]}
        for name, interval in intervals.items()
    }
    reasons = {f"quality.intervals.{name}": NO_VARIANCE for name, interval in intervals.items() if interval is None}
    return section, reasons
