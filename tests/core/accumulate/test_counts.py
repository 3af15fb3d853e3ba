"""Counts against a dictionary; the laws of merging stand in the tests of the families for all states."""

from collections import Counter

import numpy as np
import orjson
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.accumulate.counts import Counts, fold_counts
from pipeline.core.events import Cells, Group, Task

counts = st.dictionaries(st.sampled_from(["predictions", "labelled", "late"]), st.integers(-5, 5))


def make_cells(pairs: list[tuple[int, int]], cells: int) -> Cells:
    return Cells(
        row=np.array([row for row, _ in pairs], np.int32),
        cell=np.array([cell for _, cell in pairs], np.int32),
        group=np.zeros(cells, np.int32),
        segment=[""] * cells,
        pane_start_ms=np.arange(cells, dtype=np.int64),
        groups=[Group("m", "1", Task.BINARY)],
    )


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), max_size=30),
    st.lists(st.integers(-2, 2), min_size=10, max_size=10),
)
def test_rows_are_counted_into_their_cells(pairs: list[tuple[int, int]], weight: list[int]) -> None:
    states = fold_counts(make_cells(pairs, 4), {"rows": None, "weight": np.array(weight, np.int64)})
    assert sorted(states) == [0, 1, 2, 3]
    for cell, state in states.items():
        rows = [row for row, other in pairs if other == cell]
        assert (state["rows"], state["weight"]) == (len(rows), sum(weight[row] for row in rows))
        assert state["never"] == 0


@given(counts, counts, counts)
def test_merging_adds_in_any_order_and_leaves_the_other_alone(
    a: dict[str, int], b: dict[str, int], c: dict[str, int]
) -> None:
    left, right, other = Counts(a), Counts(c), Counts(b)
    left.merge(other)
    left.merge(Counts(c))
    right.merge(Counts(b))
    right.merge(Counts(a))
    expected = Counter(a)
    expected.update(b)
    expected.update(c)
    assert left.to_wire() == right.to_wire() == {name: count for name, count in sorted(expected.items()) if count}
    assert other.counts == b


@given(counts)
def test_the_wire_holds_what_is_not_zero(a: dict[str, int]) -> None:
    state = Counts(a)
    wire = orjson.loads(orjson.dumps(state.to_wire()))
    assert 0 not in wire.values()
    assert Counts.from_wire(wire).to_wire() == wire
    assert state.is_zero() == (not any(a.values()))


def test_a_correction_takes_back() -> None:
    state = Counts({"labelled": 1})
    state.merge(Counts({"labelled": -1, "mismatched": 1}))
    assert state.to_wire() == {"mismatched": 1}
    state.merge(Counts({"mismatched": -1}))
    assert state.is_zero()
