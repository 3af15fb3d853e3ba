"""A psutil that plays back what the real one answered, and an NVML with the real names and errors."""

import copy
import json
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pynvml
import pytest

from pipeline.host_readers.reader import Notices

# Two real readings, five seconds apart, of a virtual machine with two processors, no sensors and no swap.
RECORDED = json.loads((Path(__file__).parent / "recorded.json").read_text(encoding="utf-8"))


def _tuple(fields: dict[str, Any]) -> Any:
    return namedtuple("Reading", fields)(**fields)  # noqa: PYI024 - psutil answers with named tuples


class RecordedPsutil:
    """Plays back ``RECORDED``; a test may change ``now``, the present reading."""

    def __init__(self) -> None:
        self.now: dict[str, Any] = copy.deepcopy(RECORDED[0])
        self.processes: dict[int, FakeProcess] = {}

    def later(self) -> None:
        self.now = copy.deepcopy(RECORDED[1])

    def _answer(self, name: str) -> Any:
        answer = self.now[name]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def cpu_times(self) -> Any:
        return _tuple(self._answer("cpu_times"))

    def getloadavg(self) -> tuple[float, float, float]:
        one, five, fifteen = self._answer("getloadavg")
        return one, five, fifteen

    def cpu_freq(self) -> Any:
        answer = self._answer("cpu_freq")
        return None if answer is None else _tuple(answer)

    def sensors_temperatures(self) -> Any:
        answer = self._answer("sensors_temperatures")
        return {chip: [_tuple(sensor) for sensor in sensors] for chip, sensors in answer.items()}

    def virtual_memory(self) -> Any:
        return _tuple(self._answer("virtual_memory"))

    def swap_memory(self) -> Any:
        return _tuple(self._answer("swap_memory"))

    def disk_partitions(self) -> Any:
        return [_tuple(partition) for partition in self._answer("disk_partitions")]

    def disk_usage(self, path: str, /) -> Any:
        answer = self._answer("disk_usage")[path]
        if isinstance(answer, Exception):
            raise answer
        return _tuple(answer)

    def disk_io_counters(self, *, nowrap: bool) -> Any:
        assert not nowrap, "psutil's own correction hides resets"
        answer = self._answer("disk_io_counters")
        return None if answer is None else _tuple(answer)

    def net_io_counters(self, *, pernic: bool, nowrap: bool) -> Any:
        assert pernic
        assert not nowrap, "psutil's own correction hides resets"
        return {name: _tuple(fields) for name, fields in self._answer("net_io_counters").items()}

    def cpu_count(self) -> int | None:
        return 2

    def pids(self) -> list[int]:
        return sorted(self.processes)

    def Process(self, pid: int, /) -> Any:  # noqa: N802 - psutil's name
        process = self.processes.get(pid)
        if process is None or process.ended:
            raise psutil.NoSuchProcess(pid)
        return process


class FakeProcess:
    """A process as psutil shows it."""

    def __init__(
        self, pid: int, name: str, *, cmdline: list[str] | None = None, rss: int = 0, cpu_s: float = 0
    ) -> None:
        self.pid = pid
        self.title = name
        self.line = cmdline or [name]
        self.rss = rss
        self.cpu_s = cpu_s
        self.ended = False
        self.state = psutil.STATUS_SLEEPING
        self.ends_in_mid_read = False
        self.fault: Exception | None = None
        self.looks = 0

    def name(self) -> str:
        self.looks += 1
        if self.fault is not None:
            raise self.fault
        return self.title

    def cmdline(self) -> list[str]:
        return self.line

    def is_running(self) -> bool:
        return not self.ended

    def oneshot(self) -> Any:
        return self

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...

    def status(self) -> str:
        return self.state

    def cpu_times(self) -> Any:
        if self.fault is not None:
            raise self.fault
        return SimpleNamespace(user=self.cpu_s, system=0.0)

    def memory_info(self) -> Any:
        if self.ends_in_mid_read:
            raise psutil.NoSuchProcess(self.pid)
        return SimpleNamespace(rss=self.rss)


class FakeNvml:
    """NVML by the names and error classes of pynvml; ``faults`` maps a function (and card) to the error it raises."""

    NVML_TEMPERATURE_GPU = pynvml.NVML_TEMPERATURE_GPU

    def __init__(self, cards: int = 1) -> None:
        self.cards = cards
        self.running = 0
        self.starts = 0
        self.faults: dict[str, int] = {}
        self.compute: list[Any] = []
        self.graphics: list[Any] = []

    def _check(self, function: str, handle: Any = None) -> None:
        code = self.faults.get(f"{function} {handle}", self.faults.get(function))
        if code is not None:
            raise pynvml.NVMLError(code)
        if function != "nvmlInit" and not self.running:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_UNINITIALIZED)

    def nvmlInit(self) -> None:  # noqa: N802 - NVML's name, as all below
        self.starts += 1
        self._check("nvmlInit")
        self.running += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self._check("nvmlShutdown")
        self.running -= 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        self._check("nvmlDeviceGetCount")
        return self.cards

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        self._check("nvmlDeviceGetHandleByIndex", index)
        return index

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:  # noqa: N802
        self._check("nvmlDeviceGetUtilizationRates", handle)
        return pynvml.c_nvmlUtilization_t(gpu=37, memory=12)

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:  # noqa: N802
        self._check("nvmlDeviceGetMemoryInfo", handle)
        return pynvml.c_nvmlMemory_t(total=16 * 2**30, free=12 * 2**30, used=4 * 2**30)

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> int:  # noqa: N802
        assert sensor == pynvml.NVML_TEMPERATURE_GPU
        self._check("nvmlDeviceGetTemperature", handle)
        return 61

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:  # noqa: N802
        self._check("nvmlDeviceGetPowerUsage", handle)
        return 123_456

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[Any]:  # noqa: N802
        self._check("nvmlDeviceGetComputeRunningProcesses", handle)
        return self.compute

    def nvmlDeviceGetGraphicsRunningProcesses(self, handle: int) -> list[Any]:  # noqa: N802
        self._check("nvmlDeviceGetGraphicsRunningProcesses", handle)
        return self.graphics


@pytest.fixture
def source() -> RecordedPsutil:
    return RecordedPsutil()


@pytest.fixture
def nvml() -> FakeNvml:
    return FakeNvml()


@pytest.fixture
def notices() -> Notices:
    return Notices()


@pytest.fixture
def process() -> type[FakeProcess]:
    return FakeProcess
