"""The estimate of the joiner's state, held against stores that are there."""

import numpy as np
import pytest

from pipeline.core.estimate import estimate_lines, estimate_state
from pipeline.core.join import JoinLimits, JoinStore, store_bytes

HOUR_MS = 3_600_000


@pytest.mark.parametrize("rows", [1, 4_096, 4_097, 30_000])
def test_a_stores_memory_is_what_it_takes(rows: int) -> None:
    store = JoinStore(JoinLimits(HOUR_MS, HOUR_MS))
    for start in range(0, rows, 1_000):
        key = np.arange(2 * start, 2 * min(start + 1_000, rows), dtype=np.uint64).reshape(-1, 2)
        times, codes = np.zeros(len(key), np.int64), np.zeros(len(key), np.int32)
        store.insert_predictions(key, times, times, codes, codes, times)
    assert len(store) == rows
    assert store_bytes(rows) == sum(array.nbytes for array in (store._rows, store._table, store._touched)) - 4


def test_it_adds_up() -> None:
    found = estimate_state(1_000.0, HOUR_MS, 4, 20_000_000)
    assert found.open_rows == 3_600_000
    assert found.memory_bytes == 4 * store_bytes(900_000)
    assert found.copy_bytes == 3_600_000 * 2 * 96
    assert found.full_after_ms is None


def test_what_does_not_fit_is_told_with_its_mend() -> None:
    lines = list(estimate_lines(20_000.0, 72 * HOUR_MS, 4, 20_000_000))
    assert lines[0] == "at 20,000 predictions/s, each with a label within 3d, 4 partitions in all need"
    assert lines[1].split() == ["open", "predictions", "5,184,000,000"]
    assert "max_open_rows = 20,000,000 a partition is reached after 66m" in lines[-1]
    assert "raise it to 1,555,200,000" in lines[-1]
    assert not any("warning" in line for line in estimate_lines(20.0, HOUR_MS, 4, 20_000_000))
