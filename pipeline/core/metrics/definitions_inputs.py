"""The metrics of what came in: counts, rates, latency, features and their drift, hosts."""

from pipeline.core.metrics.definition import Metric

_ROWS = {
    "predictions": "distinct predictions of the window",
    "labelled": "predictions with a label that suits the task",
    "duplicates": "predictions that came again and were left out",
    "late": "predictions that came after their window had closed for the first time",
    "labels": "labels taken, corrections included",
    "mismatched": "predictions whose label does not suit the task",
    "unmatched_labels": "labels whose prediction never came",
    "unbinned": "predictions whose features are in no drift, or not yet",
}
_NOT_COMPARED = ("reference_changed", "too_few_rows")
_NO_REFERENCE = ("reference_learning", "no_features", *_NOT_COMPARED)
_SKETCH = "within 0.78 % (1/129) of the true value, between 2^-20 and 2^32 ms"
_DDSKETCH = "Masson, Rim, Lee 2019, DDSketch, VLDB 12"
_MS = "ms"

COUNTS: tuple[Metric, ...] = (
    *(Metric(f"counts.{name}", text, "", "plain Python", "rows", cost="count") for name, text in _ROWS.items()),
    Metric("label_coverage", "labelled / predictions", "", "plain Python", nulls=("no_predictions",)),
    Metric("throughput_per_s", "predictions / the window's length", "", "plain Python", "1/s"),
)

LATENCY: tuple[Metric, ...] = (
    Metric("latency_ms.mean", "arithmetic mean", "", "numpy.mean", _MS, nulls=("no_latencies",), cost="sum"),
    *(
        Metric(
            f"latency_ms.p{percent}",
            f"the latency of rank floor(0.{percent} (n - 1)) from below, counted from 0",
            _DDSKETCH,
            "numpy.quantile",
            _MS,
            _SKETCH,
            nulls=("no_latencies",),
            cost="sketch",
        )
        for percent in (50, 95, 99)
    ),
    Metric("latency_ms.max", "the longest", "", "numpy.max", _MS, nulls=("no_latencies",), cost="count"),
)

DRIFT: tuple[Metric, ...] = (
    Metric(
        "drift.<feature>.psi",
        "sum (p - q) ln(p / q) over the reference's slots, half a row added to each",
        "Yurdakul 2018; Jeffreys 1946",
        "plain Python",
        "nat",
        nulls=_NOT_COMPARED,
        cost="bins",
    ),
    Metric(
        "drift.<feature>.js",
        "sqrt of the Jensen-Shannon divergence in bits over the reference's slots; 0 to 1",
        "Lin 1991, IEEE Trans. Inf. Theory 37",
        "scipy.spatial.distance.jensenshannon",
        nulls=_NOT_COMPARED,
        cost="bins",
    ),
    Metric(
        "drift.<feature>.drifted",
        "psi or js is at its threshold or above, and above what chance gives once in a thousand windows",
        "Yurdakul 2018; Wilson, Hilferty 1931",
        "scipy.stats.chi2",
        "true or false",
        "approximate: the bound of chance is within 4 % of the chi-square quantile",
        nulls=_NOT_COMPARED,
    ),
    Metric("drift_summary.features", "features compared", "", "plain Python", "features", nulls=_NO_REFERENCE),
    Metric("drift_summary.drifted_features", "those that drifted", "", "plain Python", "features", nulls=_NO_REFERENCE),
    Metric("drift_summary.drifted_share", "drifted / compared", "", "plain Python", nulls=_NO_REFERENCE),
)

_VALUES = "the feature's"
DATA_QUALITY: tuple[Metric, ...] = (
    Metric("data_quality.<feature>.count", "rows with a value", "", "plain Python", "rows", cost="count"),
    Metric("data_quality.<feature>.missing", "rows with features but not this one", "", "plain Python", "rows"),
    Metric("data_quality.<feature>.missing_ratio", "missing / rows with features", "", "plain Python"),
    Metric(
        "data_quality.<feature>.mean",
        "mean of its numbers",
        "",
        "numpy.mean",
        _VALUES,
        nulls=("no_numbers",),
        cost="sum",
    ),
    Metric(
        "data_quality.<feature>.std",
        "standard deviation of its numbers, the population's",
        "",
        "numpy.std",
        _VALUES,
        nulls=("no_numbers",),
        cost="sum",
    ),
    Metric("data_quality.<feature>.min", "least number", "", "numpy.min", _VALUES, nulls=("no_numbers",), cost="count"),
    Metric(
        "data_quality.<feature>.max", "greatest number", "", "numpy.max", _VALUES, nulls=("no_numbers",), cost="count"
    ),
)

_READ = "the reading's"
HOSTS: tuple[Metric, ...] = (
    Metric("host.<metric>.mean", "mean of the readings", "", "numpy.mean", _READ, cost="sum"),
    Metric("host.<metric>.min", "least reading", "", "numpy.min", _READ, cost="count"),
    Metric("host.<metric>.max", "greatest reading", "", "numpy.max", _READ, cost="count"),
    Metric("host.<metric>.last", "the latest reading by its time", "", "plain Python", _READ, cost="count"),
)
