"""Counts by key are the same whether they lie in memory as arrays or as text."""

import numpy as np
import pytest

from pipeline.core.accumulate.key_counts import KeyCounts


def counts(*pairs: tuple[int, int]) -> KeyCounts:
    keys, found = zip(*pairs, strict=True)
    return KeyCounts((np.array(keys, np.int32), np.array(found, np.int64)))


def pairs_of(one: KeyCounts) -> list[tuple[int, int]]:
    keys, found = one.arrays
    return list(zip(keys.tolist(), found.tolist(), strict=True))


@pytest.mark.parametrize("mine", [False, True])
@pytest.mark.parametrize("other", [False, True])
def test_writing_changes_nothing(*, mine: bool, other: bool) -> None:
    first, second = counts((3, 1), (70_000, -2)), counts((3, -1), (5, 900))
    for one, write in ((first, mine), (second, other)):
        if write:
            one.to_wire()
    first.merge(second)
    assert pairs_of(first) == [(5, 900), (70_000, -2)]
    assert pairs_of(second) == [(3, -1), (5, 900)]
    assert pairs_of(KeyCounts.from_wire(first.to_wire())) == pairs_of(first)
    first.merge(counts((5, -900), (70_000, 2)))
    assert first.is_zero()
    assert first.to_wire() == ""
    assert first.is_zero()


def test_what_was_adopted_is_not_shared() -> None:
    first, second = KeyCounts(), counts((3, 1))
    first.merge(second)
    first.merge(counts((4, 1)))
    assert pairs_of(second) == [(3, 1)]


def test_other_text_is_refused() -> None:
    for text in ("!", "hQ==", "AQ=="):
        with pytest.raises(ValueError, match=r"."):
            KeyCounts.from_wire(text)
