"""The metrics of binary models' scores, from counts in fine bins and exact sums."""

from pipeline.core.metrics.definition import Cost, Metric

_UNKNOWN = ("no_scores", "unknown_positive_class", "too_many_classes")
_BOUNDED = "within half of `quality.bounds.{}`, whose width is at most 0.001 for 100,000 rows unless scores crowd"
_PLAIN = "plain Python"
_CURVE = "sklearn.calibration.calibration_curve"
_MURPHY = "Murphy, Winkler 1977, J. R. Stat. Soc. C 26"
_APPROXIMATE = "approximate: holds about as often as it says"
_RECOVERED = "low: of the bins' Wilson intervals at once, Bonferroni; high: variance recovery from each"

_CALIBRATION: tuple[tuple[str, str, str, str, str, str, Cost], ...] = (
    ("low", "what the scores are above", "", _PLAIN, "ratio", "exact", "report"),
    ("high", "what the scores are not above", "", _PLAIN, "ratio", "exact", "report"),
    ("count", "labelled rows", "", _PLAIN, "rows", "exact", "sketch"),
    ("mean_score", "mean of s", _MURPHY, _CURVE, "ratio", "within 2^-41", "sum"),
    ("positive_rate", "share of the rows that is of the positive class", _MURPHY, _CURVE, "ratio", "exact", "sketch"),
    ("rate_low", "lower bound of that share", "Wilson 1927", _PLAIN, "ratio", _APPROXIMATE, "report"),
    ("rate_high", "upper bound of that share", "Wilson 1927", _PLAIN, "ratio", _APPROXIMATE, "report"),
)

SCORES: tuple[Metric, ...] = (
    Metric(
        "quality.roc_auc",
        "share of pairs of a positive and a negative row in which the positive one has the greater score, ties half",
        "Hanley, McNeil 1982, Radiology 143",
        "sklearn.metrics.roc_auc_score",
        exactness=_BOUNDED.format("roc_auc"),
        interval="normal, DeLong's variance",
        nulls=(*_UNKNOWN, "one_class"),
        cost="sketch",
    ),
    Metric(
        "quality.average_precision",
        "mean over the positive rows of the precision at their scores",
        "Boyd, Eng, Page 2013, ECML PKDD",
        "sklearn.metrics.average_precision_score",
        exactness=_BOUNDED.format("average_precision"),
        interval="logit, Boyd et al. 2013",
        nulls=(*_UNKNOWN, "one_class"),
        cost="sketch",
    ),
    Metric(
        "quality.ks",
        "greatest difference of the shares of both classes up to a score",
        "Kolmogorov 1933; Smirnov 1939",
        "scipy.stats.ks_2samp",
        exactness="within `quality.bounds.ks`; it is the lower bound itself",
        nulls=(*_UNKNOWN, "one_class"),
        cost="sketch",
    ),
    Metric(
        "quality.bounds.<metric>",
        "`low` and `high`, between which the metric of the scores themselves lies, as they are kept",
        "see the metric",
        "see the metric",
        nulls=("one_class",),
        cost="sketch",
    ),
    Metric(
        "quality.log_loss",
        "mean of -log s for positive rows and of -log(1 - s) for negative ones, s within 2^-23 of 0 or 1 moved there;"
        " of a multiclass model, of -log of the true class's probability",
        "Good 1952, J. R. Stat. Soc. B 14",
        "sklearn.metrics.log_loss",
        unit="nat",
        interval="normal, second moment from the bins; exact of a multiclass model",
        nulls=_UNKNOWN,
        cost="sum",
    ),
    Metric(
        "quality.brier",
        "mean of (s - y)^2, y 1 for positive rows and 0 for negative ones; of a multiclass model, summed over classes",
        "Brier 1950, Mon. Weather Rev. 78",
        "sklearn.metrics.brier_score_loss",
        interval="normal, second moment from the bins; exact of a multiclass model",
        nulls=_UNKNOWN,
        cost="sum",
    ),
    Metric(
        "quality.ece",
        "mean over the rows of the distance of their bin's mean score from its positive rate; bins of equal width; of"
        " a multiclass model, scores are those of the predicted class, positive rows those where it is right",
        "Naeini, Cooper, Hauskrecht 2015, AAAI; Guo et al. 2017, ICML",
        _PLAIN,
        exactness="within 2^-41",
        interval=_RECOVERED,
        nulls=_UNKNOWN,
        cost="sum",
    ),
    Metric(
        "quality.mce",
        "greatest distance of a bin's mean score from its positive rate; bins of equal width",
        "Naeini, Cooper, Hauskrecht 2015, AAAI",
        _PLAIN,
        exactness="within 2^-41",
        interval="the greatest bounds of the bins' Wilson intervals, Bonferroni",
        nulls=_UNKNOWN,
    ),
    Metric(
        "quality.adaptive_ece",
        "ece for bins of about equally many rows, which cut no fine bin",
        "Nixon et al. 2019, CVPR Workshops",
        _PLAIN,
        exactness="within 2^-13, of the same bins",
        interval=_RECOVERED,
        nulls=_UNKNOWN,
    ),
    *(
        Metric(
            f"quality.calibration.<place>.{name}",
            f"{definition}, of the bin of equal width that is first (`<place>` 0), second, … of those that hold rows",
            source,
            oracle,
            unit,
            exactness,
            cost=cost,
        )
        for name, definition, source, oracle, unit, exactness, cost in _CALIBRATION
    ),
)

