from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from pipeline.host_readers.gpu import GpuReader
from pipeline.host_readers.reader import Notices

GIB = 2**30
METRICS = {
    "usage_ratio": 0.37,
    "memory_used_bytes": 4 * GIB,
    "memory_total_bytes": 16 * GIB,
    "memory_used_ratio": 0.25,
    "temperature_celsius": 61,
    "power_watts": 123.456,
}


def _card(index: int, *without: str) -> dict[str, float]:
    return {f"gpu.{index}.{name}": value for name, value in METRICS.items() if name not in without}


def _reader(nvml: Any, notices: Notices) -> GpuReader:
    return GpuReader(nvml, {10: "triton", 11: "triton", 12: "python"}.get, notices)


def _uses(pid: int, used_bytes: int | None) -> Any:
    return SimpleNamespace(pid=pid, usedGpuMemory=used_bytes, gpuInstanceId=0, computeInstanceId=0)


def test_two_cards(nvml: Any, notices: Notices, caplog: pytest.LogCaptureFixture) -> None:
    nvml.cards = 2
    reader = _reader(nvml, notices)
    assert reader.read(0) == _card(0) | _card(1)
    assert reader.read(5_000) == _card(0) | _card(1)
    assert nvml.starts == 1
    reader.close()
    assert nvml.running == 0
    assert caplog.messages == []


def test_the_fake_has_the_names_of_the_real_library(nvml: Any) -> None:
    functions = [name for name in dir(nvml) if name.startswith("nvml")]
    assert len(functions) == 10
    assert all(callable(getattr(pynvml, name)) for name in functions)


def test_a_host_without_a_driver_is_asked_once_a_minute(
    nvml: Any, notices: Notices, caplog: pytest.LogCaptureFixture
) -> None:
    nvml.faults["nvmlInit"] = pynvml.NVML_ERROR_LIBRARY_NOT_FOUND
    reader = _reader(nvml, notices)
    for now_ms in range(0, 120_000, 5_000):
        assert reader.read(now_ms) == {}
    assert nvml.starts == 2
    assert caplog.messages == ["no GPU: NVML Shared Library Not Found; it is looked for again every minute"]
    nvml.faults.clear()
    assert reader.read(120_000) == _card(0)


def test_a_driver_without_cards(nvml: Any, notices: Notices) -> None:
    nvml.cards = 0
    assert _reader(nvml, notices).read(0) == {}


@pytest.mark.parametrize(
    ("function", "lost"),
    [
        ("nvmlDeviceGetUtilizationRates", ["usage_ratio"]),
        ("nvmlDeviceGetMemoryInfo", ["memory_used_bytes", "memory_total_bytes", "memory_used_ratio"]),
        ("nvmlDeviceGetTemperature", ["temperature_celsius"]),
        ("nvmlDeviceGetPowerUsage", ["power_watts"]),
        ("nvmlDeviceGetGraphicsRunningProcesses", []),
    ],
)
@pytest.mark.parametrize(
    "code", [pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_NO_PERMISSION, pynvml.NVML_ERROR_FUNCTION_NOT_FOUND]
)
def test_what_a_card_cannot_tell_is_absent_alone(
    nvml: Any, notices: Notices, caplog: pytest.LogCaptureFixture, function: str, lost: list[str], code: int
) -> None:
    nvml.faults[function] = code
    reader = _reader(nvml, notices)
    for now_ms in (0, 5_000, 70_000):
        assert reader.read(now_ms) == _card(0, *lost)
    assert len(caplog.messages) == 1
    assert nvml.starts == 1


@pytest.mark.parametrize(
    "code", [pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED, pynvml.NVML_ERROR_UNINITIALIZED]
)
def test_a_lost_card_is_said_once_and_found_again(
    nvml: Any, notices: Notices, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    nvml.cards = 2
    reader = _reader(nvml, notices)
    reader.read(0)
    nvml.faults["nvmlDeviceGetMemoryInfo 1"] = code
    for now_ms in range(5_000, 200_000, 5_000):
        assert reader.read(now_ms) == _card(0), "the other card is read on"
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("no gpu.1: ")
    nvml.faults.clear()
    assert reader.read(300_000) == _card(0) | _card(1)
    assert nvml.running == 1


def test_a_card_that_answers_nothing_is_lost(nvml: Any, notices: Notices, caplog: pytest.LogCaptureFixture) -> None:
    reader = _reader(nvml, notices)
    reader.read(0)
    for name in dir(nvml):
        if name.startswith("nvmlDeviceGet"):
            nvml.faults[name] = pynvml.NVML_ERROR_UNKNOWN
    assert reader.read(5_000) == {}
    assert caplog.messages == ["no gpu.0: Unknown Error; it is looked for again every minute"]
    nvml.faults.clear()
    assert reader.read(10_000) == {}
    assert reader.read(65_000) == _card(0)


def test_a_card_that_may_not_be_opened_leaves_the_others_their_numbers(nvml: Any, notices: Notices) -> None:
    nvml.cards = 3
    nvml.faults["nvmlDeviceGetHandleByIndex 1"] = pynvml.NVML_ERROR_NO_PERMISSION
    assert _reader(nvml, notices).read(0) == _card(0) | _card(2)


def test_a_stop_that_fails_stops_nothing(nvml: Any, notices: Notices) -> None:
    reader = _reader(nvml, notices)
    reader.read(0)
    nvml.faults["nvmlShutdown"] = pynvml.NVML_ERROR_UNINITIALIZED
    reader.close()


def test_memory_by_process_name(nvml: Any, notices: Notices) -> None:
    # 10 computes and draws; 12 is in two MIG instances; 13 has no name here; the driver does not know 14's share.
    nvml.compute = [_uses(10, 5), _uses(11, 3), _uses(12, 1), _uses(12, 1), _uses(13, 9), _uses(14, None)]
    nvml.graphics = [_uses(10, 6)]
    metrics = _reader(nvml, notices).read(0)
    assert {name: value for name, value in metrics.items() if ".process." in name} == {
        "gpu.0.process.triton.memory_used_bytes": 9,
        "gpu.0.process.python.memory_used_bytes": 2,
        "gpu.0.process.13.memory_used_bytes": 9,
    }


def test_processes_are_limited_and_the_largest_stay(nvml: Any, notices: Notices) -> None:
    nvml.compute = [_uses(pid, pid) for pid in range(1_000, 1_200)]
    names = [name for name in _reader(nvml, notices).read(0) if ".process." in name]
    assert len(names) == 32
    assert "gpu.0.process.1199.memory_used_bytes" in names
