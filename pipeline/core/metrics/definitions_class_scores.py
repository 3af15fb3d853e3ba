"""The metrics of multiclass models' scores that binary ones do not have; the others stand with theirs."""

from pipeline.core.metrics.definition import Metric

CLASS_SCORES: tuple[Metric, ...] = (
    Metric(
        "quality.top_k_accuracy_<k>",
        "rows of a multiclass model whose true class is among the k of the greatest probability, behind those that tie "
        "with it / rows with scores, for each of `quality.top_k`",
        "Russakovsky et al. 2015, Int. J. Comput. Vis. 115",
        "sklearn.metrics.top_k_accuracy_score",
        interval="Wilson",
        nulls=("no_scores",),
        cost="count",
    ),
)
