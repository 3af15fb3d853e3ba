"""What moves between memory and disk, and when; that the results stay the same, the other tests of the join hold."""

from typing import Any

import numpy as np
import pytest

from pipeline.core.join import JoinLimits, JoinStore
from pipeline.core.join_cold import StoreFullError
from pipeline.core.join_hot import ROW_BYTES, STATED_BYTES, SharedMemory
from tests.changed_rows import all_changed
from tests.cold_blocks import MemoryBlocks

H, A = 100_000, 1_000
MIB = 1 << 20


class Fed:
    """A store over blocks in memory; a prediction's key is its number, its time too."""

    def __init__(self, memory_bytes: int = MIB, memory: SharedMemory | None = None) -> None:
        self.blocks = MemoryBlocks()
        self.store = JoinStore(JoinLimits(H, A, memory_bytes=memory_bytes), self.blocks, memory)
        self.sequence = 0

    def predict(self, start: int, stop: int, step: int = 1_000) -> int:
        """How many were new."""
        fresh = 0
        for first in range(start, stop, step):
            numbers = np.arange(first, min(stop, first + step))
            codes = np.zeros(len(numbers), np.int32)
            duplicate, _ = self.store.insert_predictions(keys(numbers), numbers, numbers, codes, codes, numbers)
            fresh += int((~duplicate).sum())
        return fresh

    def label(self, numbers: Any, now_ms: int) -> Any:
        numbers = np.asarray(numbers)
        now, codes = np.full(len(numbers), now_ms), np.zeros(len(numbers), np.int32)
        sequence = np.arange(self.sequence, self.sequence + len(numbers))
        self.sequence += len(numbers)
        kinds = np.zeros(len(numbers), np.uint8)
        joined, _ = self.store.insert_labels(
            keys(numbers), now, now, codes, kinds, numbers, sequence=sequence, final_ms=self.store._final_ms
        )
        return joined


def keys(numbers: Any) -> Any:
    return np.stack((numbers * 2654435761, numbers), axis=1).astype(np.uint64)


def test_memory_stays_within_its_share() -> None:
    fed = Fed()
    assert fed.predict(0, 40_000) == 40_000
    assert len(fed.store) == 40_000
    assert fed.store.hot_rows * ROW_BYTES <= MIB * 2 // 3
    assert fed.store.hot_rows > 3_000
    fed.label(np.arange(0, 40_000), 40_000)
    assert fed.store.hot_rows * (ROW_BYTES + STATED_BYTES) <= MIB * 2 // 3 + 20_000 * (ROW_BYTES + STATED_BYTES)
    fed.predict(40_000, 41_000)
    assert fed.store.hot_rows * ROW_BYTES <= MIB * 2 // 3


def test_the_oldest_go_first() -> None:
    fed = Fed()
    fed.predict(0, 20_000)
    hot = fed.store._hot.arrays
    times = hot.rows["timestamp_ms"][: hot.counts[0]][hot.rows["kind"][: hot.counts[0]] != 0]
    assert times.min() > 20_000 - 2 * len(times)


def test_keys_that_were_never_there_cost_no_read() -> None:
    fed = Fed()
    fed.predict(0, 40_000)
    assert fed.store.cold_rows > 30_000
    assert fed.blocks.read_blocks < 10
    assert fed.predict(0, 2_000) == 0
    assert fed.blocks.read_blocks > 10


def test_a_segment_goes_when_all_its_rows_are_past_use() -> None:
    fed = Fed()
    fed.predict(0, 40_000)
    before = fed.store.cold_rows
    fed.store.sweep(H + 20_000)
    assert 0 < fed.blocks.dropped < fed.blocks.written
    assert fed.store.cold_rows < before
    fed.store.sweep(H + 40_000)
    assert len(fed.store) == 0
    assert fed.blocks.segments == {}
    assert fed.store.cold_bytes == 0


def test_a_segment_goes_when_all_its_rows_came_back() -> None:
    fed = Fed()
    fed.predict(0, 20_000)
    written = set(fed.blocks.segments)
    assert len(fed.label(np.arange(20_000), 20_000)) == 20_000
    assert not written & set(fed.blocks.segments)


