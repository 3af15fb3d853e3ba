"""JSON numbers from bytes to float64, correctly rounded, without a Python object each.

Up to 19 digits and a power of ten become one product of 64 and 128 bits, as D. Lemire describes it ("Number Parsing at
a Gigabyte per Second", Software: Practice and Experience 51(8), 2021). What that cannot decide is reported as doubtful
and is left to a decoder that can.
"""

from typing import Any

import numpy as np

from pipeline.core.kernels.jit import inline_kernel as kernel

BAD = -1
"""Instead of a place in the bytes: not plain; somebody slower must look."""

MAX_DIGITS = 18
"""A whole number of so many digits fits in 64 bits with its sign."""

_LEAST_POWER, _MOST_POWER = -250, 250
_EXACT_POWER = 22  # the last power of ten that is a float64
_EXACT_MANTISSA = np.uint64(1 << 53)
_MANTISSA_BITS = 52
_LEAST_EXPONENT = -1023
_MOST_BIASED = 2047


def _power_bits(power: int) -> tuple[int, int]:
    """The 128 leading bits of 10^power, as two halves; the powers of two in it do not change them."""
    if power >= 0:
        bits = 5**power
        shift = bits.bit_length() - 128
        bits = bits >> shift if shift > 0 else bits << -shift
    else:
        five = 5**-power
        exponent = five.bit_length() + 127 if power >= -27 else 2 * five.bit_length() + 128
        bits = (1 << exponent) // five + 1
        bits >>= max(0, bits.bit_length() - 128)
    return bits >> 64, bits & ((1 << 64) - 1)


_POWERS = np.array([_power_bits(power) for power in range(_LEAST_POWER, _MOST_POWER + 1)], np.uint64)
_EXACT = np.array([float(10**power) for power in range(_EXACT_POWER + 1)], np.float64)

_U_0, _U_1, _U_2, _U_3, _U_9, _U_10 = (np.uint64(value) for value in (0, 1, 2, 3, 9, 10))
_U_32, _U_52, _U_63 = np.uint64(32), np.uint64(52), np.uint64(63)
_LOW_32 = np.uint64(0xFFFFFFFF)
_ALL = np.uint64((1 << 64) - 1)
_LOW_9 = np.uint64(0x1FF)
_HIDDEN = np.uint64(1 << _MANTISSA_BITS)
_SIGN = np.uint64(1 << 63)
_ZERO = np.uint64(ord("0"))
_MANY = np.uint64(10**18)  # another digit still fits


@kernel
def multiply(a: Any, b: Any) -> Any:
    """The 128-bit product of two uint64: (high half, low half)."""
    a0 = a & _LOW_32
    a1 = a >> _U_32
    b0 = b & _LOW_32
    b1 = b >> _U_32
    low = a0 * b0
    middle = a1 * b0 + (low >> _U_32)
    middle2 = a0 * b1 + (middle & _LOW_32)
    return a1 * b1 + (middle >> _U_32) + (middle2 >> _U_32), (middle2 << _U_32) | (low & _LOW_32)


@kernel
def _leading_zeros(value: Any) -> Any:
    count = 0
    while not value & _SIGN:
        value = value << _U_1
        count += 1
    return count


