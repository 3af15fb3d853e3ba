"""What predictions were worth, by a matrix of gains: Elkan 2001, "The Foundations of Cost-Sensitive Learning"."""

import math
from collections.abc import Mapping
from fractions import Fraction

from pipeline.core.accumulate.confusion import Confusion
from pipeline.core.events import Json
from pipeline.core.metrics.intervals import Interval, normal_interval


def business_value(
    state: Confusion, gains: Mapping[tuple[str, str], float], z: float
) -> tuple[dict[str, Json], dict[str, Interval | None]]:
    """The value of a window's labelled predictions.

    Args:
        state: the confusion matrix, at least one row.
        gains: (predicted class, true class) to the gain of a row, negative for a cost; what is not in it is worth 0.
        z: the normal deviate of the interval.

    Returns:
        ``business_value``, the sum, and ``business_value_per_prediction``, the mean, both rounded once; and the normal
        interval of the mean from the exact second moment, None for rows of one value or a single row.
    """
    rows = sum(state.counts.values())
    total = squares = Fraction()
    for outcome, count in state.counts.items():
        gain = Fraction(gains.get(outcome, 0.0))
        total += count * gain
        squares += count * gain * gain
    values = {"business_value": float(total), "business_value_per_prediction": float(total / rows)}
    interval = None
    if rows > 1:
        error = math.sqrt((squares - total * total / rows) / (rows * (rows - 1)))
        interval = normal_interval(float(total / rows), error, z)
    return values, {"business_value_per_prediction": interval}
