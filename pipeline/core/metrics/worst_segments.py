"""The segments of a window in which the model is worst: the whole can look well while one of them does not.

A segment with few labels has an extreme value by chance, so the order is that of what is certain: for a score the
segment comes first whose interval's *upper* bound is lowest (even at best it is that bad), for a loss the one whose
*lower* bound is highest. Where rows that are all alike give no interval, the value itself counts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.core.events import Json
from pipeline.core.metrics.direction import is_loss
from pipeline.core.metrics.intervals import NO_VARIANCE

SECTION = "worst_segments"


@dataclass(frozen=True, slots=True)
class RankingSettings:
    """How segments are ranked.

    Attributes:
        metrics: names in the quality section; the first that the window's task has is the one.
        count: how many segments are named; 0 for none.
        min_labelled: segments with fewer labelled rows are left out.
    """

    metrics: tuple[str, ...]
    count: int
    min_labelled: int


@dataclass(frozen=True, slots=True)
class SegmentValue:
    """One segment's value of the metric.

    Attributes:
        segment: ``name=value``.
        labelled: its labelled rows.
        value: the metric over these.
        low: the lower bound of its interval; None where it has none.
        high: the upper bound.
    """

    segment: str
    labelled: int
    value: float
    low: float | None
    high: float | None


def value_of(segment: str, labelled: int, quality: Mapping[str, Json], metric: str) -> SegmentValue | None:
    """Take a segment's value out of its quality section.

    Args:
        segment: the segment.
        labelled: its labelled rows.
        quality: the section.
        metric: a name in it.

    Returns:
        The value with its interval; None where it is null.
    """
    value = quality.get(metric)
    if value is None:
        return None
    interval = quality.get("intervals", {}).get(metric) or {}
    return SegmentValue(segment, labelled, value, interval.get("low"), interval.get("high"))


def rank_worst(found: Iterable[SegmentValue], metric: str, count: int) -> tuple[list[Json], dict[str, str]]:
    """Name the worst segments.

    Args:
        found: the segments to choose from.
        metric: what was measured.
        count: how many are named at most.

    Returns:
        ``{segment, metric, value, labelled, low, high}`` each, surely worst first (ties: the worse value, more labels,
        the lesser name); and the reason of each null bound by its path.
    """
    loss = is_loss(metric)

    def place(one: SegmentValue) -> tuple[float, float, int, str]:
        bound = one.low if loss else one.high
        surely, value = one.value if bound is None else bound, one.value
        return (-surely, -value, -one.labelled, one.segment) if loss else (surely, value, -one.labelled, one.segment)

    worst = sorted(found, key=place)[:count]
    ranked: list[Json] = [
        {
            "segment": one.segment,
            "metric": metric,
            "value": one.value,
            "labelled": one.labelled,
            "low": one.low,
            "high": one.high,
        }
        for one in worst
    ]
    reasons = {
        f"{SECTION}.{rank}.{bound}": NO_VARIANCE
        for rank, one in enumerate(ranked)
        for bound in ("low", "high")
        if one[bound] is None
    }
    return ranked, reasons
