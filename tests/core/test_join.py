"""The join by small timelines. One letter a millisecond; H is the label horizon, A how long a label waits."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.core.join import MAX_KEPT_LABELS, NO_LABEL, Joined, JoinLimits, JoinStore, Unmatched
from pipeline.core.join_cold import StoreFullError
from pipeline.core.kernels.join_rows import ROW, STATED
from tests.changed_rows import all_changed
from tests.cold_blocks import MemoryBlocks

H, A = 10, 4
NUMBER = 0


@pytest.fixture(params=["memory", "cold"], autouse=True)
def tier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test runs with all rows in memory, and with so little memory that rows go to the cold tier at once."""
    monkeypatch.setattr(Store, "cold", request.param == "cold")
    return str(request.param)


class Store:
    """A store with one row a call; the label's place in the log counts up."""

    cold = False
    cold_memory_bytes = 1 << 10  # every call finds its rows on disk

    def __init__(self, limits: JoinLimits | None = None) -> None:
        self._limits = limits or JoinLimits(horizon_ms=H, early_ms=A)
        self.store = self._made()
        self.sequence = 0
        self.final = -1_000

    def _made(self) -> JoinStore:
        limits = replace(self._limits, memory_bytes=self.cold_memory_bytes if self.cold else 16 << 20)
        return JoinStore(limits, MemoryBlocks() if self.cold else None)

    def predict(
        self, time_ms: int, *, key: int = 1, group: int = 0, value: int = 7, effective: int | None = None
    ) -> Any:
        duplicate, joined = self.store.insert_predictions(
            np.array([[key, key]], np.uint64),
            np.array([time_ms]),
            np.array([time_ms if effective is None else effective]),
            np.array([group], np.int32),
            np.array([0], np.int32),
            np.array([value]),
        )
        return "duplicate" if duplicate[0] else said(joined)

    def label(self, time_ms: int, value: int, *, key: int = 1, effective: int | None = None) -> Any:
        joined, lost = self.store.insert_labels(
            np.array([[key, key]], np.uint64),
            np.array([time_ms]),
            np.array([time_ms if effective is None else effective]),
            np.array([3], np.int32),
            np.array([NUMBER], np.uint8),
            np.array([value]),
            sequence=np.array([self.sequence]),
            final_ms=self.final,
        )
        self.sequence += 1
        return said(joined) if not len(lost) else "lost"

    def sweep(self, final_ms: int) -> list[tuple[int, int]]:
        self.final = final_ms
        return told(self.store.sweep(final_ms))

    def restart(self, parts: list[Any]) -> None:
        self.store = self._made()
        self.store.restore(parts)
        self.store.sweep(self.final)


def said(joined: Joined) -> list[tuple[int, int | None, int | None]]:
    """Group, the value before (None without a label), the value after."""
    return [
        (
            int(joined.group[i]),
            None if joined.old_kind[i] == NO_LABEL else int(joined.old_value[i]),
            None if joined.new_kind[i] == NO_LABEL else int(joined.new_value[i]),
        )
        for i in range(len(joined))
    ]


def told(unmatched: Unmatched) -> list[tuple[int, int]]:
    return list(zip(unmatched.model.tolist(), unmatched.effective_ms.tolist(), strict=True))


def test_a_label_joins_up_to_the_horizon() -> None:
    """
    ::

        P=========H
                  1 joins at the horizon itself
                   2 does not
    """
    store = Store()
    assert store.predict(0) == []
    assert store.label(10, 1) == [(0, None, 1)]
    assert store.label(11, 2) == []


def test_the_last_label_by_its_own_time_wins_and_the_old_one_is_named() -> None:
    """
    ::

        P=========H
          1  2          2 corrects 1
            3           3 is older than 2, though read later: it is passed over
             4          4 is as old as 2 and later in the log: passed over
    """
    store = Store()
    store.predict(0)
    assert store.label(2, 1) == [(0, None, 1)]
    assert store.label(5, 2) == [(0, 1, 2)]
    assert store.label(4, 3) == [(0, 2, 2)]
    assert store.label(5, 4) == [(0, 2, 2)]


