"""Kernels that narrow the pairs of rows and cells to those a family counts."""

import numpy as np

from pipeline.core.events import Int32s
from pipeline.core.kernels.jit import kernel


@kernel
def narrow_pairs(row: Int32s, cell: Int32s, position: Int32s, cells: int) -> tuple[Int32s, Int32s, Int32s]:
    """Keep the pairs whose row has a position, and number the cells they touch from 0 in the order of appearance.

    Args:
        row: int32[m], each pair's row.
        cell: int32[m], each pair's cell.
        position: int32[n], where each row stands in what is counted; -1 leaves the row out.
        cells: the number of cells.

    Returns:
        int32[p] the position of each kept pair, int32[p] its cell's new number, int32[u] the cell of each new number.
    """
    at = np.empty(len(row), np.int32)
    local = np.empty(len(row), np.int32)
    number = np.full(cells, -1, np.int32)
    touched = np.empty(cells, np.int32)
    kept = 0
    used = 0
    for i in range(len(row)):
        place = position[row[i]]
        if place < 0:
            continue
        target = cell[i]
        if number[target] < 0:
            number[target] = used
            touched[used] = target
            used += 1
        at[kept] = place
        local[kept] = number[target]
        kept += 1
    return at[:kept], local[:kept], touched[:used]
