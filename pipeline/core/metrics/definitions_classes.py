"""The metrics of models that predict one class, from their confusion matrix."""

from collections.abc import Iterator

from pipeline.core.metrics.definition import Metric

_RIJSBERGEN = "van Rijsbergen 1979, Information Retrieval, ch. 7"
_POSITIVE = ("no_labels", "undefined", "unknown_positive_class", "too_many_classes")
_NAMES = {
    "precision": ("TP / P", _RIJSBERGEN, "sklearn.metrics.precision_score", "Wilson"),
    "recall": ("TP / T", _RIJSBERGEN, "sklearn.metrics.recall_score", "Wilson"),
    "f1": ("2 TP / (P + T)", _RIJSBERGEN, "sklearn.metrics.f1_score", "Wilson's of TP / (TP + FP + FN), carried over"),
    "fbeta_<beta>": (
        "(1 + beta^2) TP / (P + beta^2 T), for each of `quality.betas`",
        _RIJSBERGEN,
        "sklearn.metrics.fbeta_score",
        "normal, delta method",
    ),
}
_SPECIFICITY = ("TN / (n - T)", "Yerushalmy 1947, Public Health Reports 62", "sklearn.metrics.recall_score", "Wilson")
_AVERAGES = {
    "micro": "of the sums over the classes: the accuracy where each row has one class",
    "macro": "plain mean over the classes where it is defined",
    "weighted": "mean weighted by T over the classes where it is defined",
}
_AVERAGE_INTERVALS = {
    "precision_macro": "variance recovery from each class's Wilson interval",
    "recall_macro": "variance recovery from each class's Wilson interval",
    "recall_weighted": "Wilson; it is the accuracy",
}
_OF_SETS = {"micro": "; of sets: normal, ratio of sums over rows"}


def _averages() -> Iterator[Metric]:
    for name, (formula, source, oracle, _) in _NAMES.items():
        for average, how in _AVERAGES.items():
            full = f"{name}_{average}"
            interval = "that of accuracy" if average == "micro" else "normal, delta method"
            # Where each row has one class each average has some class, but for those of classes that are true nowhere.
            nulls = ("no_labels",) if name.startswith("fbeta") else ("no_labels", "undefined")
            yield Metric(
                f"quality.{full}",
                f"{formula}, {how}",
                source,
                oracle,
                interval=_AVERAGE_INTERVALS.get(full, interval) + _OF_SETS.get(average, "; of sets: none"),
                nulls=nulls,
            )


def _of_class(path: str, of: str, nulls: tuple[str, ...], *, asked: bool) -> Iterator[Metric]:
    for name, (formula, source, oracle, interval) in {**_NAMES, "specificity": _SPECIFICITY}.items():
        shown = f"{interval}; with `quality.class_intervals`" if asked else interval
        # A class that is in the window was predicted or is true: its F-measures are defined.
        given = tuple(code for code in nulls if not (code == "undefined" and name.startswith("f")))
        yield Metric(f"{path}.{name}", f"{formula}, {of}", source, oracle, interval=shown, nulls=given)


CLASSES: tuple[Metric, ...] = (
    Metric(
        "quality.accuracy",
        "rows predicted right / n",
        "",
        "sklearn.metrics.accuracy_score",
        interval="Wilson",
        nulls=("no_labels",),
        cost="count",
    ),
    Metric(
        "quality.balanced_accuracy",
        "mean of TP / T over the classes that are true anywhere",
        "Brodersen et al. 2010, ICPR",
        "sklearn.metrics.balanced_accuracy_score",
        interval="variance recovery from each class's Wilson interval",
        nulls=("no_labels",),
    ),
    Metric(
        "quality.mcc",
        "(c n - sum P T) / sqrt((n^2 - sum P^2)(n^2 - sum T^2)), c rows right, sums over classes; -1 to 1",
        "Gorodkin 2004, Comput. Biol. Chem. 28; Matthews 1975",
        "sklearn.metrics.matthews_corrcoef",
        interval="normal, delta method",
        nulls=("no_labels", "undefined"),
    ),
    Metric(
        "quality.cohen_kappa",
        "(c n - sum P T) / (n^2 - sum P T); at most 1",
        "Cohen 1960, Educ. Psychol. Meas. 20",
        "sklearn.metrics.cohen_kappa_score",
        interval="normal, delta method (Fleiss, Cohen, Everitt 1969)",
        nulls=("no_labels", "undefined"),
    ),
    *_of_class("quality", "of the positive class of a binary model", _POSITIVE, asked=False),
    *_averages(),
    *_of_class("quality.per_class.<class>", "of the class", ("undefined",), asked=True),
    Metric("quality.per_class.<class>.support", "T, the rows of the class", "", "plain Python", unit="rows"),
    Metric(
        "quality.per_class.<class>.intervals.<metric>",
        "`low` and `high` of the class's metric, where `quality.class_intervals` asks for them",
        "see the metric",
        "see the metric",
        unit="the metric's",
        exactness="approximate: holds about as often as it says",
        nulls=("no_variance",),
    ),
    Metric(
        "quality.business_value",
        "sum over rows of the gain for (predicted class, true class), for a model with `quality.gains`",
        "Elkan 2001, IJCAI",
        "numpy.sum",
        unit="the gains'",
        interval="none: it grows with the labels; see the mean",
        nulls=("no_labels",),
    ),
    Metric(
        "quality.business_value_per_prediction",
        "business_value / n",
        "Elkan 2001, IJCAI",
        "numpy.mean",
        unit="the gains'",
        interval="normal, exact second moment",
        nulls=("no_labels",),
    ),
)
