"""The watched processes: their memory and processor use, by name."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Protocol

from psutil import STATUS_ZOMBIE, AccessDenied, NoSuchProcess

from pipeline.host_readers.counters import Counters
from pipeline.host_readers.reader import Notices, name_part

# Between full rescans only new process ids are looked at: on a host with thousands, looking at all costs percents of a
# core. A full one finds those that took their name after they were first seen, as a shell's child does by exec.
_RESCAN_MS = 60_000


class ProcessSource(Protocol):
    """The part of psutil that this reader uses."""

    def pids(self) -> list[int]:
        """The ids of all processes."""
        ...

    def Process(self, pid: int, /) -> Any:  # noqa: N802 - psutil's name
        """One process; raises NoSuchProcess."""
        ...

    def cpu_count(self) -> int | None:
        """The number of logical processors."""
        ...


@dataclass(frozen=True, slots=True)
class _Watched:
    process: Any
    label: str


@dataclass(frozen=True, slots=True)
class _Reading:
    rss_bytes: float
    cpu_s: float


class ProcessReader:
    """Reads ``process.<name>.*`` for processes watched by id or by name, and ``process.*``, their sum.

    ``cpu_ratio`` is the share of all the host's processors, 0 to 1; it counts the processes seen at both readings.
    A name is matched against the process's name, its program's file name, and the script or module that an
    interpreter runs (``python serve.py``, ``python -m serve``).
    """

    def __init__(self, source: ProcessSource, pids: Sequence[int], names: Sequence[str], notices: Notices) -> None:
        """Build the reader.

        Args:
            source: the module ``psutil``, or what stands for it.
            pids: the processes to watch by id; they are counted under their names.
            names: the processes to watch by name.
            notices: where faults are said.
        """
        self._source = source
        self._pids = frozenset(pids)
        self._names = tuple(names)
        self._notices = notices
        self._watched: dict[int, _Watched] = {}
        self._passed: set[int] = set()
        self._rescan_at_ms = float("-inf")
        self._cpu = Counters()

    def read(self, now_ms: float) -> dict[str, float]:
        """Read the watched processes once; see ``Reader.read``."""
        if not self._pids and not self._names:
            return {}
        alive = self._notices.attempt("process list", lambda: self._source.pids())  # noqa: PLW0108 - the look-up may fail
        if alive is None:
            return {}
        if now_ms >= self._rescan_at_ms:
            self._passed.clear()
            self._rescan_at_ms = now_ms + _RESCAN_MS
        self._find(alive)
        readings = {pid: reading for pid in list(self._watched) if (reading := self._reading(pid)) is not None}
        self._say_missing()
        return self._sums(now_ms, readings)

    def close(self) -> None:
        """Nothing is held."""

    def name_of(self, pid: int) -> str | None:
        """The name a process is counted under.

        Args:
            pid: any process's id.

        Returns:
            The watched name, else the process's own, else None: it ended, or it may not be looked at.
        """
        watched = self._watched.get(pid)
        if watched is not None:
            return watched.label
        try:
            name: str = self._source.Process(pid).name()
        except (NoSuchProcess, AccessDenied, OSError):
            return None
        return name

    def _find(self, alive: Collection[int]) -> None:
        """Look at the processes that are new since the last reading."""
        self._passed.intersection_update(alive)
        for pid in alive:
            if pid in self._passed or pid in self._watched:
                continue
            if pid not in self._pids and not self._names:
                continue
            try:
                process = self._source.Process(pid)
                label = self._label(process)
            except NoSuchProcess:
                continue
            if label is None:
                self._passed.add(pid)
            else:
                self._watched[pid] = _Watched(process, name_part(label))

    def _label(self, process: Any) -> str | None:
        """The name a process is watched under, or None."""
        try:
            name: str = process.name()
        except (AccessDenied, OSError):
            return str(process.pid) if process.pid in self._pids else None
        if self._names:
            try:
                line: list[str] = process.cmdline()
            except (AccessDenied, OSError):
                line = []
            script = line[2:3] if line[1:2] == ["-m"] else line[1:2]
            known = {name, *(PurePath(part).name for part in (*line[:1], *script))}
            for wanted in self._names:
                if wanted in known:
                    return wanted
        return name if process.pid in self._pids else None

    def _reading(self, pid: int) -> _Reading | None:
        """One process's reading; a process that has ended is watched no more."""
        watched = self._watched[pid]
        try:
            reading = _take(watched.process)
        except (AccessDenied, OSError) as error:
            self._notices.say(f"process.{watched.label}.rss_bytes", f"{type(error).__name__}: {error}")
            return None
        if reading is None:
            del self._watched[pid]
            return None
        self._notices.mended(f"process.{watched.label}.rss_bytes")
        return reading

    def _say_missing(self) -> None:
        labels = {watched.label for watched in self._watched.values()}
        subjects = {f"process {name!r}": name_part(name) in labels for name in self._names}
        subjects |= {f"process {pid}": pid in self._watched for pid in self._pids}
        for subject, found in subjects.items():
            if found:
                self._notices.mended(subject)
            else:
                self._notices.say(subject, "it does not run; it is looked for at every reading")

    def _sums(self, now_ms: float, readings: dict[int, _Reading]) -> dict[str, float]:
        processors = self._source.cpu_count() or 1
        cpu = self._cpu.rates(now_ms, {str(pid): reading.cpu_s for pid, reading in readings.items()})
        metrics: dict[str, float] = {f"process.{name_part(name)}.count": 0.0 for name in self._names}
        metrics["process.count"] = float(len(readings))
        for pid, reading in readings.items():
            for prefix in (f"process.{self._watched[pid].label}", "process"):
                if prefix != "process":
                    metrics[f"{prefix}.count"] = metrics.get(f"{prefix}.count", 0.0) + 1
                metrics[f"{prefix}.rss_bytes"] = metrics.get(f"{prefix}.rss_bytes", 0.0) + reading.rss_bytes
                if str(pid) in cpu:
                    ratio = metrics.get(f"{prefix}.cpu_ratio", 0.0) + cpu[str(pid)] / processors
                    metrics[f"{prefix}.cpu_ratio"] = min(1.0, ratio)
        return metrics


def _take(process: Any) -> _Reading | None:
    """Read one process; None: it has ended, perhaps in the middle of the reading."""
    try:
        # psutil compares start times here: an id that another process got since is not this process.
        if not process.is_running():
            return None
        with process.oneshot():
            # A zombie holds no memory and computes nothing; it waits for its parent.
            if process.status() == STATUS_ZOMBIE:
                return None
            times = process.cpu_times()
            return _Reading(float(process.memory_info().rss), times.user + times.system)
    except NoSuchProcess:
        return None
