"""The kernels of scores beside plain loops."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.kernels.scores import KEYS, count_keys, decode_counts, encode_counts, merge_counts, precision_sums

sparse = st.dictionaries(
    st.integers(0, KEYS - 1), st.integers(-(2**60), 2**60).filter(bool) | st.integers(1, 5), max_size=30
)
settled = settings(max_examples=60, deadline=None)


def arrays(counts: dict[int, int]) -> tuple[np.ndarray, np.ndarray]:
    keys = sorted(counts)
    return np.array(keys, np.int32), np.array([counts[key] for key in keys], np.int64)


@given(counts=sparse)
@settled
def test_counts_survive_their_bytes(counts: dict[int, int]) -> None:
    keys, found = decode_counts(encode_counts(*arrays(counts)))
    assert dict(zip(keys.tolist(), found.tolist(), strict=True)) == counts
    assert keys.tolist() == sorted(counts)


def test_a_key_with_few_rows_takes_a_byte_or_two() -> None:
    assert len(encode_counts(np.arange(0, 3000, 3, dtype=np.int32), np.full(1000, 3))) == 1000
    assert len(encode_counts(np.arange(0, 100_000, 100, dtype=np.int32), np.ones(1000, np.int64))) <= 2000


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"\x85", "cut off"),
        (b"\x04", "cut off"),
        (b"\x01", "none"),
        (b"\xfc\xff\xff\x7f", "none"),
        (b"\xff" * 10, "nine bytes"),
    ],
)
def test_other_bytes_are_refused(data: bytes, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        decode_counts(np.frombuffer(data, np.uint8))


@given(first=sparse, second=sparse)
@settled
def test_merging_adds_and_drops_what_cancels(first: dict[int, int], second: dict[int, int]) -> None:
    keys, counts = merge_counts(*arrays(first), *arrays(second))
    total = {key: first.get(key, 0) + second.get(key, 0) for key in first.keys() | second.keys()}
    assert dict(zip(keys.tolist(), counts.tolist(), strict=True)) == {key: one for key, one in total.items() if one}
    assert keys.tolist() == sorted(keys.tolist())


@given(
    rows=st.lists(st.tuples(st.integers(0, KEYS - 1) | st.integers(0, 3), st.sampled_from([1, -1])), max_size=20),
    slots=st.integers(1, 5000),
    data=st.data(),
)
@settled
def test_keys_are_counted_by_slot(rows: list[tuple[int, int]], slots: int, data: st.DataObject) -> None:
    places = st.tuples(st.integers(0, len(rows) - 1), st.integers(0, slots - 1))
    pairs = data.draw(st.lists(places, max_size=40)) if rows else []
    expected: Counter[int] = Counter()
    for at, slot in pairs:
        expected[slot * KEYS + rows[at][0]] += rows[at][1]
    keys, counts = count_keys(
        np.array([key for key, _ in rows], np.int32),
        np.array([sign for _, sign in rows], np.int64),
        np.array([at for at, _ in pairs], np.int32),
        np.array([slot for _, slot in pairs], np.int32),
        slots,
    )
    assert dict(zip(keys.tolist(), counts.tolist(), strict=True)) == {key: one for key, one in expected.items() if one}
    assert keys.tolist() == sorted(keys.tolist())


@given(
    bins=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans()), min_size=1, max_size=5),
    data=st.data(),
)
@settled
def test_no_order_inside_the_bins_is_outside_the_bounds_of_precision(
    bins: list[tuple[int, int, bool]], data: st.DataObject
) -> None:
    low, high = precision_sums(
        np.array([positive for positive, _, _ in bins]),
        np.array([negative for _, negative, _ in bins]),
        np.array([single for _, _, single in bins]),
    )
    above, rows, total = 0, 0, 0.0
    for positive, negative, single in bins:
        labels = data.draw(st.permutations([1] * positive + [0] * negative))
        # Neighbours may be tied; in a bin of one score, all are.
        ties = [single or data.draw(st.booleans()) for _ in labels[1:]] + [False] * bool(labels)
        group = 0
        for label, tied in zip(labels, ties, strict=True):
            rows, group = rows + 1, group + label
            if not tied:
                above += group
                total += group * above / rows
                group = 0
    assert low - 1e-12 <= total <= high + 1e-12
    assert math.isfinite(high)
