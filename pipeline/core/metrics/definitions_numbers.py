"""The metrics of models that predict numbers, and the intervals that all of quality shares."""

from pipeline.core.metrics.definition import Metric

_SKETCH = "within 0.78 % (1/129) of the true value; 0 below 2^-64"
_DDSKETCH = "Masson, Rim, Lee 2019, DDSketch, VLDB 12"
_LABELLED = ("no_labels", "overflow")


def _residual(percent: int) -> Metric:
    return Metric(
        f"quality.residual_p{percent:02}",
        f"the e of rank floor(0.{percent:02} (n - 1)) from below, counted from 0",
        _DDSKETCH,
        "numpy.quantile",
        "the label's",
        _SKETCH,
        nulls=_LABELLED,
        cost="sketch",
    )


def _size(percent: int) -> Metric:
    return Metric(
        f"quality.absolute_error_p{percent}",
        f"{percent} % quantile of |e|, interpolated",
        _DDSKETCH,
        "numpy.quantile",
        "the label's",
        _SKETCH,
        nulls=_LABELLED,
        cost="sketch",
    )


NUMBERS: tuple[Metric, ...] = (
    Metric(
        "quality.mse",
        "sum e^2 / n",
        "",
        "sklearn.metrics.mean_squared_error",
        "the label's, squared",
        interval="normal, exact second moment",
        nulls=_LABELLED,
        cost="sum",
    ),
    Metric(
        "quality.rmse",
        "sqrt(mse)",
        "",
        "sklearn.metrics.root_mean_squared_error",
        "the label's",
        interval="roots of mse's",
        nulls=_LABELLED,
    ),
    Metric(
        "quality.mae",
        "sum |e| / n",
        "",
        "sklearn.metrics.mean_absolute_error",
        "the label's",
        interval="normal, exact second moment",
        nulls=_LABELLED,
        cost="sum",
    ),
    Metric(
        "quality.bias",
        "sum e / n; above 0 where too much is predicted",
        "",
        "numpy.mean",
        "the label's",
        interval="normal, exact second moment",
        nulls=_LABELLED,
        cost="sum",
    ),
    Metric(
        "quality.mape",
        "mean of |e| / max(abs y, 2^-52)",
        "de Myttenaere et al. 2016, Neurocomputing 192",
        "sklearn.metrics.mean_absolute_percentage_error",
        nulls=_LABELLED,
        cost="sum",
    ),
    Metric(
        "quality.smape",
        "mean of 2 |e| / (|y| + |p|), 0 where both are 0; 0 to 2",
        "Makridakis 1993, Int. J. Forecasting 9",
        "plain Python",
        nulls=_LABELLED,
        cost="sum",
    ),
    Metric(
        "quality.msle",
        "mean of (log(1 + p) - log(1 + y))^2",
        "",
        "sklearn.metrics.mean_squared_log_error",
        "squared log",
        nulls=(*_LABELLED, "not_above_minus_one"),
        cost="sum",
    ),
    Metric(
        "quality.rmsle",
        "sqrt(msle)",
        "",
        "sklearn.metrics.root_mean_squared_log_error",
        "log",
        nulls=(*_LABELLED, "not_above_minus_one"),
    ),
    Metric(
        "quality.r2",
        "1 - sum e^2 / sum (y - mean y)^2; at most 1",
        "Wright 1921, J. Agric. Res. 20",
        "sklearn.metrics.r2_score",
        nulls=(*_LABELLED, "too_few_rows", "constant_target"),
        cost="sum",
    ),
    Metric(
        "quality.explained_variance",
        "1 - var e / var y; at most 1",
        "",
        "sklearn.metrics.explained_variance_score",
        nulls=(*_LABELLED, "too_few_rows", "constant_target"),
    ),
    Metric(
        "quality.median_absolute_error",
        "median of |e|",
        _DDSKETCH,
        "sklearn.metrics.median_absolute_error",
        "the label's",
        _SKETCH,
        "order statistics, widened by the sketch's error",
        _LABELLED,
        "sketch",
    ),
    *(_size(percent) for percent in (90, 99)),
    *(_residual(percent) for percent in (5, 25, 50, 75, 95)),
)

INTERVALS: tuple[Metric, ...] = (
    Metric(
        "quality.intervals.<metric>",
        "`low` and `high` of the metric's two-sided interval at `quality.interval_level`",
        "see the metric",
        "see the metric",
        "the metric's",
        "approximate: holds about as often as it says",
        nulls=("no_labels", "no_variance", "too_few_rows", "overflow"),
    ),
)
