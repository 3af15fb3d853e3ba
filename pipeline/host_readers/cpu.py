"""The processor: use, load, clock frequency, temperature."""

from typing import Any, Protocol

from pipeline.host_readers.reader import Notices

# The drivers that report the processor's own temperature, the more exact first: Intel, AMD, ARM boards, then firmware.
_CHIPS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "cpu-thermal", "soc_thermal", "acpitz")


class CpuSource(Protocol):
    """The part of psutil that this reader uses."""

    def cpu_times(self) -> Any:
        """Seconds by state, over all processors, since the machine started."""
        ...

    def getloadavg(self) -> tuple[float, float, float]:
        """Runnable processes, averaged over 1, 5 and 15 minutes."""
        ...

    def cpu_freq(self) -> Any:
        """The clock, in MHz."""
        ...

    def sensors_temperatures(self) -> Any:
        """Temperatures by driver."""
        ...


class CpuReader:
    """Reads ``cpu.*``."""

    def __init__(self, source: CpuSource, notices: Notices) -> None:
        self._source = source
        self._notices = notices
        self._last: tuple[float, float] | None = None

    def read(self, now_ms: float) -> dict[str, float]:  # noqa: ARG002 - use is a share of the processor's own time
        """Read the processor once; see ``Reader.read``."""
        metrics: dict[str, float] = {}
        usage = self._usage_ratio()
        if usage is not None:
            metrics["cpu.usage_ratio"] = usage
        loads = self._notices.attempt("cpu.load_1m", lambda: self._source.getloadavg())  # noqa: PLW0108 - the look-up may fail
        if loads is not None:
            metrics |= zip(("cpu.load_1m", "cpu.load_5m", "cpu.load_15m"), map(float, loads), strict=True)
        frequency = self._notices.attempt("cpu.frequency_hz", self._frequency_hz)
        if frequency is not None:
            metrics["cpu.frequency_hz"] = frequency
        temperature = self._notices.attempt(
            "cpu.temperature_celsius", self._temperature, "this host has no sensor for it"
        )
        if temperature is not None:
            metrics["cpu.temperature_celsius"] = temperature
        return metrics

    def close(self) -> None:
        """Nothing is held."""

    def _usage_ratio(self) -> float | None:
        """The busy share of all processors' time since the last reading, 0 to 1."""
        times = self._notices.attempt("cpu.usage_ratio", lambda: self._source.cpu_times())  # noqa: PLW0108 - the look-up may fail
        if times is None:
            return None
        fields = times._asdict()
        # Linux counts guests' time in user and nice already.
        total = sum(fields.values()) - fields.get("guest", 0.0) - fields.get("guest_nice", 0.0)
        idle = fields["idle"] + fields.get("iowait", 0.0)
        last, self._last = self._last, (total, idle)
        if last is None or total <= last[0] or idle < last[1]:
            return None
        return min(1.0, max(0.0, 1.0 - float(idle - last[1]) / float(total - last[0])))

    def _frequency_hz(self) -> float | None:
        frequency = self._source.cpu_freq()
        # Some virtual machines report a clock of zero, which means unknown.
        return float(frequency.current) * 1_000_000 if frequency is not None and frequency.current > 0 else None

    def _temperature(self) -> float | None:
        """The hottest core, from the most exact driver that is there."""
        by_chip = self._source.sensors_temperatures()
        for chip in _CHIPS:
            if by_chip.get(chip):
                return max(float(sensor.current) for sensor in by_chip[chip])
        return None
