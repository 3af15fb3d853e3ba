"""The cold tier's index against a plain dictionary."""

import numpy as np
import pytest

from pipeline.core.kernels.join_index import (
    MAX_SEGMENT,
    add_entry,
    drop_segments,
    find_entries,
    make_index,
    remove_entry,
)


def keys_of(count: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint64]]:
    return np.random.default_rng(count).integers(0, 2**64, (count, 2), dtype=np.uint64)


def found(
    index: np.ndarray[tuple[int], np.dtype[np.uint32]], keys: np.ndarray[tuple[int, int], np.dtype[np.uint64]]
) -> list[tuple[int, int]]:
    which, segment = np.zeros(3 * len(keys) + 9, np.int32), np.zeros(3 * len(keys) + 9, np.int32)
    count = find_entries(index, keys, 0, len(keys), which, segment)
    return list(zip(which[:count].tolist(), segment[:count].tolist(), strict=True))


@pytest.mark.parametrize("slots", [4, 4_096, 50_000])
def test_what_was_added_is_found_until_it_is_removed(slots: int) -> None:
    index, keys = make_index(slots), keys_of(int(0.9 * slots))
    where = {i: i % MAX_SEGMENT + 1 for i in range(len(keys))}
    for i, segment in where.items():
        assert add_entry(index, keys[i, 0], keys[i, 1], segment)
    assert set(where.items()) <= set(found(index, keys))
    assert len(found(index, keys)) - len(where) <= len(keys) // 1_000
    for i in list(where)[::2]:
        assert remove_entry(index, keys[i, 0], keys[i, 1], where.pop(i))
    assert set(where.items()) <= set(found(index, keys))
    assert len(found(index, keys)) - len(where) <= len(keys) // 1_000
    for i, segment in where.items():
        assert remove_entry(index, keys[i, 0], keys[i, 1], segment)
    assert not index.any()


def test_it_fills_to_nineteen_in_twenty() -> None:
    index, keys = make_index(100_000), keys_of(95_000)
    assert all(add_entry(index, key0, key1, 1) for key0, key1 in keys)


def test_a_full_one_says_so() -> None:
    index, keys = make_index(64), keys_of(80)
    assert not all(add_entry(index, key0, key1, 1) for key0, key1 in keys)


def test_keys_that_look_the_same_keep_an_entry_each() -> None:
    """Taking one key out must not lose another with the same fingerprint and the same buckets."""
    index, keys = make_index(4), keys_of(2)
    keys[1] = keys[0]
    for key0, key1 in keys:
        assert add_entry(index, key0, key1, 7)
    assert remove_entry(index, keys[0, 0], keys[0, 1], 7)
    assert found(index, keys[1:]) == [(0, 7)]
    assert not remove_entry(index, keys[0, 0], keys[0, 1], 8)


def test_whole_segments_go_at_once() -> None:
    index, keys = make_index(4_096), keys_of(3_000)
    for i, (key0, key1) in enumerate(keys):
        assert add_entry(index, key0, key1, 1 + i % 5)
    dropped = np.zeros(MAX_SEGMENT + 1, np.bool_)
    dropped[[2, 4]] = True
    drop_segments(index, dropped)
    assert {segment for _, segment in found(index, keys)} == {1, 3, 5}
    assert np.count_nonzero(index) == 1_800


def test_more_than_there_is_room_for_is_counted() -> None:
    index, keys = make_index(4_096), keys_of(10)
    for segment in (1, 2, 3):
        for key0, key1 in keys:
            assert add_entry(index, key0, key1, segment)
    few = np.zeros(4, np.int32)
    assert find_entries(index, keys, 0, 10, few, few.copy()) == 30
