"""The metrics of how long labels take, how many have come, and what those that have not come yet would change."""

from pipeline.core.metrics.definition import Metric

_DDSKETCH = "Masson, Rim, Lee 2019, DDSketch, VLDB 12"
_SKETCH = "within 3.1 % (1/33) of the true value; 0 for labels that came before their prediction"

LABEL_DELAYS: tuple[Metric, ...] = tuple(
    Metric(
        f"label_delay_ms.p{percent}",
        f"label's time less prediction's, of the labels that count: that of rank floor(0.{percent} (n - 1)) from below",
        _DDSKETCH,
        "numpy.quantile",
        "ms",
        _SKETCH,
        nulls=("no_labels",),
        cost="sketch",
    )
    for percent in (50, 90, 95, 99)
)

_PAST = "of the last `quality.maturity.windows` final windows of the version, segment and size"
_SPREAD = "approximate: for predictions that are spread evenly over their window, delays within 3.1 %"
LABEL_MATURITY: tuple[Metric, ...] = (
    Metric(
        "expected_label_coverage",
        f"labels {_PAST} that had come at this window's age / their predictions",
        "",
        "plain Python",
        exactness=_SPREAD,
        nulls=("no_history",),
    ),
    Metric(
        "label_maturity",
        f"labels {_PAST} that had come at this window's age / all that came; 1 when the window is final",
        "",
        "plain Python",
        exactness=_SPREAD,
        nulls=("no_history",),
    ),
)

_CORRECTED = {
    "accuracy": ("rows predicted right / n", "accuracy_score", ()),
    "precision": ("TP / P, of the positive class of a binary model", "precision_score", ("undefined",)),
    "recall": ("TP / T, of the positive class of a binary model", "recall_score", ("undefined",)),
    "f1": ("2 TP / (P + T), of the positive class of a binary model", "f1_score", ()),
    "precision_macro": ("TP / P, plain mean over the classes where it is defined", "precision_score", ()),
    "recall_macro": ("TP / T, plain mean over the classes where it is defined", "recall_score", ()),
    "f1_macro": ("2 TP / (P + T), plain mean over the classes where it is defined", "f1_score", ()),
}
_OF_ALL = ("accuracy", "precision_macro", "recall_macro", "f1_macro")
_NO_POSITIVE = ("unknown_positive_class", "too_many_classes")
CORRECTED: tuple[Metric, ...] = (
    *(
        Metric(
            f"quality.corrected.{name}",
            f"{formula}; each row weighted by 1 / the share of its true class's labels that has come, by past windows",
            "Horvitz, Thompson 1952, JASA 47; Hajek 1971",
            f"sklearn.metrics.{oracle}",
            exactness="exact, given the shares",
            interval="normal, delta method with squared weights",
            nulls=("no_labels", "no_history", "too_immature", *nulls, *(() if name in _OF_ALL else _NO_POSITIVE)),
        )
        for name, (formula, oracle, nulls) in _CORRECTED.items()
    ),
    Metric(
        "quality.corrected.intervals.<metric>",
        "`low` and `high` of the metric's two-sided interval at `quality.interval_level`, the shares taken as known",
        "see the metric",
        "plain Python",
        exactness="approximate: holds about as often as it says",
        nulls=("no_variance",),
    ),
)
