"""Cells against three nested loops."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.cells import build_cells, pick_rows
from pipeline.core.events import Cells, Group, Task

PANE_MS = 10
GROUPS = (Group("m", "1", Task.BINARY), Group("m", "2", Task.BINARY), Group("n", "1", Task.REGRESSION))
SETS: tuple[tuple[str, ...], ...] = ((), ("country=DE",), ("country=DE", "tier=1"), ("tier=1",), ("country=FR", "x==y"))

Rows = list[tuple[int, int, int]]
rows_of = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4), st.integers(-35, 60)), max_size=30)


def build(rows: Rows) -> Cells:
    columns = np.array(rows, np.int64).reshape(-1, 3)
    return build_cells(
        columns[:, 0].astype(np.int32), columns[:, 1].astype(np.int32), columns[:, 2].copy(), PANE_MS, SETS, GROUPS
    )


def said(cells: Cells) -> list[tuple[int, tuple[Any, ...]]]:
    keys = list(zip(cells.group.tolist(), cells.segment, cells.pane_start_ms.tolist(), strict=True))
    assert len(set(keys)) == len(keys) == len(cells), "each cell stands once"
    return sorted((row, keys[cell]) for row, cell in zip(cells.row.tolist(), cells.cell.tolist(), strict=True))


def by_loops(rows: Rows) -> list[tuple[int, tuple[Any, ...]]]:
    return sorted(
        (row, (group, segment, time_ms // PANE_MS * PANE_MS))
        for row, (group, segments, time_ms) in enumerate(rows)
        for segment in ("", *SETS[segments])
    )


@given(rows_of)
@settings(deadline=None)  # the first call compiles
def test_a_row_counts_in_everything_and_in_each_of_its_segments(rows: Rows) -> None:
    assert said(build(rows)) == by_loops(rows)


def test_no_rows_no_cells() -> None:
    cells = build([])
    assert len(cells) == len(cells.row) == len(cells.cell) == 0


@given(rows_of, st.integers(0, 100))
@settings(deadline=None)
def test_picked_cells_speak_of_the_batch_rows(rows: Rows, gap: int) -> None:
    places = (np.arange(len(rows)) * 3 + gap).astype(np.int32)
    picked = pick_rows(build(rows), places)
    assert said(picked) == sorted((int(places[row]), key) for row, key in by_loops(rows))


def test_the_sets_that_no_row_has_cost_nothing() -> None:
    """A partition may know a hundred thousand sets of segments; a batch pays for its own."""

    class Counting(tuple[Any, ...]):
        __slots__ = ()
        reads = 0

        def __getitem__(self, index: Any) -> Any:
            Counting.reads += 1
            return tuple.__getitem__(self, index)

        def __iter__(self) -> Any:
            raise AssertionError("all sets were walked")

    many = Counting((f"country={number}",) for number in range(1_000))
    zeros = np.zeros(5, np.int32)
    cells = build_cells(zeros, zeros + 7, np.zeros(5, np.int64), PANE_MS, many, GROUPS)
    assert cells.segment == ["", "country=7"]
    assert Counting.reads <= 3
