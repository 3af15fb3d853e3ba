from typing import Any

import pytest

from pipeline.host_readers.memory import MemoryReader
from pipeline.host_readers.reader import Notices


def test_the_recorded_machine(source: Any, notices: Notices) -> None:
    total, available = 25_276_502_016, 24_513_847_296
    metrics = MemoryReader(source, notices).read(0)
    assert metrics == {
        "memory.used_bytes": total - available,
        "memory.available_bytes": available,
        "memory.total_bytes": total,
        "memory.used_ratio": pytest.approx(1 - available / total),
        "swap.used_bytes": 0,
        "swap.total_bytes": 0,
    }


def test_swap_in_use(source: Any, notices: Notices) -> None:
    reader = MemoryReader(source, notices)
    source.now["swap_memory"] = {"total": 400, "used": 100, "free": 300, "percent": 25.0, "sin": 0, "sout": 1_000}
    assert reader.read(0)["swap.used_ratio"] == 0.25
    source.now["swap_memory"] |= {"sin": 500, "sout": 2_000}
    metrics = reader.read(2_000)
    assert metrics["swap.in_bytes_per_s"] == 250
    assert metrics["swap.out_bytes_per_s"] == 500


def test_one_without_the_other(source: Any, notices: Notices, caplog: pytest.LogCaptureFixture) -> None:
    source.now["swap_memory"] = PermissionError("/proc/vmstat")
    metrics = MemoryReader(source, notices).read(0)
    assert "memory.used_ratio" in metrics
    assert not any(name.startswith("swap") for name in metrics)
    assert caplog.messages == ["no swap.used_bytes: PermissionError: /proc/vmstat"]
