"""The kernels of a regression's errors against plain Python, compiled and not."""

import math
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.kernels import regression as kernels

compiled_or_not = pytest.mark.parametrize("of", [lambda one: one, lambda one: one.py_func], ids=["jit", "py"])
finite = st.floats(allow_nan=False, allow_infinity=False)


@given(x=st.floats(-1, 1e308, exclude_min=True) | st.floats(-0.9, 10) | st.sampled_from([0.0, -0.0, 2.0**-30]))
@settings(max_examples=300, deadline=None)
def test_the_logarithm_is_the_librarys(x: float) -> None:
    found = kernels.log_of_one_more.py_func(x)  # type: ignore[attr-defined] # numba adds it
    assert found == pytest.approx(math.log1p(x), rel=4.5e-16, abs=0)


def test_compiled_and_plain_logarithms_have_the_same_bits() -> None:
    values = np.concatenate([np.geomspace(1e-12, 1e300, 3_000), -np.geomspace(1e-12, 1, 2_000, endpoint=False)])
    terms, flags = np.empty((6, len(values))), np.empty(len(values), np.int64)
    kernels.error_terms(values, np.zeros(len(values)), terms, flags)
    plain = [kernels.log_of_one_more.py_func(value) for value in values.tolist()]  # type: ignore[attr-defined] # numba adds it
    assert terms[5].tolist() == plain


@compiled_or_not
@given(rows=st.lists(st.tuples(finite, finite) | st.tuples(st.floats(-2, 9), st.floats(-2, 9)), min_size=1, max_size=9))
@settings(max_examples=60, deadline=None)
def test_terms_are_the_formulas(of: Any, rows: list[tuple[float, float]]) -> None:
    predicted, label = (np.array(column) for column in zip(*rows, strict=True))
    terms, flags = np.empty((6, len(rows))), np.empty(len(rows), np.int64)
    with np.errstate(all="ignore"):
        of(kernels.error_terms)(predicted, label, terms, flags)
    for i, (guess, truth) in enumerate(rows):
        error, size, square, ratio, symmetric, _ = terms[:, i].tolist()
        assert size == abs(error)
        assert bool(flags[i] & kernels.BEYOND) == (not math.isfinite(error))
        assert bool(flags[i] & kernels.BEYOND_SQUARE) == (not math.isfinite(square))
        assert bool(flags[i] & kernels.BEYOND_RATIO) == (not math.isfinite(ratio))
        assert bool(flags[i] & kernels.BEYOND_LOG) == (min(guess, truth) <= -1)
        if math.isfinite(error):
            assert error == guess - truth
            whole = abs(Fraction(guess)) + abs(Fraction(truth))
            assert symmetric == pytest.approx(
                float(2 * Fraction(size) / whole) if whole else 0.0, rel=1e-15, abs=1e-300
            )
        if math.isfinite(ratio):
            assert ratio == pytest.approx(float(Fraction(size) / Fraction(max(abs(truth), 2.0**-52))), rel=1e-15)


@compiled_or_not
def test_flags_are_counted_by_cell(of: Any) -> None:
    flags = np.array([0, kernels.BEYOND | kernels.BEYOND_LOG, kernels.BEYOND_RATIO], np.int64)
    counts = np.zeros((2, 1 + kernels.FLAGS), np.int64)
    at, cell = np.array([0, 1, 2, 1], np.int32), np.array([0, 0, 1, 1], np.int32)
    of(kernels.count_flags)(flags, np.array([1, 1, -1], np.int64), at, cell, counts)
    assert counts.tolist() == [[2, 1, 0, 0, 1], [0, 1, 0, -1, 1]]


@compiled_or_not
@given(
    values=st.lists(finite | st.floats(-4, 4) | st.sampled_from([0.0, -0.0, math.inf]), min_size=1, max_size=30),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_residuals_are_counted_like_a_dictionary_does(of: Any, values: list[float], data: st.DataObject) -> None:
    cell = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(values), max_size=len(values))), np.int32)
    sign = np.array(data.draw(st.lists(st.sampled_from([1, -1]), min_size=len(values), max_size=len(values))), np.int64)
    at = np.arange(len(values), dtype=np.int32)
    found = of(kernels.count_residuals)(np.array(values).view(np.int64), sign, at, cell)
    expected: Counter[tuple[int, int]] = Counter()
    for value, target, one in zip(values, cell.tolist(), sign.tolist(), strict=True):
        bucket = 0
        if abs(value) >= 2.0**64:
            bucket = kernels.LAST_BUCKET
        elif abs(value) >= 2.0**-64:
            mantissa, exponent = math.frexp(abs(value))
            bucket = 1 + (exponent + 63) * 64 + math.floor((2 * mantissa - 1) * 64)
        expected[target, bucket if value > 0 else -bucket] += one
    assert {(a, b): n for a, b, n in zip(*(column.tolist() for column in found), strict=True)} == dict(expected)
