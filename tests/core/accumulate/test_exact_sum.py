import math
import statistics
from fractions import Fraction

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.accumulate.exact_sum import ExactSum, sum_squares, sum_values
from pipeline.core.events import Int64s

finite = st.floats(allow_nan=False, allow_infinity=False)
subnormal = st.floats(-1e-300, 1e-300)
numbers = st.lists(finite | subnormal | st.floats(-1000, 1000), max_size=30)
settled = settings(max_examples=150, deadline=None)


def total(values: list[float], signs: list[int] | None = None) -> ExactSum:
    sign = np.array(signs or [1] * len(values), np.int64)
    at = np.arange(len(values), dtype=np.int32)
    return sum_values(np.array(values, np.float64), sign, at, np.zeros(len(values), np.int32), 1)[0]


def squares(values: list[float]) -> ExactSum:
    at = np.arange(len(values), dtype=np.int32)
    cell = np.zeros(len(values), np.int32)
    return sum_squares(np.array(values, np.float64), np.ones(len(values), np.int64), at, cell, 1)[0]


def exact(one: ExactSum) -> Fraction:
    return Fraction(one.mantissa) * Fraction(2) ** one.exponent


def trip(one: ExactSum) -> ExactSum:
    return ExactSum.from_wire(orjson.loads(orjson.dumps(one.to_wire())))


@given(values=numbers)
@settled
def test_the_sum_is_fsums(values: list[float]) -> None:
    one = total(values)
    assert exact(one) == sum(map(Fraction, values))
    try:
        expected = math.fsum(values)
    except OverflowError:
        return
    assert one.divided_by(1) == expected


@given(values=numbers)
@settled
def test_squares_are_exact_where_doubles_overflow_or_vanish(values: list[float]) -> None:
    assert exact(squares(values)) == sum(Fraction(value) ** 2 for value in values)


@given(values=numbers, data=st.data())
@settled
def test_splitting_shuffling_merging_and_taking_back_change_no_bit(values: list[float], data: st.DataObject) -> None:
    extra = data.draw(numbers)
    signed = data.draw(st.permutations([(one, 1) for one in values + extra] + [(one, -1) for one in extra]))
    cut = data.draw(st.integers(0, len(signed)))
    merged = ExactSum()
    for part in (signed[cut:], signed[:cut]):
        merged.merge(trip(total([value for value, _ in part], [sign for _, sign in part])))
    assert merged.to_wire() == total(values).to_wire()
    merged.merge(total(values, [-1] * len(values)))
    assert merged.is_zero()


@given(values=st.lists(finite, min_size=1, max_size=20))
@settled
def test_mean_is_rounded_once(values: list[float]) -> None:
    assert total(values).divided_by(len(values)) == float(sum(map(Fraction, values)) / len(values))


@given(values=st.lists(st.floats(-1e150, 1e150), min_size=1, max_size=20), offset=st.sampled_from([0.0, 1e9, 1e300]))
@settled
def test_spread_is_the_standard_deviation_rounded_once(values: list[float], offset: float) -> None:
    shifted = [value + offset for value in values]
    expected = statistics.pstdev(map(Fraction, shifted))
    found = total(shifted).spread(squares(shifted), len(shifted))
    if expected > 2.3e-308:
        assert found == expected
    else:
        assert found == pytest.approx(expected, abs=5e-324)


def test_spread_keeps_small_deviations_of_large_numbers() -> None:
    moments = [1.7e12, 1.7e12 + 1, 1.7e12 + 2]
    assert total(moments).spread(squares(moments), 3) == math.sqrt(2 / 3)
    assert total([0.1] * 10).spread(squares([0.1] * 10), 10) == 0.0


def test_roots_and_quotients_beyond_the_doubles() -> None:
    huge = [1.7e308, -1.7e308]
    assert squares(huge).root_divided_by(2) == 1.7e308
    with pytest.raises(OverflowError):
        squares(huge).divided_by(2)
    assert total([1.7e308] * 4).divided_by(4) == 1.7e308


def test_what_is_not_finite_is_passed_over() -> None:
    assert total([math.inf, math.nan, -math.inf, 1.5, -0.0]).to_wire() == [-1, 3]
    assert total([math.nan]).is_zero()


def test_each_cell_gets_its_own_pairs() -> None:
    values = np.array([1.0, 10.0, 100.0])
    at = np.array([0, 1, 2, 2], np.int32)
    cell = np.array([0, 1, 0, 2], np.int32)
    sign = np.array([1, 1, -1], np.int64)
    found = sum_values(values, sign, at, cell, 4)
    assert [one.divided_by(1) for one in found] == [-99.0, 10.0, -100.0, 0.0]


def test_wire_uses_text_for_long_integers_only() -> None:
    assert total([3.0]).to_wire() == [0, 3]
    assert total([1e300, 1.0]).to_wire() == [0, f"{int(1e300) + 1:x}"]
    long = ExactSum(-(2**70) - 1, 5)
    assert trip(long).to_wire() == long.to_wire() == [5, f"{-(2**70) - 1:x}"]


def test_a_million_equal_additions_need_no_carry_on_the_way() -> None:
    count = 1_000_000
    values = np.array([1.9999999999999998 * 2**500])
    ones: Int64s = np.ones(1, np.int64)
    zeros = np.zeros(count, np.int32)
    assert exact(sum_values(values, ones, zeros, zeros, 1)[0]) == count * Fraction(values[0])
    assert exact(sum_squares(values, -ones, zeros, zeros, 1)[0]) == -count * Fraction(values[0]) ** 2
