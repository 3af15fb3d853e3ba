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

_EXPECTED: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("precision_macro", "mean of TP / P over classes that were predicted", ()),
    ("recall_macro", "mean of TP / T over classes with half an expected row or more", ("undefined",)),
    ("f1_macro", "mean of 2 TP / (P + T) over classes that were predicted or have half an expected row or more", ()),
)
CLASS_ESTIMATES: tuple[Metric, ...] = tuple(
    Metric(
        f"estimated.{name}",
        f"{definition}, of a multiclass model, with the counts that its scores make expected, as "
        "`estimated.calibration` says of the predicted class's; the others share what that leaves",
        "Kivimäki et al. 2025, JAIR 82; NannyML",
        "plain Python",
        exactness="probabilities within 2^-20; corrected ones are those of the mean of an eighth of an octave of 1 - s",
        nulls=nulls,
        cost="sketch",
    )
    for name, definition, nulls in _EXPECTED
)
"""What is expected of multiclass models without labels beside accuracy, from the scores of all predictions."""
