"""Whatever the range, values are numbered as numpy's sort numbers them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.distinct import distinct_codes

anywhere = st.integers(-(1 << 62), 1 << 62)


@given(
    values=st.lists(st.integers(-9, 9), max_size=30)
    | st.lists(anywhere, max_size=30)
    | st.tuples(anywhere, st.integers(0, 9)).map(lambda pair: [pair[0]] * pair[1])
)
@settings(max_examples=200, deadline=None)
def test_values_are_numbered_as_a_sort_numbers_them(values: list[int]) -> None:
    column = np.array(values, np.int64)
    distinct, codes = distinct_codes(column)
    expected, inverse = np.unique(column, return_inverse=True)
    assert distinct.dtype == codes.dtype == expected.dtype
    assert distinct.tolist() == expected.tolist()
    assert codes.tolist() == inverse.tolist()


@pytest.mark.parametrize("span", [1000, 1500, 5000])
def test_a_narrow_and_a_wide_range_agree(span: int) -> None:
    column = np.random.default_rng(span).integers(0, span, 100) + (1 << 40)
    distinct, codes = distinct_codes(column)
    assert distinct[codes].tolist() == column.tolist()
    assert distinct.tolist() == sorted(set(column.tolist()))
