"""Each kernel against integers of any length, compiled and as plain Python."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.events import Int64s
from pipeline.core.kernels import exact_sum as kernels

compiled_or_not = pytest.mark.parametrize(
    "of", [lambda kernel: kernel, lambda kernel: kernel.py_func], ids=["jit", "py"]
)
finite = st.floats(allow_nan=False, allow_infinity=False)


def integers(words: Any) -> list[int]:
    return [int.from_bytes(row.astype("<i4").tobytes(), "little", signed=True) for row in words]


@compiled_or_not
@given(values=st.lists(st.tuples(finite, st.sampled_from([1, -1])), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_sums_over_the_whole_range_of_doubles(of: Any, values: list[tuple[float, int]]) -> None:
    numbers = np.array([value for value, _ in values])
    sign: Int64s = np.array([one for _, one in values], np.int64)
    at = np.arange(len(values), dtype=np.int32)
    cell = at % np.int32(2)
    for add, power, width in ((kernels.add_values, 1, 70), (kernels.add_squares, 2, 140)):
        limbs = np.zeros((2, width), np.int64)
        of(add)(numbers.view(np.int64), sign, at, cell, 0, limbs)
        unit = Fraction(2) ** (-1074 * power)
        for index, found in enumerate(integers(of(kernels.carry)(limbs))):
            mine = values[index::2]
            assert found * unit == sum(one * Fraction(value) ** power for value, one in mine)


@compiled_or_not
def test_span_of_places(of: Any) -> None:
    span = of(kernels.position_span)
    bits = np.array([0.0, -0.0, np.nan, np.inf, 5e-324, 1.0, -2.0]).view(np.int64)
    assert span(bits) == (0, 1023)
    assert span(bits[:4]) == (1, 0)
    assert span(bits[5:6]) == (1022, 1022)


@compiled_or_not
def test_carries_run_through_negative_limbs(of: Any) -> None:
    limbs = np.array([[-1, 0, 0], [2**62, -(2**61), 7], [-(2**62), 2**40, -3]], np.int64)
    expected = [sum(int(limb) << 32 * place for place, limb in enumerate(row)) for row in limbs.tolist()]
    wide = np.hstack([limbs, np.zeros((3, 1), np.int64)])
    assert integers(of(kernels.carry)(wide)) == expected
