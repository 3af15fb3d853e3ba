"""Slots against the obvious way to find them, compiled and as plain Python."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.kernels.bins import BY_EDGES, BY_VALUES, NO_NUMBERS, count_slots, slot_rows

compiled_or_not = pytest.mark.parametrize(
    "of", [lambda kernel: kernel, lambda kernel: kernel.py_func], ids=["jit", "py"]
)
values = st.floats(-5, 5) | st.just(math.nan) | st.integers(-5, 5).map(float)


def slot_of(number: float, code: int, text_slots: list[int], bounds: list[float], mode: int, other: int) -> int:
    if math.isnan(number):
        return text_slots[code] if code >= 0 else other + 1
    if mode == BY_EDGES:
        return sum(bound < number for bound in bounds)
    return bounds.index(number) if mode == BY_VALUES and number in bounds else other


@compiled_or_not
@given(
    numbers=st.lists(values, max_size=12),
    bounds=st.lists(st.integers(-5, 5).map(float), unique=True, min_size=1, max_size=9),
    mode=st.sampled_from([NO_NUMBERS, BY_VALUES, BY_EDGES]),
    data=st.data(),
)
@settings(max_examples=80, deadline=None)
def test_slots(of: Any, numbers: list[float], bounds: list[float], mode: int, data: st.DataObject) -> None:
    bounds.sort()
    text_slots = [20, 21, 22]
    codes = data.draw(st.just([]) | st.lists(st.integers(-1, 2), min_size=len(numbers), max_size=len(numbers)))
    found = of(slot_rows)(
        np.array(numbers, np.float64),
        np.array(codes, np.int32),
        np.array(text_slots, np.int32),
        np.array(bounds),
        mode,
        30,
    )
    expected = [
        slot_of(number, code, text_slots, bounds, mode, 30)
        for number, code in zip(numbers, codes or [-1] * len(numbers), strict=True)
    ]
    assert found.tolist() == expected


@compiled_or_not
def test_counts_by_cell(of: Any) -> None:
    counts = np.zeros((2, 3), np.int64)
    slots = np.array([0, 2, 2], np.int32)
    of(count_slots)(slots, np.array([0, 1, 2, 2], np.int32), np.array([0, 0, 0, 1], np.int32), counts)
    assert counts.tolist() == [[1, 0, 2], [0, 0, 1]]
