"""Kernels that sum doubles without any rounding, as integers in limbs of 32 bits.

Every finite double is an integer times 2^-1074, and its square an integer times 2^-2148. A sum is a row of int64 limbs,
limb j worth 2^(32 j) units; each addition touches few limbs and needs no carry, since int64 leaves room for 2^31
additions. The order of additions cannot matter, and subtracting undoes adding.
"""

import numpy as np

from pipeline.core.events import Int32s, Int64s
from pipeline.core.kernels.jit import kernel

VALUE_LIMBS = 4
"""Limbs that one value can reach from its lowest: 53 bits shifted by up to 31, and room for carries."""
SQUARE_LIMBS = 6
"""The same for the square of a value: 106 bits shifted by up to 31."""


@kernel
def position_span(bits: Int64s) -> tuple[int, int]:
    """The lowest and highest place that values have on the integer scale.

    Args:
        bits: int64[k], bit patterns of doubles; zeros and what is not finite are passed over.

    Returns:
        The least and the greatest place of a value's last bit, in bits above 2^-1074; (1, 0) when there are no values.
    """
    least = 4096
    greatest = -1
    for i in range(len(bits)):
        pattern = bits[i]
        exponent = (pattern >> 52) & 0x7FF
        if exponent == 0x7FF or (pattern & 0x7FFFFFFFFFFFFFFF) == 0:
            continue
        place = exponent - 1 if exponent > 0 else 0
        least = min(least, place)
        greatest = max(greatest, place)
    if greatest < 0:
        return 1, 0
    return least, greatest


@kernel
def add_values(bits: Int64s, sign: Int64s, at: Int32s, cell: Int32s, low: int, limbs: Int64s) -> None:
    """Add values to their cells' sums; zeros and what is not finite are passed over.

    Args:
        bits: int64[k], bit patterns of doubles.
        sign: int64[k], +1 to add the value, -1 to take it back.
        at: int32[m], each pair's value.
        cell: int32[m], each pair's cell.
        low: the place of the first limb, in limbs above 2^-1074.
        limbs: int64[cells, l], added to in place.
    """
    for i in range(len(at)):
        pattern = bits[at[i]]
        exponent = (pattern >> 52) & 0x7FF
        fraction = pattern & 0xFFFFFFFFFFFFF
        if exponent == 0x7FF or (exponent | fraction) == 0:
            continue
        place = 0
        if exponent > 0:
            fraction |= 0x10000000000000
            place = exponent - 1
        factor = -sign[at[i]] if pattern < 0 else sign[at[i]]
        shift = place & 31
        limb = (place >> 5) - low
        first = (fraction & 0xFFFFFFFF) << shift
        second = ((fraction >> 32) << shift) + (first >> 32)
        row = cell[i]
        limbs[row, limb] += factor * (first & 0xFFFFFFFF)
        limbs[row, limb + 1] += factor * (second & 0xFFFFFFFF)
        limbs[row, limb + 2] += factor * (second >> 32)


@kernel
def add_squares(bits: Int64s, sign: Int64s, at: Int32s, cell: Int32s, low: int, limbs: Int64s) -> None:
    """Add the exact squares of values to their cells' sums; what is not finite is passed over.

    Args:
        bits: int64[k], bit patterns of doubles.
        sign: int64[k], +1 to add the square, -1 to take it back.
        at: int32[m], each pair's value.
        cell: int32[m], each pair's cell.
        low: the place of the first limb, in limbs above 2^-2148.
        limbs: int64[cells, l], added to in place.
    """
    for i in range(len(at)):
        pattern = bits[at[i]]
        exponent = (pattern >> 52) & 0x7FF
        fraction = pattern & 0xFFFFFFFFFFFFF
        if exponent == 0x7FF or (exponent | fraction) == 0:
            continue
        place = 0
        if exponent > 0:
            fraction |= 0x10000000000000
            place = 2 * (exponent - 1)
        factor = sign[at[i]]
        shift = place & 31
        limb = (place >> 5) - low
        # (a + b 2^27)^2 in digits of 32 bits; each product of halves stays below 2^54.
        a = fraction & 0x7FFFFFF
        b = fraction >> 27
        cross = 2 * a * b
        high = b * b
        digit0 = a * a + ((cross & 31) << 27)
        digit1 = (digit0 >> 32) + (cross >> 5) + ((high & 1023) << 22)
        digit2 = (digit1 >> 32) + (high >> 10)
        # The digits shifted into place; the greatest intermediate value is below 2^63.
        word0 = (digit0 & 0xFFFFFFFF) << shift
        word1 = ((digit1 & 0xFFFFFFFF) << shift) + (word0 >> 32)
        word2 = ((digit2 & 0xFFFFFFFF) << shift) + (word1 >> 32)
        word3 = ((digit2 >> 32) << shift) + (word2 >> 32)
        row = cell[i]
        limbs[row, limb] += factor * (word0 & 0xFFFFFFFF)
        limbs[row, limb + 1] += factor * (word1 & 0xFFFFFFFF)
        limbs[row, limb + 2] += factor * (word2 & 0xFFFFFFFF)
        limbs[row, limb + 3] += factor * (word3 & 0xFFFFFFFF)
        limbs[row, limb + 4] += factor * (word3 >> 32)


@kernel
def carry(limbs: Int64s) -> Int32s:
    """Bring every limb into 32 bits, so that a row reads as one little-endian two's-complement integer.

    Args:
        limbs: int64[cells, l], sums of at most 2^30 additions with a last limb that no addition reached; overwritten.

    Returns:
        int32[cells, l], the same integers.
    """
    cells, width = limbs.shape
    words = np.empty((cells, width), np.int32)
    for row in range(cells):
        over = 0
        for limb in range(width):
            total = limbs[row, limb] + over
            over = total >> 32
            word = total & 0xFFFFFFFF
            words[row, limb] = word - 0x100000000 if word >= 0x80000000 else word
    return words
