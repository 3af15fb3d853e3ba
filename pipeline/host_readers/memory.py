"""Main memory and swap."""

from typing import Any, Protocol

from pipeline.host_readers.counters import Counters
from pipeline.host_readers.reader import Notices


class MemorySource(Protocol):
    """The part of psutil that this reader uses."""

    def virtual_memory(self) -> Any:
        """Main memory, in bytes."""
        ...

    def swap_memory(self) -> Any:
        """Swap space, in bytes."""
        ...


class MemoryReader:
    """Reads ``memory.*`` and ``swap.*``; used is what no process could get without swapping."""

    def __init__(self, source: MemorySource, notices: Notices) -> None:
        self._source = source
        self._notices = notices
        self._swapped = Counters()

    def read(self, now_ms: float) -> dict[str, float]:
        """Read memory and swap once; see ``Reader.read``."""
        metrics: dict[str, float] = {}
        memory = self._notices.attempt("memory.used_bytes", lambda: self._source.virtual_memory())  # noqa: PLW0108 - the look-up may fail
        if memory is not None:
            used = memory.total - memory.available
            metrics["memory.used_bytes"] = float(used)
            metrics["memory.available_bytes"] = float(memory.available)
            metrics["memory.total_bytes"] = float(memory.total)
            if memory.total > 0:
                metrics["memory.used_ratio"] = used / memory.total
        swap = self._notices.attempt("swap.used_bytes", lambda: self._source.swap_memory())  # noqa: PLW0108 - the look-up may fail
        if swap is not None:
            metrics["swap.used_bytes"] = float(swap.used)
            metrics["swap.total_bytes"] = float(swap.total)
            # A host without swap space has no share of it in use.
            if swap.total > 0:
                metrics["swap.used_ratio"] = swap.used / swap.total
            metrics |= self._swapped.rates(now_ms, {"swap.in_bytes_per_s": swap.sin, "swap.out_bytes_per_s": swap.sout})
        return metrics

    def close(self) -> None:
        """Nothing is held."""
