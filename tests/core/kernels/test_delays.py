"""The kernels of the delay sketch against plain Python."""

from collections import Counter
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.accumulate.delays import RELATIVE_ERROR, VALUES_MS
from pipeline.core.kernels.delays import BUCKETS, add_sketches, count_delays

delays = st.integers(-(2**40), 2**40) | st.integers(-2, 40) | st.sampled_from([2**52, 2**53 - 1])


def bucket_of(delay_ms: int) -> int:
    """The sixteenth of the octave, counted with whole numbers."""
    if delay_ms <= 0:
        return 0
    octave = delay_ms.bit_length() - 1
    return 16 * octave + (16 * (delay_ms - (1 << octave)) >> octave) + 1


def count(delay_ms: list[int], cell: list[int], is_class: list[bool]) -> Any:
    rows = len(delay_ms)
    label = np.arange(rows) % 3
    keys, counts = count_delays(
        np.array(delay_ms, np.int64), label, np.ones(rows, np.int64), np.arange(rows, dtype=np.int32),
        np.array(cell, np.int32), np.array(is_class, np.uint8), 3,
    )  # fmt: skip
    return dict(zip(keys.tolist(), counts.tolist(), strict=True))


@given(st.lists(st.tuples(delays, st.integers(0, 1)), max_size=30))
def test_delays_are_counted_by_cell_class_and_bucket(rows: list[tuple[int, int]]) -> None:
    told = count([delay for delay, _ in rows], [cell for _, cell in rows], [True, False])
    expected = Counter(
        (cell * 4 + (index % 3 if cell == 0 else 3)) * BUCKETS + bucket_of(delay)
        for index, (delay, cell) in enumerate(rows)
    )
    assert told == expected


@given(delays.filter(lambda delay: delay > 0))
def test_a_bucket_stands_for_its_delays(delay_ms: int) -> None:
    assert abs(VALUES_MS[bucket_of(delay_ms)] / delay_ms - 1) <= RELATIVE_ERROR * (1 + 1e-12)


def test_many_distinct_delays_all_find_a_place() -> None:
    many = list(range(1, 20_000))
    told = count(many, [0] * len(many), [True])
    assert sum(told.values()) == len(many)


sketches = st.dictionaries(st.integers(0, 20), st.integers(-3, 3).filter(bool), max_size=12)


@given(sketches, sketches)
def test_sketches_add_up(one: dict[int, int], other: dict[int, int]) -> None:
    def array(sketch: dict[int, int]) -> Any:
        return np.array(sorted(sketch.items()), np.int64).reshape(-1, 2)

    total = Counter(one)
    total.update(other)
    assert add_sketches(array(one), array(other)).tolist() == sorted(
        [bucket, count] for bucket, count in total.items() if count
    )
