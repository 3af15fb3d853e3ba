from typing import Any

import numpy as np
import pytest

from pipeline.core.kernels.pairs import narrow_pairs


@pytest.mark.parametrize("of", [lambda kernel: kernel, lambda kernel: kernel.py_func], ids=["jit", "py"])
def test_pairs_of_rows_without_a_place_go_and_cells_are_numbered_anew(of: Any) -> None:
    row = np.array([3, 0, 1, 3, 2], np.int32)
    cell = np.array([7, 5, 0, 5, 7], np.int32)
    position = np.array([0, -1, 1, 2], np.int32)
    at, local, touched = of(narrow_pairs)(row, cell, position, 8)
    assert at.tolist() == [2, 0, 2, 1]
    assert local.tolist() == [0, 1, 1, 0]
    assert touched.tolist() == [7, 5]