def test_a_label_waits_for_its_prediction() -> None:
    """
    ::

        1===A
            P joins       P' comes too late for it
             P'
    """
    store = Store()
    assert store.label(0, 1) == store.label(0, 1, key=2) == []
    assert store.predict(4) == [(0, None, 1)]
    assert store.predict(5, key=2) == []


def test_of_labels_that_wait_the_last_wins_the_first_of_equals() -> None:
    store = Store()
    store.label(2, 1)
    store.label(3, 2)
    store.label(3, 3)
    store.label(1, 4)
    assert store.predict(4) == [(0, None, 2)]


def test_the_first_prediction_wins_within_the_horizon() -> None:
    """
    ::

        P=========H
          P              again: a duplicate
                   P     after the horizon: a new prediction
    """
    store = Store()
    store.predict(0, value=7)
    assert store.predict(2, value=8) == "duplicate"
    assert store.predict(11, value=9) == []
    (row,) = store.label(12, 1)
    assert row == (0, None, 1)


def test_champion_and_shadow_are_judged_by_one_label() -> None:
    store = Store()
    store.predict(0, group=0)
    store.predict(1, group=1)
    assert sorted(store.label(3, 5)) == [(0, None, 5), (1, None, 5)]
    assert store.predict(4, group=2) == [(2, None, 5)]  # a late version finds the label with its siblings


def test_keys_do_not_meet() -> None:
    store = Store()
    store.predict(0, key=1)
    assert store.label(1, 5, key=2) == []


def test_lateness_is_by_effective_time() -> None:
    """A label from before the horizon that was read behind newer ones is as late as they are.

    ::

        P=========H
               L      its own time
                   E  the watermark where it stands in the log
    """
    store = Store()
    store.predict(0)
    assert store.label(7, 1, effective=11) == []
    assert store.label(7, 1, effective=10) == [(0, None, 1)]


def test_what_waited_in_vain_is_told_once() -> None:
    store = Store()
    store.label(0, 1, key=1)
    store.label(0, 2, key=2)
    store.predict(3, key=2)
    assert store.sweep(4) == []
    assert store.sweep(5) == [(3, 0)]
    assert store.sweep(100) == []


def test_a_label_outlives_its_prediction_for_a_later_version() -> None:
    """
    ::

        P=========H
                  1===A
                     P'     the first prediction is gone, its label is still waiting
    """
    store = Store()
    store.predict(0)
    store.label(10, 5)
    assert store.sweep(12) == []
    assert store.predict(13, group=1) == [(1, None, 5)]


def test_only_what_changed_is_written_and_it_all_comes_back() -> None:
    store = Store()
    store.predict(0)
    store.predict(0, key=2)
    parts = [all_changed(store.store)]
    assert len(parts[0]) == 2
    assert len(all_changed(store.store)) == 0
    store.label(3, 5)
    parts.append(all_changed(store.store))
    assert len(parts[1]) == 1
    store.restart(parts)
    assert store.label(4, 6) == [(0, 5, 6)]
    assert store.label(4, 6, key=2) == [(0, None, 6)]
    assert store.predict(4) == "duplicate"


def test_the_changelog_gets_no_stray_memory() -> None:
    """A row has no gaps, in which whatever lay there before would be written."""
    for kind, size in ((ROW, 64), (STATED, 32)):
        assert sum(kind[name].itemsize for name in kind.names or ()) == kind.itemsize == size


def test_a_part_can_be_forgotten_once_all_its_rows_are_past_use() -> None:
    store = Store()
    store.predict(3)
    assert store.store.expiry_ms(all_changed(store.store)) == 13
    store.label(12, 1)
    assert store.store.expiry_ms(all_changed(store.store)) == 16  # the label may still be needed by a sibling
    store.label(20, 1, key=2)
    assert store.store.expiry_ms(all_changed(store.store)) == 24
    store.predict(9, key=3)
    store.predict(2, key=4)
    assert store.store.expiry_ms(all_changed(store.store)) == 19


