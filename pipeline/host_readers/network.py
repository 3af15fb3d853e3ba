"""The network: traffic, errors and drops over the host's own interfaces."""

from typing import Any, Literal, Protocol

from pipeline.host_readers.counters import Counters
from pipeline.host_readers.reader import Notices

# Traffic over these is counted again on the interface that carries it, or never leaves the host.
_VIRTUAL = ("veth", "docker", "br-", "virbr", "cni", "cali", "flannel", "ifb", "dummy", "tap", "tun")
_FIELDS = {
    "bytes_recv": "network.received_bytes_per_s",
    "bytes_sent": "network.sent_bytes_per_s",
    "errin": "network.errors_per_s",
    "errout": "network.errors_per_s",
    "dropin": "network.drops_per_s",
    "dropout": "network.drops_per_s",
}


class NetworkSource(Protocol):
    """The part of psutil that this reader uses."""

    def net_io_counters(self, *, pernic: Literal[True], nowrap: bool) -> Any:
        """Bytes, packets, errors and drops by interface since it came up."""
        ...


class NetworkReader:
    """Reads ``network.*``, the sum over interfaces that were there at both readings."""

    def __init__(self, source: NetworkSource, notices: Notices) -> None:
        self._source = source
        self._notices = notices
        self._counters = Counters()

    def read(self, now_ms: float) -> dict[str, float]:
        """Read the interfaces once; see ``Reader.read``."""
        interfaces = self._notices.attempt(
            "network.received_bytes_per_s", lambda: self._source.net_io_counters(pernic=True, nowrap=False)
        )
        counts = {
            f"{interface} {field}": getattr(counters, field)
            for interface, counters in (interfaces or {}).items()
            if interface != "lo" and not interface.startswith(_VIRTUAL)
            for field in _FIELDS
        }
        metrics: dict[str, float] = {}
        for name, rate in self._counters.rates(now_ms, counts).items():
            metric = _FIELDS[name.rpartition(" ")[2]]
            metrics[metric] = metrics.get(metric, 0.0) + rate
        return metrics

    def close(self) -> None:
        """Nothing is held."""
