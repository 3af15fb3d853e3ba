"""Host windows: readings by pane, published once when their window closes."""

import heapq
from collections.abc import Iterator, Mapping, Sequence

import orjson

from pipeline.core.accumulate.hosts import Readings
from pipeline.core.events import Json
from pipeline.core.window import WindowSize
from pipeline.processors.pieces import PieceLog, pack

MAX_METRICS = 1_000
"""Metrics of a host that a pane holds, as many as one event may carry."""

MAX_PANES = 200_000
"""Panes of all hosts of a partition at one time: ten thousand hosts with twenty panes each, say."""

HostWindow = tuple[str, WindowSize, int]


class HostPanes:
    """The readings of one monitor partition's hosts that a window still needs."""

    def __init__(self, sizes: Sequence[WindowSize], pane_ms: int) -> None:
        self._sizes = sizes
        self._pane_ms = pane_ms
        self._longest_ms = max(size.size_ms for size in sizes)
        self._panes: dict[tuple[str, int], dict[str, Readings]] = {}
        self._closing: list[tuple[int, str, WindowSize, int]] = []
        self._open: set[HostWindow] = set()
        self._closed_ms: int | None = None
        self._log = PieceLog()
        self.limited = 0
        """How often a pane had more metrics than it may hold, or there were more panes than may be open."""
        self._changed: set[tuple[str, int]] = set()
        self._dropped: set[tuple[str, int]] = set()

    def merge(self, host: str, start_ms: int, readings: Mapping[str, Readings]) -> None:
        """Add readings to a pane.

        Args:
            host: the host.
            start_ms: the pane's start.
            readings: by metric.
        """
        if len(self._panes) >= MAX_PANES and (host, start_ms) not in self._panes:
            self.limited += 1
            return
        pane = self._panes.setdefault((host, start_ms), {})
        for metric, more in readings.items():
            if metric in pane:
                pane[metric].merge(more)
            else:
                pane[metric] = more
        if len(pane) > MAX_METRICS:
            self.limited += 1
            # The least names stay, so that the outcome is the same in any order.
            for metric in sorted(pane)[MAX_METRICS:]:
                del pane[metric]
        self._changed.add((host, start_ms))
        self._open_windows(host, start_ms)

    def due(self, watermark_ms: int) -> Iterator[tuple[str, WindowSize, int, dict[str, Json]]]:
        """The windows that have closed, each once.

        Args:
            watermark_ms: no reading in time comes before this.

        Returns:
            Host, size, start, and metric to its mean, min, max and last.
        """
        while self._closing and self._closing[0][0] <= watermark_ms:
            _, host, size, start_ms = heapq.heappop(self._closing)
            self._open.discard((host, size, start_ms))
            merged: dict[str, Readings] = {}
            for pane_ms in range(start_ms, start_ms + size.size_ms, self._pane_ms):
                for metric, readings in self._panes.get((host, pane_ms), {}).items():
                    if metric in merged:
                        merged[metric].merge(readings)
                    else:
                        merged[metric] = Readings.from_wire(readings.to_wire())  # a copy: the pane stays as it is
            yield host, size, start_ms, {metric: state.report() for metric, state in sorted(merged.items())}

    def drop_old(self, watermark_ms: int) -> None:
        """Forget panes that no open window needs.

        Args:
            watermark_ms: no reading in time comes before this.
        """
        if self._closed_ms is not None and watermark_ms < self._closed_ms + self._pane_ms:
            return  # nothing can have become old since the last look
        self._closed_ms = watermark_ms
        for key in [key for key in self._panes if key[1] + self._longest_ms <= watermark_ms]:
            del self._panes[key]
            self._changed.discard(key)
            self._dropped.add(key)

    def changelog(self) -> Iterator[tuple[bytes, bytes | None]]:
        """The entries for what changed since the last call."""
        for host, start_ms in self._dropped:
            yield from self._log.drop(("host", host, start_ms))
        for host, start_ms in self._changed:
            pane = self._panes[host, start_ms]
            pieces = pack((metric, readings.to_wire()) for metric, readings in pane.items())
            yield from self._log.write(("host", host, start_ms), pieces)
        self._changed, self._dropped = set(), set()

    def restore(self, name: Sequence[Json], value: bytes | None) -> None:
        """Apply one changelog entry.

        Args:
            name: host, pane start and the number of the piece.
            value: the readings, None when the pane was dropped.
        """
        host, start_ms, number = name
        self._log.restore(("host", host, start_ms), number, value)

    def finish_restore(self, watermark_ms: int) -> None:
        """Rebuild which windows are open: those that had not closed at the watermark of the last commit.

        Args:
            watermark_ms: that watermark.
        """
        for (_, host, start_ms), pieces in self._log.take_restored():
            wire = {metric: item for piece in pieces for metric, item in orjson.loads(piece).items()}
            self._panes[host, start_ms] = {metric: Readings.from_wire(item) for metric, item in wire.items()}
            self._open_windows(host, start_ms, watermark_ms)

    def _open_windows(self, host: str, pane_start_ms: int, closed_ms: int | None = None) -> None:
        for size in self._sizes:
            for start_ms in size.starts_covering(pane_start_ms):
                window = (host, size, start_ms)
                end_ms = start_ms + size.size_ms
                if window not in self._open and (closed_ms is None or end_ms > closed_ms):
                    self._open.add(window)
                    heapq.heappush(self._closing, (end_ms, *window))
