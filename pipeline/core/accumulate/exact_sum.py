"""Sums of doubles that never round: whatever is added, merged or taken back, in any order, gives the same bits."""

import math
from fractions import Fraction
from typing import Self

import numpy as np

from pipeline.core.events import Float64s, Int32s, Int64s, Json
from pipeline.core.kernels.exact_sum import SQUARE_LIMBS, VALUE_LIMBS, add_squares, add_values, carry, position_span

VALUE_UNIT = -1074
"""Every double is an integer times two to this power."""

SQUARE_UNIT = 2 * VALUE_UNIT
"""And so is every square of one."""

_ROOT_BITS = 64


class ExactSum:
    """An exact dyadic number, ``mantissa`` times 2 to the ``exponent``.

    Args:
        mantissa: any integer.
        exponent: any integer.
    """

    __slots__ = ("exponent", "mantissa")

    def __init__(self, mantissa: int = 0, exponent: int = 0) -> None:
        self.mantissa = mantissa
        self.exponent = exponent

    def __repr__(self) -> str:
        return f"ExactSum({self.mantissa}, {self.exponent})"

    def merge(self, other: Self) -> None:
        """Add another sum to this one.

        Args:
            other: the other sum.
        """
        if not other.mantissa:
            return
        if not self.mantissa:
            self.mantissa, self.exponent = other.mantissa, other.exponent
            return
        gap = other.exponent - self.exponent
        if gap >= 0:
            self.mantissa += other.mantissa << gap
        else:
            self.mantissa = (self.mantissa << -gap) + other.mantissa
            self.exponent = other.exponent

    def is_zero(self) -> bool:
        """Whether the sum is exactly zero."""
        return not self.mantissa

    def to_wire(self) -> Json:
        """``[exponent, mantissa]`` with an odd mantissa, a JSON integer up to 53 bits and hexadecimal text beyond."""
        mantissa = self.mantissa
        if not mantissa:
            return [0, 0]
        zeros = (mantissa & -mantissa).bit_length() - 1
        mantissa >>= zeros
        return [self.exponent + zeros, mantissa if mantissa.bit_length() <= 53 else f"{mantissa:x}"]

    @classmethod
    def from_wire(cls, wire: Json) -> Self:
        """Read what ``to_wire`` wrote.

        Args:
            wire: the JSON value.

        Returns:
            The sum.
        """
        exponent, mantissa = wire
        return cls(int(mantissa, 16) if isinstance(mantissa, str) else mantissa, exponent)

    def as_fraction(self) -> Fraction:
        """The sum as an exact fraction."""
        return Fraction(self.mantissa) * Fraction(2) ** self.exponent

    def divided_by(self, count: int) -> float:
        """The sum divided by a count, rounded once.

        Args:
            count: at least 1.

        Returns:
            The double nearest to the exact quotient.

        Raises:
            OverflowError: the quotient is beyond the doubles.
        """
        if self.exponent >= 0:
            return (self.mantissa << self.exponent) / count
        return self.mantissa / (count << -self.exponent)

    def root_divided_by(self, count: int) -> float:
        """The square root of the sum divided by a count, without overflow or underflow on the way.

        Args:
            count: at least 1.

        Returns:
            The double nearest to the exact root of a sum that is not negative (one unit off at most below 2^-1022).

        Raises:
            OverflowError: the root is beyond the doubles.
        """
        if not self.mantissa:
            return 0.0
        # Scale by an even power of two until the integer root has more bits than a double, then round once.
        spare = self.mantissa.bit_length() - count.bit_length() - 2 * _ROOT_BITS
        scale = spare - (spare + self.exponent) % 2
        scaled = self.mantissa >> scale if scale > 0 else self.mantissa << -scale
        lost = scale > 0 and scaled << scale != self.mantissa
        quotient, rest = divmod(scaled, count)
        root = math.isqrt(quotient)
        # A set last bit stands for everything cut off: it breaks ties the right way.
        root |= lost or rest > 0 or root * root != quotient
        return math.ldexp(root, (scale + self.exponent) // 2)

    def spread(self, squares: "ExactSum", count: int) -> float:
        """The population standard deviation of values whose sum this is.

        Args:
            squares: the exact sum of the values' squares.
            count: the number of values, at least 1.

        Returns:
            The double nearest to the exact standard deviation.
        """
        return self.variation(squares, count).root_divided_by(count * count)

    def variation(self, squares: "ExactSum", count: int) -> "ExactSum":
        """The squared count times the population variance of values whose sum this is.

        Args:
            squares: the exact sum of the values' squares.
            count: the number of values.

        Returns:
            n Σx² - (Σx)², exact: nothing cancels and nothing is ever negative.
        """
        deviation = ExactSum(-self.mantissa * self.mantissa, 2 * self.exponent)
        deviation.merge(ExactSum(count * squares.mantissa, squares.exponent))
        return deviation


def sum_values(values: Float64s, sign: Int64s, at: Int32s, cell: Int32s, cells: int) -> list[ExactSum]:
    """Sum values by cell.

    Args:
        values: float64[k]; what is not finite is passed over.
        sign: int64[k], +1 or -1.
        at: int32[m], each pair's value.
        cell: int32[m], each pair's cell.
        cells: the number of cells.

    Returns:
        One sum a cell.
    """
    low, limbs = value_limbs(values, sign, at, cell, cells)
    return sums_of_words(carry(limbs), VALUE_UNIT + 32 * low)


def sum_squares(values: Float64s, sign: Int64s, at: Int32s, cell: Int32s, cells: int) -> list[ExactSum]:
    """Sum the exact squares of values by cell.

    Args:
        values: float64[k]; what is not finite is passed over.
        sign: int64[k], +1 or -1.
        at: int32[m], each pair's value.
        cell: int32[m], each pair's cell.
        cells: the number of cells.

    Returns:
        One sum a cell.
    """
    low, limbs = square_limbs(values, sign, at, cell, cells)
    return sums_of_words(carry(limbs), SQUARE_UNIT + 32 * low)


def value_limbs(values: Float64s, sign: Int64s, at: Int32s, cell: Int32s, cells: int) -> tuple[int, Int64s]:
    """Sum values by cell, to limbs.

    Args:
        values: float64[k]; what is not finite is passed over.
        sign: int64[k], +1 or -1.
        at: int32[m], each pair's value.
        cell: int32[m], each pair's cell.
        cells: the number of cells.

    Returns:
        The place of the first limb, 32 bits each, above 2 to the ``VALUE_UNIT``; int64[cells, w], no limb at all where
        there is no value.
    """
    bits = values.view(np.int64)
    least, greatest = position_span(bits)
    if greatest < least:
        return 0, np.zeros((cells, 0), np.int64)
    low = least >> 5
    limbs = np.zeros((cells, (greatest >> 5) - low + VALUE_LIMBS), np.int64)
    add_values(bits, sign, at, cell, low, limbs)
    return low, limbs


def square_limbs(values: Float64s, sign: Int64s, at: Int32s, cell: Int32s, cells: int) -> tuple[int, Int64s]:
    """Sum the exact squares of values by cell, to limbs.

    Args:
        values: float64[k]; what is not finite is passed over.
        sign: int64[k], +1 or -1.
        at: int32[m], each pair's value.
        cell: int32[m], each pair's cell.
        cells: the number of cells.

    Returns:
        As of ``value_limbs``, above 2 to the ``SQUARE_UNIT``.
    """
    bits = values.view(np.int64)
    least, greatest = position_span(bits)
    if greatest < least:
        return 0, np.zeros((cells, 0), np.int64)
    low = 2 * least >> 5
    limbs = np.zeros((cells, (2 * greatest >> 5) - low + SQUARE_LIMBS), np.int64)
    add_squares(bits, sign, at, cell, low, limbs)
    return low, limbs


def sums_of_words(words: Int32s, exponent: int) -> list[ExactSum]:
    """Rows of words as sums.

    Args:
        words: int32[n, w], each row a little-endian integer in two's complement.
        exponent: of two, what the integers count.

    Returns:
        n sums.
    """
    count, width = words.shape
    data = words.astype("<i4", copy=False).tobytes()
    size = 4 * width
    return [
        ExactSum(int.from_bytes(data[row * size : (row + 1) * size], "little", signed=True), exponent)
        for row in range(count)
    ]