@kernel
def float_bits(mantissa: Any, power: Any) -> Any:
    """The bits of the float64 nearest to mantissa * 10^power, ties to even.

    Args:
        mantissa: uint64, not 0.
        power: the power of ten.

    Returns:
        (uint64 bits, whether they are sure).
    """
    if power < _LEAST_POWER or power > _MOST_POWER:
        return _U_0, False
    zeros = _leading_zeros(mantissa)
    scaled = mantissa << np.uint64(zeros)
    high, low = multiply(scaled, _POWERS[power - _LEAST_POWER, 0])
    if high & _LOW_9 == _LOW_9:
        # The leading half of the power does not decide the rounding: take the other half as well.
        more, _ = multiply(scaled, _POWERS[power - _LEAST_POWER, 1])
        low = low + more
        if low < more:
            high = high + _U_1
    if low == _ALL and (power < -27 or power > 55):
        return _U_0, False
    upper = high >> _U_63
    shift = upper + _U_9
    bits = high >> shift
    exponent = ((217706 * power) >> 16) + 63 + np.int64(upper) - zeros - _LEAST_EXPONENT
    if exponent <= 0:
        return _U_0, False
    halfway = low <= _U_1 and -4 <= power <= 23 and bits & _U_3 == _U_1 and bits << shift == high
    if halfway:
        bits = bits & ~_U_1
    bits = (bits + (bits & _U_1)) >> _U_1
    if bits >= _HIDDEN << _U_1:
        bits = _HIDDEN
        exponent += 1
    if exponent >= _MOST_BIASED:
        return _U_0, False
    return (bits & ~_HIDDEN) | (np.uint64(exponent) << _U_52), True


@kernel
def read_number(buffer: Any, at: Any) -> Any:
    """Read a JSON number.

    Args:
        buffer: uint8[b], which ends in a byte that no number goes on with.
        at: where it begins.

    Returns:
        (where it ends or ``BAD``, the uint64 bits of its float64, whether it is a whole number written without a point
        or exponent and of at most ``MAX_DIGITS`` digits, that number as int64). ``-0`` is left to others: JSON readers
        do not agree whether it is an integer.
    """
    negative = buffer[at] == ord("-")
    if negative:
        at += 1
    first = at
    at, mantissa = _read_digits(buffer, at, _U_0)
    whole = at - first
    if whole <= 0 or (whole > 1 and buffer[first] == ord("0")):
        return BAD, _U_0, False, np.int64(0)
    power = 0
    plain = True
    if buffer[at] == ord("."):
        plain = False
        point = at + 1
        at, mantissa = _read_digits(buffer, point, mantissa)
        power = point - at
        if power >= 0:
            return BAD, _U_0, False, np.int64(0)
    if buffer[at] == ord("e") or buffer[at] == ord("E"):
        plain = False
        at, more = _read_exponent(buffer, at + 1)
        if at < 0:
            return BAD, _U_0, False, np.int64(0)
        power += more
    bits, sure = _assemble(mantissa, power)
    if not sure or (plain and negative and mantissa == _U_0):
        return BAD, _U_0, False, np.int64(0)
    if negative:
        return at, bits | _SIGN, plain and whole <= MAX_DIGITS, -np.int64(mantissa)
    return at, bits, plain and whole <= MAX_DIGITS, np.int64(mantissa)


@kernel
def _read_digits(buffer: Any, at: Any, value: Any) -> Any:
    """Read digits behind those of a value; gives where they end and the value, or ``BAD`` when they are too many."""
    digit = np.uint64(buffer[at]) - _ZERO
    while digit <= _U_9:
        if value >= _MANY:
            return BAD, value
        value = value * _U_10 + digit
        at += 1
        digit = np.uint64(buffer[at]) - _ZERO
    return at, value


@kernel
def _read_exponent(buffer: Any, at: Any) -> Any:
    sign = 1
    if buffer[at] == ord("-"):
        sign = -1
        at += 1
    elif buffer[at] == ord("+"):
        at += 1
    first = at
    value = np.int64(0)
    while ord("0") <= buffer[at] <= ord("9") and at - first < 4:
        value = value * 10 + (np.int64(buffer[at]) - ord("0"))
        at += 1
    if at == first or ord("0") <= buffer[at] <= ord("9"):
        return BAD, 0
    return at, sign * value


@kernel
def _assemble(mantissa: Any, power: Any) -> Any:
    if mantissa == _U_0:
        return _U_0, True
    if mantissa <= _EXACT_MANTISSA and -_EXACT_POWER <= power <= _EXACT_POWER:
        # Both are float64 without loss, so one operation rounds once.
        value = np.float64(mantissa)
        value = value * _EXACT[power] if power >= 0 else value / _EXACT[-power]
        return np.float64(value).view(np.uint64), True
    return float_bits(mantissa, power)
