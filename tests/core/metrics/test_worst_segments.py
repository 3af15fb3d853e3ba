from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.metrics.direction import LOSSES, WITHOUT_DIRECTION, error_of, is_loss
from pipeline.core.metrics.intervals import wilson_interval
from pipeline.core.metrics.registry import metrics_at
from pipeline.core.metrics.worst_segments import SegmentValue, rank_worst, value_of

NAMES = ["a=1", "a=2", "b=1", "b=2", "c=1"]


def proportion(segment: str, hits: int, rows: int) -> SegmentValue:
    return SegmentValue(segment, rows, hits / rows, *wilson_interval(hits, rows, 1.96))


counts = st.lists(
    st.integers(1, 400).flatmap(lambda rows: st.tuples(st.integers(0, rows), st.just(rows))),
    min_size=len(NAMES),
    max_size=len(NAMES),
)


@given(counts, st.permutations(range(len(NAMES))), st.integers(1, 6))
def test_a_scores_order_is_that_of_the_upper_bound_whatever_the_segments_order(
    rows: list[tuple[int, int]], order: list[int], count: int
) -> None:
    found = [proportion(name, *one) for name, one in zip(NAMES, rows, strict=True)]
    ranked, reasons = rank_worst([found[place] for place in order], "accuracy", count)
    assert len(ranked) == min(count, len(NAMES))
    assert reasons == {}
    assert rank_worst(found, "accuracy", count)[0] == ranked
    left = sorted(one.high for one in found if one.high is not None)
    assert [one["high"] for one in ranked] == left[:count]


def test_few_rows_are_not_first_by_chance() -> None:
    ranked, _ = rank_worst([proportion("few=1", 1, 3), proportion("many=1", 600, 1_000)], "accuracy", 5)
    assert [one["segment"] for one in ranked] == ["many=1", "few=1"]
    assert ranked[0]["value"] > ranked[1]["value"]


def test_of_a_loss_the_greatest_lower_bound_is_first() -> None:
    found = [SegmentValue("a=1", 40, 9.0, 1.0, 17.0), SegmentValue("b=1", 900, 5.0, 4.5, 5.5)]
    ranked, _ = rank_worst(found, "mae", 1)
    assert ranked == [{"segment": "b=1", "metric": "mae", "value": 5.0, "labelled": 900, "low": 4.5, "high": 5.5}]


def test_rows_that_are_all_alike_count_by_their_value_and_say_so() -> None:
    found = [SegmentValue("a=1", 40, 9.0, None, None), SegmentValue("b=1", 900, 5.0, 4.5, 5.5)]
    ranked, reasons = rank_worst(found, "mae", 5)
    assert [one["segment"] for one in ranked] == ["a=1", "b=1"]
    assert reasons == {"worst_segments.0.low": "no_variance", "worst_segments.0.high": "no_variance"}


def test_equal_segments_are_in_a_fixed_order() -> None:
    found = [proportion("b=1", 5, 10), proportion("a=1", 5, 10)]
    assert [one["segment"] for one in rank_worst(found, "accuracy", 5)[0]] == ["a=1", "b=1"]


def test_a_segment_without_the_metric_has_no_place() -> None:
    assert value_of("a=1", 3, {"f1": None, "intervals": {}}, "f1") is None
    quality = {"f1": 0.5, "intervals": {"f1": None}}
    assert value_of("a=1", 3, quality, "f1") == SegmentValue("a=1", 3, 0.5, None, None)


def test_every_metric_with_a_direction_exists_and_perfection_is_no_error() -> None:
    assert not LOSSES & WITHOUT_DIRECTION
    assert all(error_of(name, 0.0) == 0.0 for name in LOSSES)
    assert error_of("accuracy", 1.0) == 0.0
    assert not is_loss("accuracy")
    assert all(metrics_at(f"quality.{name}") for name in WITHOUT_DIRECTION)
