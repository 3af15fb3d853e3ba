import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.watermark import NEVER, Watermark

times = st.lists(st.integers(0, 1_000), max_size=30)


def advance_all(mark: Watermark, values: list[int]) -> list[int]:
    return [int(one) for one in mark.advance(np.array(values, np.int64))]


def test_the_watermark_follows_the_newest_event_at_a_distance() -> None:
    """
    ::

        log        10   14   12   20   13
        newest     10   14   14   20   20
        watermark   7   11   11   17   17      lateness 3: the last one is late
    """
    mark = Watermark(3)
    assert advance_all(mark, [10, 14, 12, 20, 13]) == [7, 11, 11, 17, 17]
    assert mark.value_ms == 17


@given(times, st.integers(0, 50), st.data())
def test_it_depends_on_the_log_alone_not_on_how_it_is_cut(
    values: list[int], lateness: int, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(values)))
    whole, parts = Watermark(lateness), Watermark(lateness)
    expected = [max(values[: index + 1]) - lateness for index in range(len(values))]
    assert advance_all(whole, values) == expected
    assert advance_all(parts, values[:cut]) + advance_all(parts, values[cut:]) == expected
    assert whole.value_ms == parts.value_ms


@given(times, st.integers(0, 1_500), times)
def test_time_moves_an_idle_partition_and_never_back(before: list[int], moment: int, after: list[int]) -> None:
    mark = Watermark(10)
    advance_all(mark, before)
    first = mark.value_ms
    mark.idle_until(moment)
    assert mark.value_ms == max([first, moment - 10])
    assert advance_all(mark, after) == [max([*before, moment, *after[: i + 1]]) - 10 for i in range(len(after))]


def test_before_the_first_event_everything_is_in_time() -> None:
    mark = Watermark(10_000)
    assert mark.value_ms < NEVER + 1
    assert len(mark.advance(np.zeros(0, np.int64))) == 0
    assert mark.newest_ms == NEVER
    # Horizons of a century can be added to it, and it to a time, within 64 bits.
    assert NEVER - 36_500 * 86_400_000 * 4 > -(2**63)
