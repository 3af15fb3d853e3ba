"""Quality of rankings, over the rows with an item that turned out to be relevant: of a gain above zero.

With g_i the gain of the item at rank i, from 1, 0 for one that has none or is not relevant, R the relevant items of a
row, and k a cutoff:

- ``ndcg_at_k`` DCG / ideal DCG, DCG = sum to k of g_i / log2(i + 1), ideal: of the items by falling gain; gains count
  as they are, as in scikit-learn (Järvelin, Kekäläinen 2002, "Cumulated Gain-based Evaluation of IR Techniques").
- ``precision_at_k`` hits / k, ``recall_at_k`` hits / R, ``hit_rate_at_k`` the share of rows with a hit: hits are
  relevant items among the first k.
- ``map_at_k`` mean of the sum over hits of the precision at their rank / min(k, R); ``mrr`` mean of 1 / rank of the
  first relevant item, 0 where none is ranked (Manning, Raghavan, Schütze 2008, "Introduction to Information Retrieval",
  8.4).

A row without a relevant item has no best ranking and is left out. An item that is ranked twice counts once, at its
first rank.
"""

from collections.abc import Iterator

from pipeline.core.accumulate.exact_sum import ExactSum
from pipeline.core.accumulate.ranking import AtCutoff, Ranking
from pipeline.core.events import Json, Task
from pipeline.core.family import Context, Report
from pipeline.core.metrics.intervals import (
    Interval,
    as_section,
    error_of_mean,
    normal_deviate,
    normal_interval,
    wilson_interval,
)

_MEANS = {"ndcg": "ndcg", "precision": "precision", "recall": "recall", "map": "average_precision"}


def report_ranking(state: Ranking, context: Context) -> Report:
    """Report how well rankings fit what their items were worth.

    Args:
        state: the sums of the window.
        context: what the window is of, and the cutoffs that are asked for.

    Returns:
        The section ``quality``; empty for other tasks.
    """
    if context.task is not Task.RANKING:
        return Report()
    z = normal_deviate(context.quality.interval_level)
    quality: dict[str, Json] = {}
    intervals: dict[str, Interval | None] = {}
    for name, total, squares, count in _means(state, context.quality.cutoffs):
        quality[name] = total.divided_by(count) if count else None
        if count:
            intervals[name] = normal_interval(quality[name], error_of_mean(total, squares, count), z, 0.0, 1.0)
    for cutoff in context.quality.cutoffs:
        first, name = state.cutoffs.get(cutoff, AtCutoff()), f"hit_rate_at_{cutoff}"
        quality[name] = first.hits / first.count if first.count else None
        if first.count:
            intervals[name] = wilson_interval(first.hits, first.count, z)
    code = "no_relevant_items" if state.count else "no_labels"
    reasons = {f"quality.{name}": code for name, value in quality.items() if value is None}
    section, why = as_section(intervals)
    if not state.count:
        why = {"quality.intervals": "no_labels"}
    return Report({"quality": {**quality, "intervals": section}}, reasons | why)


def _means(state: Ranking, cutoffs: tuple[int, ...]) -> Iterator[tuple[str, ExactSum, ExactSum, int]]:
    """Each mean's name, sum, sum of squares and rows."""
    yield "mrr", state.reciprocal, state.reciprocal_squares, state.relevant
    for cutoff in cutoffs:
        first = state.cutoffs.get(cutoff, AtCutoff())
        for name, attribute in _MEANS.items():
            sums = getattr(first, attribute), getattr(first, f"{attribute}_squares")
            yield f"{name}_at_{cutoff}", *sums, first.count
