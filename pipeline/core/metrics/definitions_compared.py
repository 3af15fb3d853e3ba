"""The metrics that compare: live rows with training and past, segments with each other, events with objectives."""

from pipeline.core.metrics.definition import Metric

_RANKED = "worst_segments.<rank>"
_THE_METRICS = "the metric's"
WORST_SEGMENTS: tuple[Metric, ...] = (
    Metric(
        f"{_RANKED}.value",
        "the metric `quality.worst_segments.metrics` of the segment that is surely worst (`<rank>` 0), second worst, …",
        "",
        "plain Python",
        _THE_METRICS,
    ),
    Metric(f"{_RANKED}.labelled", "the segment's labelled rows", "", "plain Python", "rows", cost="count"),
    *(
        Metric(
            f"{_RANKED}.{bound}",
            f"the {name} bound of the metric's interval in the segment; {use}",
            "",
            "plain Python",
            _THE_METRICS,
            "approximate: holds about as often as it says",
            nulls=("no_variance",),
        )
        for bound, name, use in (
            ("low", "lower", "losses are ranked by it, the highest first"),
            ("high", "upper", "scores are ranked by it, the lowest first"),
        )
    ),
)

_NOT_MEASURED, _LIVE_NULL = "not_measured", "live_null"
_TRACKED = "generalisation.<metric>"
_OF_MODEL = "of the version's `model.v1` event, for each of `quality.tracked`"
_ERROR = "E is the metric for a loss, 1 - metric for a score"
_GOODFELLOW = "Goodfellow, Bengio, Courville 2016, Deep Learning, ch. 5.2"
GENERALISATION: tuple[Metric, ...] = (
    Metric(
        f"{_TRACKED}.train", f"`metrics.train.<metric>` {_OF_MODEL}", "", "plain Python", _THE_METRICS,
        nulls=(_NOT_MEASURED,),
    ),
    Metric(
        f"{_TRACKED}.test", f"`metrics.test.<metric>` {_OF_MODEL}", "", "plain Python", _THE_METRICS,
        nulls=(_NOT_MEASURED,),
    ),
    Metric(
        f"{_TRACKED}.overfit_gap", f"E(test) - E(train); {_ERROR}", _GOODFELLOW, "plain Python", _THE_METRICS,
        nulls=(_NOT_MEASURED,),
    ),
    Metric(
        f"{_TRACKED}.live_gap", "E(live) - E(train): the generalisation gap on the stream", _GOODFELLOW, "plain Python",
        _THE_METRICS, nulls=(_NOT_MEASURED, _LIVE_NULL),
    ),
    Metric(
        f"{_TRACKED}.train_live_ratio", "E(train) / E(live): 1 where live rows are as easy, towards 0 for a model that "
        "is overfitted", "", "plain Python", nulls=(_NOT_MEASURED, _LIVE_NULL, "undefined", "overflow"),
    ),
    Metric(
        f"{_TRACKED}.complement", "1 - E(train) / E(live): the share of the live error that the training did not show",
        "", "plain Python", nulls=(_NOT_MEASURED, _LIVE_NULL, "undefined", "overflow"),
    ),
)  # fmt: skip

_LEAST_SQUARES = "Draper, Smith 1998, Applied Regression Analysis, ch. 9.2"
_TREND = "ageing.<metric>"
_A_DAY = "the metric's, a day"
_NO_TREND = ("too_few_windows", "overflow")
AGEING: tuple[Metric, ...] = (
    Metric(
        f"{_TREND}.slope_per_day",
        "slope of the straight line through the metric in the version's final windows of this size, weighted by "
        "labelled rows, for each of `quality.tracked`; of windows that overlap only those count whose start is a "
        "common multiple of size and slide",
        _LEAST_SQUARES,
        "numpy.polyfit",
        _A_DAY,
        interval="see `low` and `high`",
        nulls=_NO_TREND,
    ),
    *(
        Metric(
            f"{_TREND}.{bound}",
            f"slope {sign} t times its standard error, t of Student's distribution with windows - 2 degrees of "
            "freedom at `quality.interval_level`",
            _LEAST_SQUARES,
            "scipy.stats.linregress",
            _A_DAY,
            "approximate: takes the windows for independent",
            nulls=(*_NO_TREND, "no_variance"),
        )
        for bound, sign in (("low", "-"), ("high", "+"))
    ),
    Metric(f"{_TREND}.windows", "the windows that the trend is of", "", "plain Python", "windows", cost="count"),
)

_WORKBOOK = "Beyer et al. 2018, The Site Reliability Workbook, ch. 2, 5"
_OBJECTIVE = "objectives.<objective>"
_EDGE = "its threshold is held within 0.78 % (1/129)"
_NO_EVENTS = ("no_events",)
OBJECTIVES: tuple[Metric, ...] = (
    Metric(
        f"{_OBJECTIVE}.good", "events of the window that are good: predictions faster than `latency_ms`, or labelled "
        "rows that are right or closer than `absolute_error`", "", "plain Python", "events", _EDGE, cost="sketch",
    ),
    Metric(
        f"{_OBJECTIVE}.total", "events that could be: predictions with a latency, or labelled rows", "", "plain Python",
        "events", cost="count",
    ),
    Metric(f"{_OBJECTIVE}.good_ratio", "good / total", _WORKBOOK, "plain Python", exactness=_EDGE, nulls=_NO_EVENTS),
    Metric(
        f"{_OBJECTIVE}.error_budget_left", "1 - bad / ((1 - target) total), over the `period` up to the window's end",
        _WORKBOOK, "plain Python", exactness=f"{_EDGE}; longer than 1,000 panes, a length is up to 0.1 % of the "
        "objective's longest one longer", nulls=_NO_EVENTS,
    ),
    Metric(
        f"{_OBJECTIVE}.burn_rate.<length>", "bad / ((1 - target) total), over the length up to the window's end; of "
        "two lengths, `1h/5m`, the lesser one", _WORKBOOK, "plain Python", exactness="as `error_budget_left`",
        nulls=_NO_EVENTS,
    ),
)  # fmt: skip
