"""Quality of number predictions, from exact sums.

An error is the prediction minus the label, so a positive bias predicts too much. With n rows, y the labels, p the
predictions and e = p - y:

- ``mse`` sum e^2 / n, ``rmse`` its root, ``mae`` sum |e| / n, ``bias`` sum e / n.
- ``mape`` mean of |e| / max(|y|, 2^-52), ``smape`` mean of 2|e| / (|y| + |p|), 0 where both are 0 (Makridakis 1993,
  "Accuracy measures"): shares, not per cent.
- ``msle`` mean of (log(1 + p) - log(1 + y))^2, ``rmsle`` its root; for numbers above -1.
- ``r2`` 1 - sum e^2 / sum (y - mean y)^2, ``explained_variance`` 1 - var e / var y; for labels that differ.
"""

import math
from collections.abc import Callable, Mapping

from pipeline.core.accumulate.errors import Errors
from pipeline.core.events import Json, Task
from pipeline.core.family import Context, Report
from pipeline.core.metrics.intervals import Interval, as_section, error_of_mean, normal_deviate, normal_interval

_ROUNDED = 2.0**-25
"""A deviation of squared errors this small, as a share of their mean, is what rounding them made."""


def report_errors(state: Errors, context: Context) -> Report:
    """Report the errors of a regression.

    Args:
        state: the sums of the window.
        context: what the window is of.

    Returns:
        The section ``quality``; empty for other tasks. ``overflow`` is the reason for a number beyond the doubles.
    """
    if context.task is not Task.REGRESSION:
        return Report()
    quality: dict[str, Json] = {}
    reasons: dict[str, str] = {}
    for name, compute in _METRICS.items():
        quality[name] = None
        code = _unusable(state, name)
        if code is None:
            try:
                quality[name] = compute(state)
            except OverflowError:
                code = "overflow"
        if code is not None:
            reasons[f"quality.{name}"] = code
    if not state.count or state.beyond:
        reasons["quality.intervals"] = "overflow" if state.beyond else "no_labels"
        return Report({"quality": {**quality, "intervals": {}}}, reasons)
    intervals = _intervals(state, quality, normal_deviate(context.quality.interval_level))
    beyond = [name for name, one in intervals.items() if one and not all(map(math.isfinite, one))]
    section, why = as_section(intervals | dict.fromkeys(beyond))
    why |= {f"quality.intervals.{name}": "overflow" for name in beyond}
    return Report({"quality": {**quality, "intervals": section}}, reasons | why)


def _unusable(state: Errors, name: str) -> str | None:
    """Why a metric cannot be computed."""
    if state.beyond:
        return "overflow"
    if not state.count:
        return "no_labels"
    if name == "mape" and state.beyond_ratios:
        return "overflow"
    if name in ("msle", "rmsle") and state.beyond_logs:
        return "not_above_minus_one"
    if name in ("r2", "explained_variance") and state.labels.variation(state.label_squares, state.count).is_zero():
        return "constant_target" if state.count > 1 else "too_few_rows"
    return None


def _r2(state: Errors) -> float:
    spread = state.labels.variation(state.label_squares, state.count).as_fraction()
    return float((spread - state.count * state.squares.as_fraction()) / spread)


def _explained_variance(state: Errors) -> float:
    spread = state.labels.variation(state.label_squares, state.count).as_fraction()
    return float((spread - state.total.variation(state.squares, state.count).as_fraction()) / spread)


_METRICS: Mapping[str, Callable[[Errors], float]] = {
    "mse": lambda state: state.squares.divided_by(state.count),
    "rmse": lambda state: state.squares.root_divided_by(state.count),
    "mae": lambda state: state.sizes.divided_by(state.count),
    "bias": lambda state: state.total.divided_by(state.count),
    "mape": lambda state: state.ratios.divided_by(state.count),
    "smape": lambda state: state.symmetric.divided_by(state.count),
    "msle": lambda state: state.log_squares.divided_by(state.count),
    "rmsle": lambda state: state.log_squares.root_divided_by(state.count),
    "r2": _r2,
    "explained_variance": _explained_variance,
}


def _intervals(state: Errors, quality: Mapping[str, Json], z: float) -> dict[str, Interval | None]:
    """The normal intervals of the means, from exact second moments."""
    found: dict[str, Interval | None] = {}
    if quality["mae"] is not None:
        found["mae"] = normal_interval(quality["mae"], error_of_mean(state.sizes, state.squares, state.count), z, 0.0)
    if quality["bias"] is not None:
        found["bias"] = normal_interval(quality["bias"], error_of_mean(state.total, state.squares, state.count), z)
    if quality["mse"] is not None and not state.beyond_squares:
        error = error_of_mean(state.squares, state.fourth, state.count)
        real = error * math.sqrt(state.count) > _ROUNDED * quality["mse"]
        mse = found["mse"] = normal_interval(quality["mse"], error, z, 0.0) if real else None
        found["rmse"] = mse and (math.sqrt(mse[0]), math.sqrt(mse[1]))
    return found
