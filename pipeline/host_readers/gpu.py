"""NVIDIA GPUs through NVML: use, memory, temperature, power, and the memory of each process."""

from collections.abc import Callable
from typing import Any

from pynvml import (
    NVMLError,
    NVMLError_DriverNotLoaded,
    NVMLError_GpuIsLost,
    NVMLError_ResetRequired,
    NVMLError_Uninitialized,
)

from pipeline.host_readers.reader import Notices, name_part

# Finding the driver again costs a library load, so a host without one is asked rarely.
_RETRY_MS = 60_000
_PROCESSES_MAX = 32
# After these a handle is worth nothing: NVML has to be started again.
_LOST = (
    NVMLError_DriverNotLoaded,
    NVMLError_GpuIsLost,
    NVMLError_ResetRequired,
    NVMLError_Uninitialized,
)


class GpuReader:
    """Reads ``gpu.<index>.*``.

    A metric that a card does not support, or that the agent may not read (MIG, containers), is absent alone. A lost
    card or driver is said once and looked for again every minute.
    """

    def __init__(self, nvml: Any, process_name: Callable[[int], str | None], notices: Notices) -> None:
        """Build the reader; NVML is started by the first reading.

        Args:
            nvml: the module ``pynvml``, or what stands for it.
            process_name: a process id to the name its memory is counted under, None where it is not known.
            notices: where faults are said.
        """
        self._nvml = nvml
        self._process_name = process_name
        self._notices = notices
        self._started = False
        self._handles: dict[int, Any] = {}
        self._start_at_ms: float | None = None

    def read(self, now_ms: float) -> dict[str, float]:
        """Read every card once; see ``Reader.read``."""
        if self._start_at_ms is None or now_ms >= self._start_at_ms:
            self._start(now_ms)
        metrics: dict[str, float] = {}
        for index in list(self._handles):
            metrics |= self._card(index, now_ms)
        return metrics

    def close(self) -> None:
        """Stop NVML."""
        self._handles.clear()
        if self._started:
            self._started = False
            try:
                self._nvml.nvmlShutdown()
            except NVMLError as error:
                self._notices.say("clean stop of NVML", str(error))

    def _start(self, now_ms: float) -> None:
        """Start NVML and take a handle for every card; with a card missing, come back in a while."""
        self.close()
        self._start_at_ms = now_ms + _RETRY_MS
        try:
            self._nvml.nvmlInit()
            self._started = True
            count = self._nvml.nvmlDeviceGetCount()
        except NVMLError as error:
            self._notices.say("GPU", f"{error}; it is looked for again every minute")
            return
        if count == 0:
            self._notices.say("GPU", "the driver knows none; it is looked for again every minute")
            return
        self._notices.mended("GPU")
        for index in range(count):
            try:
                self._handles[index] = self._nvml.nvmlDeviceGetHandleByIndex(index)
            except NVMLError as error:
                self._notices.say(f"gpu.{index}", f"{error}; it is looked for again every minute")
        if len(self._handles) == count:
            self._start_at_ms = float("inf")

    def _card(self, index: int, now_ms: float) -> dict[str, float]:
        readings: dict[str, Callable[[Any], dict[str, float]]] = {
            "usage_ratio": self._usage,
            "memory_used_bytes": self._memory,
            "temperature_celsius": self._temperature,
            "power_watts": self._power,
            "process memory": self._processes,
        }
        metrics: dict[str, float] = {}
        faults: dict[str, NVMLError] = {}
        for subject, reading in readings.items():
            try:
                values = reading(self._handles[index])
            except NVMLError as error:
                faults[subject] = error
                if isinstance(error, _LOST):
                    break
                continue
            self._notices.mended(f"gpu.{index}.{subject}")
            metrics |= {f"gpu.{index}.{name}": value for name, value in values.items()}
        # A card that answers nothing at all is as good as lost.
        lost = next((fault for fault in faults.values() if isinstance(fault, _LOST)), None)
        if lost is None and len(faults) == len(readings):
            lost = next(iter(faults.values()))
        if lost is not None:
            self._notices.say(f"gpu.{index}", f"{lost}; it is looked for again every minute")
            del self._handles[index]
            self._start_at_ms = now_ms + _RETRY_MS
            return {}
        for subject, fault in faults.items():
            self._notices.say(f"gpu.{index}.{subject}", str(fault))
        self._notices.mended(f"gpu.{index}")
        return metrics

    def _usage(self, handle: Any) -> dict[str, float]:
        return {"usage_ratio": self._nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100}

    def _memory(self, handle: Any) -> dict[str, float]:
        memory = self._nvml.nvmlDeviceGetMemoryInfo(handle)
        metrics = {"memory_used_bytes": float(memory.used), "memory_total_bytes": float(memory.total)}
        # Cards that share the host's memory report a total of zero.
        return metrics | ({"memory_used_ratio": memory.used / memory.total} if memory.total > 0 else {})

    def _temperature(self, handle: Any) -> dict[str, float]:
        sensor = self._nvml.NVML_TEMPERATURE_GPU
        return {"temperature_celsius": float(self._nvml.nvmlDeviceGetTemperature(handle, sensor))}

    def _power(self, handle: Any) -> dict[str, float]:
        return {"power_watts": self._nvml.nvmlDeviceGetPowerUsage(handle) / 1_000}

    def _processes(self, handle: Any) -> dict[str, float]:
        """The memory of each process by its name; one that computes and draws is in both lists and counts once."""
        by_pid: dict[int, int] = {}
        for listing in (
            self._nvml.nvmlDeviceGetComputeRunningProcesses(handle),
            self._nvml.nvmlDeviceGetGraphicsRunningProcesses(handle),
        ):
            here: dict[int, int] = {}
            for process in listing:
                # None: the driver knows the process, not its share. Under MIG a process is listed once an instance.
                if process.usedGpuMemory is not None:
                    here[process.pid] = here.get(process.pid, 0) + process.usedGpuMemory
            for pid, used_bytes in here.items():
                by_pid[pid] = max(used_bytes, by_pid.get(pid, 0))
        metrics: dict[str, float] = {}
        # The largest first, so that what is cut off on a crowded card matters least.
        for pid, used_bytes in sorted(by_pid.items(), key=lambda item: (-item[1], item[0])):
            name = f"process.{name_part(self._process_name(pid) or str(pid))}.memory_used_bytes"
            if name in metrics or len(metrics) < _PROCESSES_MAX:
                metrics[name] = metrics.get(name, 0.0) + used_bytes
        return metrics
