"""The metrics of models that predict sets of labels, or rankings."""

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

_JARVELIN = "Järvelin, Kekäläinen 2002, ACM TOIS 20"
_MANNING = "Manning, Raghavan, Schütze 2008, ch. 8"
_MEAN = "normal, exact second moment"
_EACH_K = "for each k of `quality.ranking_cutoffs`"
_NO_RELEVANT = ("no_labels", "no_relevant_items")

RANKINGS: tuple[Metric, ...] = (
    Metric(
        "quality.mrr",
        "mean of 1 / rank of the first relevant item, 0 where none is ranked; over rows with a relevant item, one of a "
        "gain above 0, as all of these",
        "Voorhees 1999, TREC-8",
        "plain Python",
        interval=_MEAN,
        nulls=_NO_RELEVANT,
        cost="sum",
    ),
    Metric(
        "quality.ndcg_at_<k>",
        f"mean of DCG / ideal DCG, DCG = sum to rank k of gain / log2(rank + 1), {_EACH_K}",
        _JARVELIN,
        "sklearn.metrics.ndcg_score",
        interval=_MEAN,
        nulls=_NO_RELEVANT,
        cost="sum",
    ),
    Metric(
        "quality.precision_at_<k>",
        f"mean of relevant items among the first k / k, {_EACH_K}",
        _MANNING,
        "plain Python",
        interval=_MEAN,
        nulls=_NO_RELEVANT,
        cost="sum",
    ),
    Metric(
        "quality.recall_at_<k>",
        f"mean of relevant items among the first k / relevant items, {_EACH_K}",
        _MANNING,
        "plain Python",
        interval=_MEAN,
        nulls=_NO_RELEVANT,
        cost="sum",
    ),
    Metric(
        "quality.map_at_<k>",
        f"mean of (sum over relevant items among the first k of precision at their rank) / min(k, relevant), {_EACH_K}",
        _MANNING,
        "sklearn.metrics.average_precision_score",
        interval=_MEAN,
        nulls=_NO_RELEVANT,
        cost="sum",
    ),
    Metric(
        "quality.hit_rate_at_<k>",
        f"rows with a relevant item among the first k / rows with one, {_EACH_K}",
        "by definition",
        "plain Python",
        interval="Wilson",
        nulls=_NO_RELEVANT,
        cost="count",
    ),
)