def test_a_label_outlives_its_prediction_on_disk() -> None:
    """A version that comes late finds it, as it would in memory."""
    fed = Fed()
    fed.predict(0, 10)
    fed.label(np.arange(10), H)
    fed.predict(1_000, 20_000)
    assert fed.store.cold_rows > 10
    fed.store.sweep(H + 500)  # the ten predictions are past their horizon, their labels are not past theirs
    numbers, codes = np.arange(10), np.zeros(10, np.int32)
    now = np.full(10, H + 600)
    duplicate, joined = fed.store.insert_predictions(keys(numbers), now, now, codes + 1, codes, numbers)
    assert not duplicate.any()
    assert sorted(joined.new_value.tolist()) == list(range(10))


def test_what_waits_in_vain_is_told_once_and_in_time_wherever_it_is() -> None:
    fed = Fed()
    for time_ms in range(20):
        fed.label(np.arange(10**6 + 2_000 * time_ms, 10**6 + 2_000 * (time_ms + 1)), time_ms)
    assert fed.store.cold_rows > 30_000
    fed.predict(10**6, 10**6 + 500)  # these have come too late for their labels, which wait on
    assert len(fed.store.sweep(A)) == 0
    for time_ms in range(20):
        unmatched = fed.store.sweep(A + time_ms + 1)
        assert unmatched.effective_ms.tolist() == [time_ms] * 2_000
        assert set(unmatched.model.tolist()) == {0}
    assert len(fed.store) == 500


def test_a_waiting_label_that_finds_its_prediction_is_not_told() -> None:
    fed = Fed()
    fed.label(np.arange(0, 30_000), 500)
    assert fed.store.cold_rows > 10_000
    numbers, codes = np.arange(0, 30_000, 3), np.zeros(10_000, np.int32)
    _, joined = fed.store.insert_predictions(keys(numbers), numbers // 100, numbers // 100, codes, codes, numbers)
    assert len(joined) == 10_000
    assert len(fed.store.sweep(500 + A + 1)) == 20_000


def test_what_changed_and_left_before_the_commit_is_in_the_changelog() -> None:
    fed = Fed()
    fed.predict(0, 40_000)
    fed.label(np.arange(0, 20_000, 10), 40_000)
    changed = all_changed(fed.store)
    again = Fed()
    again.store.restore(changed.split(5_000))
    assert len(again.store) == len(fed.store) == 40_000
    assert len(all_changed(fed.store)) == len(all_changed(again.store)) == 0
    joined = again.label(np.arange(40_000), 40_001)
    assert len(joined) == 40_000
    assert int((joined.old_kind == 0).sum()) == 2_000


def test_a_full_index_is_told_with_the_mend() -> None:
    fed = Fed(30_000)
    with pytest.raises(StoreFullError, match=r"on disk fill.*joiner\.memory_mb"):
        fed.predict(0, 10**6)
    assert fed.store.cold_rows >= 3_000


def test_stores_share_the_memory_of_a_worker() -> None:
    memory = SharedMemory(4 * MIB)
    feds = [Fed(memory=memory) for _ in range(4)]
    assert memory.share_bytes == MIB
    for fed in feds:
        fed.predict(0, 20_000)
        assert fed.store.hot_rows * ROW_BYTES <= MIB * 2 // 3
    del fed, feds
    assert memory.share_bytes == 4 * MIB


def test_one_key_with_more_rows_than_memory_has_room_for() -> None:
    fed = Fed(1)
    versions = np.arange(3_000)
    same = np.zeros(3_000, np.int64)
    for start in range(0, 3_000, 500):
        part = slice(start, start + 500)
        group = versions[part].astype(np.int32)
        zeros = np.zeros(500, np.int32)
        fed.store.insert_predictions(keys(same[part]), same[part], same[part], group, zeros, versions[part])
    fed.predict(1_000, 1_001)
    joined = fed.label([0], 1)
    assert sorted(joined.predicted.tolist()) == versions.tolist()
