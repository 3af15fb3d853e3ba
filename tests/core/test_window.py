"""Windows by drawings, and against a brute-force oracle that looks at every start there is."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.window import MAX_PANES_PER_WINDOW, WindowSize, pane_ms, parse_window

sizes = st.integers(1, 40).flatmap(lambda size: st.builds(WindowSize, st.just(size), st.integers(1, size)))
times = st.integers(-200, 200) | st.integers(1_700_000_000_000, 1_700_000_000_200)


def covering_by_force(size: WindowSize, timestamp_ms: int) -> list[int]:
    candidates = range(timestamp_ms - size.size_ms - size.slide_ms, timestamp_ms + size.slide_ms + 1)
    return [
        start for start in candidates if start % size.slide_ms == 0 and start <= timestamp_ms < start + size.size_ms
    ]


@pytest.mark.parametrize(
    ("timestamp_ms", "starts"),
    [(0, [0]), (1, [0]), (9, [0]), (10, [10]), (19, [10]), (-1, [-10])],
)
def test_tumbling_windows_lie_side_by_side(timestamp_ms: int, starts: list[int]) -> None:
    """
    ::

        0         10        20
        |----A----|----B----|      the end belongs to the next one
    """
    assert list(WindowSize(10, 10).starts_covering(timestamp_ms)) == starts


@pytest.mark.parametrize(
    ("timestamp_ms", "starts"),
    [(10, [0, 5, 10]), (11, [0, 5, 10]), (14, [0, 5, 10]), (15, [5, 10, 15]), (0, [-10, -5, 0])],
)
def test_hopping_windows_overlap(timestamp_ms: int, starts: list[int]) -> None:
    """
    ::

        0    5    10   15   20   25     size 15, slide 5
        |------A-------|
             |-------B------|
                  |-------C------|
                    ^ 11 lies in A, B and C
    """
    assert list(WindowSize(15, 5).starts_covering(timestamp_ms)) == starts


@pytest.mark.parametrize(("timestamp_ms", "starts"), [(0, [-2, 0]), (1, [0]), (2, [0, 2]), (3, [2]), (4, [2, 4])])
def test_a_slide_need_not_divide_the_size(timestamp_ms: int, starts: list[int]) -> None:
    """
    ::

        0  1  2  3  4  5        size 3, slide 2: an even moment lies in two windows,
        |---A----|              an odd one in one
              |---B----|
        ^     ^  ^
    """
    assert list(WindowSize(3, 2).starts_covering(timestamp_ms)) == starts


@given(sizes, times)
def test_a_moment_lies_in_the_windows_that_brute_force_finds(size: WindowSize, timestamp_ms: int) -> None:
    assert list(size.starts_covering(timestamp_ms)) == covering_by_force(size, timestamp_ms)


@given(st.lists(sizes, min_size=1, max_size=3), times)
def test_panes_tile_windows(some: list[WindowSize], timestamp_ms: int) -> None:
    """Every window is a whole number of panes, and a pane is inside a window or outside it, never across its edge."""
    pane = pane_ms(some)
    start_ms = timestamp_ms // pane * pane
    for size in some:
        assert size.size_ms % pane == size.slide_ms % pane == 0
        assert set(size.starts_covering(timestamp_ms)) == set(size.starts_covering(start_ms))
        assert set(size.starts_covering(timestamp_ms)) == set(size.starts_covering(start_ms + pane - 1))


@given(st.lists(sizes, min_size=1, max_size=4))
def test_panes_are_as_long_as_they_can_be(some: list[WindowSize]) -> None:
    lengths = [length for size in some for length in (size.size_ms, size.slide_ms)]
    pane = pane_ms(some)
    assert all(length % pane == 0 for length in lengths)
    assert not any(all(length % longer == 0 for length in lengths) for longer in range(pane + 1, 41))


@given(st.lists(sizes, min_size=1, max_size=3), times)
def test_a_pane_is_over_when_its_last_window_ends(some: list[WindowSize], timestamp_ms: int) -> None:
    ends = [start + size.size_ms for size in some for start in covering_by_force(size, timestamp_ms)]
    assert max(size.last_end_ms(timestamp_ms) for size in some) == max(ends)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1m", WindowSize(60_000, 60_000)),
        ("1h/5m", WindowSize(3_600_000, 300_000)),
        ("60s/60s", WindowSize(60_000, 60_000)),
        ("3s/2s", WindowSize(3_000, 2_000)),
    ],
)
def test_windows_are_read_as_people_write_them(text: str, size: WindowSize) -> None:
    assert parse_window(text) == size
    assert parse_window(str(size)) == size


@given(sizes)
def test_a_written_window_reads_back(size: WindowSize) -> None:
    assert parse_window(str(size)) == size


@pytest.mark.parametrize("text", ["", "1m/", "/1m", "0s", "1m/0s", "1m/2m", "1m/1s/1s", "one", "5m/-1s"])
def test_no_window_no_start(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|slide"):
        parse_window(text)


def test_a_window_of_too_many_panes_is_refused() -> None:
    with pytest.raises(ValueError, match="choose a slide that divides the size"):
        parse_window("1h/7ms")


def test_windows_that_share_only_tiny_panes_are_refused_together() -> None:
    """Each of the two is a single pane by itself; together they are cut every millisecond."""
    some = [parse_window("1d"), parse_window("59999ms")]
    with pytest.raises(ValueError, match=r"1d, 59999ms .* panes of 1ms.* divide one another"):
        pane_ms(some)
    assert pane_ms([parse_window("1d"), parse_window("1m")]) == 60_000
    assert MAX_PANES_PER_WINDOW >= 86_400_000 // 60_000


@given(size=sizes)
def test_disjoint_windows_do_not_overlap_and_leave_no_gap_where_none_is_needed(size: WindowSize) -> None:
    kept = [start for start in range(-50 * size.slide_ms, 51 * size.slide_ms, size.slide_ms) if size.is_disjoint(start)]
    assert all(later - start >= size.size_ms for start, later in pairwise(kept))
    assert 0 in kept
    if size.size_ms % size.slide_ms == 0:
        assert all(later - start == size.size_ms for start, later in pairwise(kept))
