import numpy as np

from pipeline.core.accumulate.offsets import OffsetRanges, fold_offsets
from pipeline.core.events import Cells, Group, Task


def test_ranges_are_of_the_cells_of_everything() -> None:
    group = [Group("m", "1", Task.BINARY)]
    cell = np.array([0, 1, 2, 0, 1], np.int32)
    row = np.array([0, 0, 1, 2, 2], np.int32)
    cells = Cells(row, cell, np.zeros(4, np.int32), ["", "a=b", "", ""], np.zeros(4, np.int64), group)
    found = fold_offsets("predictions", 7, np.array([30, 20, 10], np.int64), cells)
    assert {index: state.to_wire() for index, state in found.items()} == {
        0: {"predictions": {"7": [10, 30]}},
        2: {"predictions": {"7": [20, 20]}},
    }


def test_merging_keeps_the_hull_of_each_partition() -> None:
    ranges, other = OffsetRanges(), OffsetRanges()
    ranges.add("predictions", 0, 5, 9)
    other.add("predictions", 0, 7, 12)
    other.add("predictions", 1, 1, 2)
    other.add("labels", 0, 3, 3)
    ranges.merge(other)
    ranges.merge(other)
    assert ranges.to_wire() == {"labels": {"0": [3, 3]}, "predictions": {"0": [5, 12], "1": [1, 2]}}