_CBPE = "Kivimäki et al. 2025, JAIR 82; NannyML"
_ESTIMATED = ("no_scores", "unknown_positive_class", "too_many_classes")
_EXPECTED = (
    ("accuracy", "(TP + TN) / n; of a multiclass model the sum of TP over its classes / n"),
    ("precision", "TP / (TP + FP)"),
    ("recall", "TP / (TP + FN)"),
    ("f1", "2 TP / (2 TP + FP + FN)"),
    ("specificity", "TN / (TN + FP)"),
    ("roc_auc", "share of pairs of a positive and a negative row in which the positive one is above, ties half"),
)
_EXPECTED_ERRORS = (
    ("mae", "mean of the |e|", "the label's"),
    ("mse", "mean of the e^2", "the label's, squared"),
    ("rmse", "root of the mean of the e^2", "the label's"),
)
ESTIMATES: tuple[Metric, ...] = (
    *(
        Metric(
            f"estimated.{name}",
            f"{formula}, with the counts that scores make expected, as `estimated.calibration` says",
            _CBPE,
            _PLAIN,
            exactness="scores within 2^-13",
            nulls=_ESTIMATED[1:] if name == "accuracy" else (*_ESTIMATED[1:], "undefined"),
            cost="sketch",
        )
        for name, formula in _EXPECTED
    ),
    *(
        Metric(
            f"estimated.{name}",
            f"{formula} expected of the predicted values, from the version's first labelled rows",
            "NannyML, direct loss estimation",
            _PLAIN,
            unit,
            exactness="of bins of predicted values, 8 to an octave; without past errors of 2^64 or more",
            nulls=("no_past_errors", "unseen_predictions"),
            cost="sketch",
        )
        for name, formula, unit in _EXPECTED_ERRORS
    ),
    Metric(
        "estimated.unseen_share",
        "share of a regression's predictions in bins that none of the rows was in whose errors were learned from",
        "by definition",
        _PLAIN,
        nulls=("no_past_errors",),
        cost="sketch",
    ),
    Metric(
        "estimated.error.<metric>",
        "the estimate of the metric less its value in `quality`, of the labels of the same window",
        "by definition",
        _PLAIN,
        "the metric's",
        exactness="see the metrics",
        nulls=(
            "no_labels",
            "no_scores",
            "undefined",
            "unknown_positive_class",
            "too_many_classes",
            "one_class",
            "no_past_errors",
            "unseen_predictions",
            "overflow",
        ),
    ),
)
"""What is expected without labels: of binary models from the scores of all predictions, of regressions from their
values."""
