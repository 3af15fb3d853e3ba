"""The metrics that compare: segments with each other."""

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
