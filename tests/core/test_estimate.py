"""The estimate of the joiner's state, held against the sizes of rows."""

from pipeline.core.estimate import estimate_lines, estimate_state

HOUR_MS = 3_600_000
GIB = 1 << 30


def test_it_adds_up() -> None:
    found = estimate_state(1_000.0, HOUR_MS, 4, 20_000_000, GIB)
    assert found.open_rows == found.hot_rows == 3_600_000
    assert found.memory_bytes == 3_600_000 * (64 + 12 + 32)
    assert found.cold_bytes == 0
    assert found.copy_bytes == 3_600_000 * (64 + 96)
    assert found.full_after_ms is found.memory_full_after_ms is None


def test_memory_is_bounded_and_the_rest_is_on_disk() -> None:
    found = estimate_state(1_000.0, 12 * HOUR_MS, 4, 20_000_000, GIB)
    assert found.open_rows == 43_200_000
    assert found.hot_rows == (GIB - GIB // 3) // (64 + 12 + 32)
    assert GIB - 200 < found.memory_bytes <= GIB
    assert found.cold_bytes == 2 * 47 * (found.open_rows - found.hot_rows)
    assert found.full_after_ms is found.memory_full_after_ms is None


def test_the_memory_it_names_is_enough() -> None:
    little = estimate_state(10_000.0, 72 * HOUR_MS, 4, 10**9, GIB)
    assert little.memory_full_after_ms is not None
    enough = estimate_state(10_000.0, 72 * HOUR_MS, 4, 10**9, little.memory_needed_bytes)
    assert enough.memory_full_after_ms is None


def test_what_does_not_fit_is_told_with_its_mend() -> None:
    lines = list(estimate_lines(20_000.0, 72 * HOUR_MS, 4, 20_000_000, 1_024))
    assert lines[0] == "at 20,000 predictions/s, each with a label within 3d, 4 partitions in all need"
    assert lines[1].split()[:3] == ["open", "predictions", "5,184,000,000,"]
    assert "joiner.memory_mb = 1,024 is in use after " in lines[-2]
    assert "max_open_rows = 20,000,000 a partition is reached after 66m" in lines[-1]
    assert "raise it to 1,555,200,000" in lines[-1]
    assert not any("warning" in line for line in estimate_lines(20.0, HOUR_MS, 4, 20_000_000, 1_024))
