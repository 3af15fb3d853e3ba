from hypothesis import given
from hypothesis import strategies as st

from pipeline.processors.segment_rivals import Rivals

values = st.sampled_from("abcdefghij")
rows = st.lists(st.tuples(values, st.integers(1, 50)), max_size=40)


def count(some: list[tuple[str, int]], kept: set[str], limit: int) -> Rivals:
    rivals = Rivals(counting=True)
    for value, number in some:
        rivals.count(value, number, kept, limit)
    return rivals


@given(rows, st.sets(values, min_size=1, max_size=4))
def test_only_heavy_hitters_take_names_and_only_from_rarer_values(some: list[tuple[str, int]], kept: set[str]) -> None:
    limit = len(kept)
    totals = {value: sum(number for one, number in some if one == value) for value in "abcdefghij"}
    everything = sum(totals.values())
    rivals = count(some, kept, limit)
    counted = set(rivals.counts)
    chosen = rivals.choose(kept, limit)
    assert len(chosen) == limit
    assert (rivals.rows, rivals.counts, rivals.counting) == (0, {}, True)
    new, gone = chosen - kept, kept - chosen
    assert all(totals[value] * 2 * limit >= everything for value in new)
    assert all(totals[loser] < totals[value] for loser in gone for value in new)
    # Nobody who was counted and is heavy is left out for somebody rarer.
    left = [value for value in counted - chosen if totals[value] * 2 * limit >= everything]
    assert all(totals[value] <= totals[one] for value in left for one in chosen)


@given(rows, st.sets(values, max_size=4), st.integers(0, 40))
def test_counts_do_not_depend_on_where_batches_end(some: list[tuple[str, int]], kept: set[str], cut: int) -> None:
    rivals = count(some[:cut], kept, 4)
    restored, same = Rivals.from_members(rivals.members(kept))
    assert (restored, same) == (rivals, kept)
    for value, number in some[cut:]:
        for _ in range(number):
            restored.count(value, 1, kept, 4)
    assert restored == count(some, kept, 4)


def test_values_that_come_once_displace_nothing_and_are_counted_in_bounds() -> None:
    kept = {"DE", "FR"}
    rivals = count([(f"user-{number}", 1) for number in range(10_000)], kept, 2)
    assert len(rivals.counts) == 6
    assert rivals.choose(kept, 2) == kept


def test_places_are_left_while_there_is_room() -> None:
    rivals = Rivals()
    assert rivals.choose({"DE"}, 2) == {"DE"}
    assert not rivals.counting
