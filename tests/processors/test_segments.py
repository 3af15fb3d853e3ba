import itertools

import orjson
from hypothesis import given
from hypothesis import strategies as st

from pipeline.processors.segments import MAX_NAMES, SegmentSets

sets = st.lists(
    st.builds(
        "{}={}".format,
        st.sampled_from(["a", "b", "(other)"]),
        st.sampled_from(["1", "2", "3", "x=y", "1&b=2", "(other)"]),
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


def test_paired_segments_are_counted_together_in_the_order_of_the_configuration() -> None:
    segments = SegmentSets(max_values=2, pairs=[("country", "device"), ("tier", "country")])
    of = ("country=DE", "device=ios", "tier=1")
    assert text(segments, "m", of) == (*of, "country=DE&device=ios", "tier=1&country=DE")
    assert text(segments, "m", ("country=DE",)) == ("country=DE",)
    assert text(segments, "n", ("country=DE", "device=ios")) == ("country=DE", "device=ios", "country=DE&device=ios")


def test_pairs_of_values_are_limited_by_themselves() -> None:
    segments = SegmentSets(max_values=3, pairs=[("a", "b")])
    for a, b in (("1", "1"), ("1", "2"), ("2", "1")):
        assert text(segments, "m", (f"a={a}", f"b={b}"))[-1] == f"a={a}&b={b}"
    assert text(segments, "m", ("a=2", "b=2")) == ("a=2", "b=2", "a=(other)&b=(other)")
    assert text(segments, "m", ("a=1", "b=2"))[-1] == "a=1&b=2"
    assert text(segments, "n", ("a=2", "b=2"))[-1] == "a=2&b=2"


def test_a_value_that_reads_like_a_pair_is_not_taken_for_one() -> None:
    segments = SegmentSets(max_values=9, pairs=[("a", "b")])
    assert text(segments, "m", ("a=1&b=2",)) == ("a=(other)",)
    assert text(segments, "m", ("a=1&b=2", "b=3")) == ("a=(other)", "b=3", "a=(other)&b=3")
    assert text(SegmentSets(max_values=9), "m", ("a=1&b=2",)) == ("a=1&b=2",)


def test_sets_keep_their_pairs_when_others_are_configured() -> None:
    """Rows that wait for their labels were counted in the cells of their set as it was."""
    before = SegmentSets(max_values=9, pairs=[("a", "b")])
    code = before.code("m", ("a=1", "b=2"))
    stored = orjson.dumps(before.take_new()[1])
    for pairs, now in (([], ()), ([("b", "a")], ("b=2&a=1",)), ([("a", "b"), ("b", "c")], ("a=1&b=2",))):
        after = SegmentSets(max_values=9, pairs=pairs)
        after.restore(0, orjson.loads(stored))
        assert after.sets[code] == ("a=1", "b=2", "a=1&b=2")
        assert text(after, "m", ("a=1", "b=2")) == ("a=1", "b=2", *now)


@given(
    st.lists(st.lists(rows, max_size=6), max_size=6),
    st.lists(rows),
    st.integers(1, 3),
    st.integers(1, 8),
    st.sampled_from([[], [("a", "b")], [("b", "a"), ("a", "c")]]),
)
def test_what_is_restored_goes_on_as_the_live_one_does(
    batches: list[list[tuple[str, tuple[str, ...]]]],
    more: list[tuple[str, tuple[str, ...]]],
    max_values: int,
    max_sets: int,
    pairs: list[tuple[str, str]],
) -> None:
    live, restored = SegmentSets(max_values, max_sets, pairs), SegmentSets(max_values, max_sets, pairs)
    for batch in batches:
        for row in batch:
            live.code(*row)
        first, new = live.take_new()
        restored.restore(first, orjson.loads(orjson.dumps(new)))
    assert [live.code(*row) for row in more] == [restored.code(*row) for row in more]
    assert live.sets == restored.sets
    for bounded in live.sets:
        assert len(set(bounded)) == len(bounded)
