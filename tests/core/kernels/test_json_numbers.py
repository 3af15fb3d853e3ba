"""Numbers from bytes against Python's own reader, bit for bit."""

import json
import re
import struct

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.core.kernels.json_numbers import BAD, MAX_DIGITS, multiply, read_number

NUMBER = re.compile(rb"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def read(text: str, behind: bytes = b"\0") -> tuple[int, int, bool, int]:
    end, bits, whole, value = read_number(np.frombuffer(text.encode() + behind, np.uint8), 0)
    return int(end), int(bits), bool(whole), int(value)


def bits_of(value: float) -> int:
    bits: int = struct.unpack("<Q", struct.pack("<d", value))[0]
    return bits


@given(bits=st.integers(0, 2**64 - 1))
@settings(max_examples=300, deadline=None)
def test_any_float64_written_in_full_is_read_bit_for_bit(bits: int) -> None:
    value = struct.unpack("<d", struct.pack("<Q", bits))[0]
    if not np.isfinite(value):
        return
    end, found, _, _ = read(json.dumps(value))
    # Far from 1 a power of ten is not in the table: such numbers are left to others, and never read wrongly.
    assert end in {BAD, len(json.dumps(value))}
    assert end == BAD or found == bits
    assert end != BAD or not 1e-230 < abs(value) < 1e230


@given(digits=st.integers(1, 10**19 - 1), power=st.integers(-60, 60))
@example(digits=9007199254740993, power=0)  # halfway between two float64: to the even one
@example(digits=9007199254740995, power=0)
@example(digits=1, power=23)  # the first power of ten that no float64 holds
@example(digits=2**63, power=-19)
@settings(max_examples=300, deadline=None)
def test_up_to_nineteen_digits_and_a_power_round_to_the_nearest(digits: int, power: int) -> None:
    text = f"{digits}e{power}"
    end, found, whole, _ = read(text)
    if end != BAD:
        assert (end, found, whole) == (len(text), bits_of(float(text)), False)
    else:
        assert digits >= 10**18


@given(
    value=st.integers(-(10**18) + 1, 10**18 - 1).filter(bool), behind=st.sampled_from([b",", b"}", b"]", b" ", b"\0"])
)
@settings(max_examples=100, deadline=None)
def test_whole_numbers_keep_every_digit(value: int, behind: bytes) -> None:
    assert read(str(value), behind) == (len(str(value)), bits_of(float(value)), True, value)


@pytest.mark.parametrize(
    "text",
    ["", "-", "+1", ".5", "1.", "1.e3", "01", "-01", "1e", "1e+", "1e99999", "NaN", "Infinity", "-Infinity", "x"],
)
def test_what_is_no_number_is_refused(text: str) -> None:
    assert read(text)[0] == BAD


@pytest.mark.parametrize("text", ["-0", "12345678901234567890", "0." + "1" * 20, "1e-300", "1e400"])
def test_what_is_doubtful_is_left_to_others(text: str) -> None:
    assert read(text)[0] == BAD


def test_a_whole_number_of_too_many_digits_is_a_number_but_no_integer() -> None:
    text = "1" * (MAX_DIGITS + 1)
    end, bits, whole, _ = read(text)
    assert (end, bits, whole) == (len(text), bits_of(float(text)), False)


@given(text=st.text(alphabet="0123456789.eE+-", max_size=12))
@settings(max_examples=500, deadline=None)
def test_nothing_but_json_is_taken(text: str) -> None:
    end = read(text)[0]
    longest = NUMBER.match(text.encode())
    if end != BAD:
        assert longest is not None
        assert end == longest.end()


@given(a=st.integers(0, 2**64 - 1), b=st.integers(0, 2**64 - 1))
@settings(max_examples=200, deadline=None)
def test_products_have_all_their_128_bits(a: int, b: int) -> None:
    high, low = multiply(np.uint64(a), np.uint64(b))
    assert (int(high) << 64) + int(low) == a * b