def test_a_full_store_says_what_to_raise() -> None:
    store = Store(JoinLimits(horizon_ms=H, early_ms=A, max_rows=4_000))
    for key in range(4_000):
        store.predict(0, key=key)
    assert store.predict(1, key=7) == "duplicate"
    with pytest.raises(StoreFullError, match=r"joiner\.max_open_rows"):
        store.predict(0, key=4_000)


def test_old_rows_make_room_for_new_ones() -> None:
    store = Store(JoinLimits(horizon_ms=H, early_ms=A, max_rows=20_000))
    for start in range(0, 200_000, 2_000):
        for key in range(200):
            store.predict(start, key=start + key)
        store.sweep(start)
    assert len(store.store) < 20_000


def label_storm(count: int, *, rising: bool, predicted: bool) -> tuple[Store, int, int]:
    """One id that a broken publisher gives to everything: count labels of one key, in one batch."""
    store = Store(JoinLimits(horizon_ms=10**9, early_ms=10**9))
    if predicted:
        store.predict(0)
    times = np.arange(count) if rising else np.arange(count)[::-1].copy()
    joined, lost = store.store.insert_labels(
        np.ones((count, 2), np.uint64),
        times,
        np.full(count, count),
        np.zeros(count, np.int32),
        np.zeros(count, np.uint8),
        times,
        sequence=np.arange(count),
        final_ms=0,
    )
    return store, len(joined), len(lost)


@pytest.mark.parametrize("rising", [True, False])
@pytest.mark.parametrize("predicted", [True, False])
def test_labels_of_one_id_are_kept_up_to_a_bound(rising: bool, predicted: bool) -> None:  # noqa: FBT001 - two cases each
    """Before there was a bound, 5,000 labels of one id took all memory, and each walked over all before it."""
    count = 20_000
    store, joined, lost = label_storm(count, rising=rising, predicted=predicted)
    assert len(store.store) <= MAX_KEPT_LABELS + 1
    if predicted:
        assert (joined, lost) == (count, 0)
        assert store.label(count + 5, 1) == [(0, count - 1, 1)]
    else:
        assert (joined, lost) == (0, count - MAX_KEPT_LABELS)
        assert len(store.sweep(10**10)) == MAX_KEPT_LABELS


def test_rows_that_were_given_up_are_used_again_by_their_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy id must not leave a trail of dead rows that every later look-up walks over."""
    monkeypatch.setattr(Store, "cold_memory_bytes", 400_000)
    store = Store(JoinLimits(horizon_ms=H, early_ms=A))
    for key in range(20_000):  # so many others that the store sees no need to compact
        store.predict(10**6, key=key + 10)
    before = len(store.store)
    for start in range(0, 20_000, 20):
        store.predict(start)
        for step in range(1, 10):
            store.label(start + step, step)
        store.sweep(start + 19)
    assert len(store.store) - before < 2 * (10 + A)


def test_what_labels_did_is_told_right_when_the_store_moves_its_rows_meanwhile() -> None:
    """Given-up rows lie before the live ones, and one label joins so many predictions that the store must grow."""
    store = Store(JoinLimits(horizon_ms=1_000, early_ms=1_000))
    for key in range(900):
        store.predict(0, key=key + 10)
    for key in range(2_500):
        store.predict(2_000, key=key + 1_000)
    store.predict(2_000, key=1, value=77)
    for version in range(400):
        store.predict(2_000, key=2, group=version)
    store.sweep(1_500)
    joined, _ = store.store.insert_labels(
        np.array([[1, 1], [2, 2]], np.uint64),
        np.array([2_001, 2_002]),
        np.array([2_001, 2_002]),
        np.zeros(2, np.int32),
        np.zeros(2, np.uint8),
        np.array([5, 6]),
        sequence=np.arange(2),
        final_ms=1_500,
    )
    assert joined.predicted.tolist() == [77] + [7] * 400
    assert sorted(joined.group.tolist()[1:]) == list(range(400))
    assert joined.new_value.tolist() == [5] + [6] * 400
