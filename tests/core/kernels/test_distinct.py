"""Numbers of distinct values against numpy's sort, compiled and as plain Python."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.kernels.distinct import number_values


@pytest.mark.parametrize("of", [lambda kernel: kernel, lambda kernel: kernel.py_func], ids=["jit", "py"])
@given(values=st.lists(st.integers(-9, 9), min_size=1, max_size=20), more=st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_values_are_numbered_as_a_sort_numbers_them(of: Any, values: list[int], more: int) -> None:
    column = np.array(values, np.int64)
    distinct, codes = of(number_values)(column, min(values) - more, max(values) - min(values) + 1 + 2 * more)
    expected, inverse = np.unique(column, return_inverse=True)
    assert distinct.tolist() == expected.tolist()
    assert codes.tolist() == inverse.tolist()
