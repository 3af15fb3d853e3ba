"""The metrics of models that predict sets of labels."""

from collections.abc import Iterator

from pipeline.core.metrics.definition import Metric

_SAMPLES = {
    "precision": ("|both| / |predicted|", "sklearn.metrics.precision_score"),
    "recall": ("|both| / |true|", "sklearn.metrics.recall_score"),
    "f1": ("2 |both| / (|predicted| + |true|)", "sklearn.metrics.f1_score"),
    "jaccard": ("|both| / |either|", "sklearn.metrics.jaccard_score"),
}


def _samples() -> Iterator[Metric]:
    for name, (formula, oracle) in _SAMPLES.items():
        yield Metric(
            f"quality.{name}_samples",
            f"mean over rows of {formula}, rows of 0 / 0 left out",
            "Godbole, Sarawagi 2004, PAKDD",
            oracle,
            interval="normal, exact second moment",
            nulls=("no_labels", "undefined"),
            cost="sum",
        )


SETS: tuple[Metric, ...] = (
    Metric(
        "quality.subset_accuracy",
        "rows whose predicted set is the true one / n",
        "",
        "sklearn.metrics.accuracy_score",
        interval="Wilson",
        nulls=("no_labels",),
        cost="count",
    ),
    Metric(
        "quality.hamming_loss",
        "sum over labels of (P + T - 2 TP) / (n L), L the labels that any row of the window has or was given",
        "Schapire, Singer 1999, Machine Learning 37",
        "sklearn.metrics.hamming_loss",
        interval="normal, exact second moment",
        nulls=("no_labels", "undefined"),
    ),
    *_samples(),
)
