import itertools

from hypothesis import given
from hypothesis import strategies as st

from pipeline.processors.segments import MAX_NAMES, SegmentSets

sets = st.lists(
    st.builds(
        "{}={}".format, st.sampled_from(["a", "b", "(other)"]), st.sampled_from(["1", "2", "3", "x=y", "(other)"])
    ),
    max_size=3,
    unique_by=lambda segment: segment.partition("=")[0],
).map(lambda some: tuple(sorted(some)))
rows = st.tuples(st.sampled_from("mn"), sets)


def text(segments: SegmentSets, model: str, some: tuple[str, ...]) -> tuple[str, ...]:
    return segments.sets[segments.code(model, some)]


def test_values_beyond_the_limit_are_counted_as_other() -> None:
    segments = SegmentSets(max_values=2)
    assert text(segments, "m", ("country=DE",)) == ("country=DE",)
    assert text(segments, "m", ("country=FR", "tier=1")) == ("country=FR", "tier=1")
    assert text(segments, "m", ("country=IT", "tier=1")) == ("country=(other)", "tier=1")
    assert text(segments, "m", ("country=DE",)) == ("country=DE",)
    assert text(segments, "m", ("country=x=y",)) == ("country=(other)",)


def test_a_model_with_too_many_values_takes_none_from_the_others() -> None:
    segments = SegmentSets(max_values=1)
    for number in range(5):
        text(segments, "junk", (f"user={number}",))
    assert text(segments, "fine", ("user=7",)) == ("user=7",)


def test_names_beyond_the_limit_fall_together_and_count_a_row_once() -> None:
    segments = SegmentSets(max_values=10)
    for number in range(MAX_NAMES):
        text(segments, "m", (f"n{number}=1",))
    assert text(segments, "m", ("n0=1", "new=1", "other=2")) == ("(other)=(other)", "n0=1")
    assert text(segments, "m", ("n0=2",)) == ("n0=2",)
    # A row of so many new names at once is bounded as well.
    many = tuple(f"k{number:03}=1" for number in range(MAX_NAMES + 5))
    assert len(text(segments, "n", many)) == MAX_NAMES + 1


def test_sets_beyond_the_limit_fall_together() -> None:
    segments = SegmentSets(max_values=200, max_sets=50)
    pairs = list(itertools.product(range(20), range(20)))
    for a, b in pairs:
        text(segments, "m", (f"a={a}", f"b={b}"))
    assert len(segments.sets) == 52
    assert text(segments, "m", ("a=19", "b=19")) == ("(other)=(other)",)
    assert text(segments, "m", ("a=0", "b=3")) == ("a=0", "b=3")
    assert text(segments, "m", ()) == ()


@given(st.lists(st.lists(rows, max_size=6), max_size=6), st.lists(rows), st.integers(1, 3), st.integers(1, 8))
def test_what_is_restored_goes_on_as_the_live_one_does(
    batches: list[list[tuple[str, tuple[str, ...]]]],
    more: list[tuple[str, tuple[str, ...]]],
    max_values: int,
    max_sets: int,
) -> None:
    live, restored = SegmentSets(max_values, max_sets), SegmentSets(max_values, max_sets)
    for batch in batches:
        for row in batch:
            live.code(*row)
        restored.restore(*live.take_new())
    assert [live.code(*row) for row in more] == [restored.code(*row) for row in more]
    assert live.sets == restored.sets
    for bounded in live.sets:
        assert len(set(bounded)) == len(bounded)
