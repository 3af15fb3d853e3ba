"""Disks: how full the file systems are, how much is read and written."""

from functools import partial
from typing import Any, Protocol

from pipeline.host_readers.counters import Counters
from pipeline.host_readers.reader import Notices, name_part

_MOUNTS_MAX = 32


class DiskSource(Protocol):
    """The part of psutil that this reader uses."""

    def disk_partitions(self) -> Any:
        """The mounted physical devices."""
        ...

    def disk_usage(self, path: str, /) -> Any:
        """A file system's space, in bytes."""
        ...

    def disk_io_counters(self, *, nowrap: bool) -> Any:
        """Reads and writes since the machine started, over all disks."""
        ...


class DiskReader:
    """Reads ``disk.*``: each writable file system by its mount (``/`` is ``root``), and the fullest of them.

    ``disk.used_ratio`` is the fullest file system's, so one rule watches all of them.
    """

    def __init__(self, source: DiskSource, notices: Notices) -> None:
        self._source = source
        self._notices = notices
        self._counters = Counters()

    def read(self, now_ms: float) -> dict[str, float]:
        """Read the disks once; see ``Reader.read``."""
        metrics: dict[str, float] = {}
        fullest = -1.0
        for mount in self._mounts():
            name = f"disk.{name_part(mount.strip('/').replace('/', '_')) if mount != '/' else 'root'}"
            usage = self._notices.attempt(f"{name}.used_bytes", partial(self._usage, mount))
            if usage is None or usage.used + usage.free <= 0:
                continue
            # As df does: what is reserved for root is neither used nor free to a server.
            ratio = usage.used / (usage.used + usage.free)
            metrics[f"{name}.used_bytes"] = float(usage.used)
            metrics[f"{name}.free_bytes"] = float(usage.free)
            metrics[f"{name}.used_ratio"] = ratio
            fullest = max(fullest, ratio)
        if fullest >= 0:
            metrics["disk.used_ratio"] = fullest
        io = self._notices.attempt("disk.read_bytes_per_s", lambda: self._source.disk_io_counters(nowrap=False))
        if io is not None:
            counts = {
                "disk.read_bytes_per_s": io.read_bytes,
                "disk.write_bytes_per_s": io.write_bytes,
                "disk.reads_per_s": io.read_count,
                "disk.writes_per_s": io.write_count,
            }
            metrics |= self._counters.rates(now_ms, counts)
        return metrics

    def close(self) -> None:
        """Nothing is held."""

    def _usage(self, mount: str) -> Any:
        return self._source.disk_usage(mount)

    def _mounts(self) -> list[str]:
        """One mount point a device, ``/`` first."""
        partitions = self._notices.attempt("disk partitions", lambda: self._source.disk_partitions()) or []  # noqa: PLW0108 - the look-up may fail
        mounts = ["/"]
        seen = {partition.device for partition in partitions if partition.mountpoint == "/"}
        for partition in partitions:
            # Read-only images are always full. In a container the host's disk shows as /etc/hosts and its like.
            read_only = "ro" in partition.opts.split(",")
            if read_only or partition.device in seen or partition.mountpoint.startswith("/etc/"):
                continue
            seen.add(partition.device)
            mounts.append(partition.mountpoint)
        if len(mounts) > _MOUNTS_MAX:
            self._notices.say("further disks", f"only the first {_MOUNTS_MAX} file systems are read")
        return mounts[:_MOUNTS_MAX]
