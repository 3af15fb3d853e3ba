"""The estimate of the joiner's state, held against stores that are there."""

from pipeline.core.estimate import estimate_lines, estimate_state

HOUR_MS = 3_600_000


def test_it_adds_up() -> None:
    found = estimate_state(1_000.0, HOUR_MS, 4, 20_000_000)
    assert found.open_rows == 3_600_000
    assert found.memory_bytes == 3_600_000 * (64 + 12 + 32)
    assert found.copy_bytes == 3_600_000 * (64 + 96)
    assert found.full_after_ms is None


def test_what_does_not_fit_is_told_with_its_mend() -> None:
    lines = list(estimate_lines(20_000.0, 72 * HOUR_MS, 4, 20_000_000))
    assert lines[0] == "at 20,000 predictions/s, each with a label within 3d, 4 partitions in all need"
    assert lines[1].split() == ["open", "predictions", "5,184,000,000"]
    assert "max_open_rows = 20,000,000 a partition is reached after 66m" in lines[-1]
    assert "raise it to 1,555,200,000" in lines[-1]
    assert not any("warning" in line for line in estimate_lines(20.0, HOUR_MS, 4, 20_000_000))
