"""Whether scores are probabilities: of rows with a score of about s, a share of s should be of the positive class.

- The reliability table cuts the scores into bins of equal width, (0, 0.1] and so on, and 0 into the first, as
  scikit-learn's ``calibration_curve`` does; its rates have Wilson intervals.
- ``ece`` is the mean over the rows of the distance between their bin's mean score and positive rate (Naeini, Cooper,
  Hauskrecht 2015, "Obtaining Well Calibrated Probabilities Using Bayesian Binning"; Guo et al. 2017), ``mce`` the
  greatest distance of any bin, ``adaptive_ece`` the first for bins of equally many rows (Nixon et al. 2019, "Measuring
  Calibration in Deep Learning"), which cut no fine bin and take scores from the middle of theirs.
- A distance is never below zero, so that chance alone makes ``ece`` greater than it is. Hence the lower bounds are
  those that the bins' rates allow all at once, each at a level that lets all of them hold (Bonferroni): they say
  whether there is any distance. The upper bounds of the means recover variances (Zou, Donner 2008) from the bounds of
  each bin's rate; that of ``mce`` is the greatest of what all rates allow at once.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core.accumulate.score_bins import edge_keys
from pipeline.core.accumulate.scores import ScoredClass
from pipeline.core.events import Int64s, Json
from pipeline.core.kernels.scores import PARTS, UNIT_BITS, weighted_sum
from pipeline.core.metrics.intervals import Interval, normal_deviate, wilson_interval
from pipeline.core.metrics.score_table import ScoreTable


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Some rows with scores near each other.

    Attributes:
        low: scores are above this; in the first bin, it too.
        high: and not above this.
        count: how many rows, at least 1.
        positives: those of the positive class.
        mean_score: of all of them.
    """

    low: float
    high: float
    count: int
    positives: int
    mean_score: float

    @property
    def distance(self) -> float:
        """How far the positive rate is from the mean score."""
        return abs(self.mean_score - self.positives / self.count)


def equal_width_bins(table: ScoreTable, bins: int) -> list[CalibrationBin]:
    """The rows in bins of equal width.

    Args:
        table: the rows.
        bins: how many bins, a divisor of 20.

    Returns:
        Those that hold rows, rising.
    """
    ends = np.searchsorted(table.keys, edge_keys(bins), side="right")
    counts = _differences(np.cumsum(table.positive + table.negative), ends)
    positives = _differences(np.cumsum(table.positive), ends)
    step = PARTS // bins
    found = []
    for place, (count, hits) in enumerate(zip(counts, positives, strict=True)):
        if count:
            parts = range(place * step, (place + 1) * step)
            units = sum(_units(one, parts) for one in (table.of_positive, table.of_negative))
            mean = units / (count << UNIT_BITS)
            found.append(CalibrationBin(place / bins, (place + 1) / bins, count, hits, mean))
    return found


def equal_mass_bins(table: ScoreTable, bins: int) -> list[CalibrationBin]:
    """The rows in bins of about equally many; a bin ends where the middle of a part of a fine bin passes its share.

    Args:
        table: the rows.
        bins: how many bins.

    Returns:
        Those that hold rows, rising.
    """
    counts = table.positive + table.negative
    place = (2 * np.cumsum(counts) - counts) * bins // (2 * table.rows)
    ends = np.searchsorted(place, np.arange(bins), side="right")
    rows, hits = _differences(np.cumsum(counts), ends), _differences(np.cumsum(table.positive), ends)
    found, start = [], 0
    for end, count, positives in zip(ends.tolist(), rows, hits, strict=True):
        if count:
            scores = table.middle[start:end]
            mean = weighted_sum(counts[start:end], scores) / count
            found.append(CalibrationBin(float(scores[0]), float(scores[-1]), count, positives, mean))
        start = end
    return found


def _differences(sums: Int64s, ends: Int64s) -> list[int]:
    at_ends = np.concatenate(([0], sums))[ends]
    return [int(one) for one in np.diff(at_ends, prepend=0)]


def _units(rows: ScoredClass, parts: range) -> int:
    return sum(rows.units.get(part, 0) for part in parts)


def expected_error(bins: Sequence[CalibrationBin]) -> float:
    """The mean distance over the rows.

    Args:
        bins: at least one.
    """
    return math.fsum(one.count * one.distance for one in bins) / sum(one.count for one in bins)


def greatest_error(bins: Sequence[CalibrationBin]) -> float:
    """The greatest distance.

    Args:
        bins: at least one.
    """
    return max(one.distance for one in bins)


def expected_error_interval(bins: Sequence[CalibrationBin], level: float) -> Interval:
    """The interval of the mean distance.

    Args:
        bins: at least one.
        level: its confidence.

    Returns:
        Bounds from 0 to 1.
    """
    rows = sum(one.count for one in bins)
    least = math.fsum(one.count * low for one, (low, _) in zip(bins, _together(bins, level), strict=True)) / rows
    z = normal_deviate(level)
    above = math.hypot(*(one.count * (_bounds(one, z)[1] - one.distance) for one in bins)) / rows
    return least, min(expected_error(bins) + above, 1.0)


def greatest_error_interval(bins: Sequence[CalibrationBin], level: float) -> Interval:
    """The interval of the greatest distance.

    Args:
        bins: at least one.
        level: its confidence.

    Returns:
        Bounds from 0 to 1.
    """
    lows, highs = zip(*_together(bins, level), strict=True)
    return max(lows), max(highs)


def _together(bins: Sequence[CalibrationBin], level: float) -> list[Interval]:
    """Bounds of each bin's distance that hold all at once."""
    z = normal_deviate(1 - (1 - level) / len(bins))
    return [_bounds(one, z) for one in bins]


def _bounds(one: CalibrationBin, z: float) -> Interval:
    """The least and the greatest distance that the bounds of a bin's rate allow."""
    low, high = wilson_interval(one.positives, one.count, z)
    near = max(low - one.mean_score, one.mean_score - high, 0.0)
    return near, max(one.mean_score - low, high - one.mean_score)


def reliability_table(bins: Sequence[CalibrationBin], z: float) -> list[Json]:
    """The bins as a window event has them.

    Args:
        bins: with rows.
        z: the normal deviate of the rates' intervals.
    """
    rows = []
    for one in bins:
        low, high = wilson_interval(one.positives, one.count, z)
        rows.append(
            {
                "low": one.low,
                "high": one.high,
                "count": one.count,
                "mean_score": one.mean_score,
                "positive_rate": one.positives / one.count,
                "rate_low": low,
                "rate_high": high,
            }
        )
    return rows
