"""The trends of the metrics of each model version, over its final windows.

A version's windows of one size become final in the order of their ends, each once, so a final window's trend is that of
all before it and itself in every replay. Of windows that overlap only those count whose starts are a common multiple of
size and slide: they tile time, or lie apart.

The changelog has ``ageing, model, version, task, window`` with the sums of each metric. They are kept as long as the
version is known; the changelog deletes those of a size that is not configured any more.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import orjson

from pipeline.core.events import Group, Json, Task
from pipeline.core.family import Report
from pipeline.core.metrics.ageing import Trend, report_ageing
from pipeline.core.window import WindowSize

Kind = tuple[Group, str]
"""Model version and window size."""


class Ageing:
    """The trends of one monitor partition.

    Args:
        tracked: the metrics, names in the quality section.
        sizes: the windows.
    """

    def __init__(self, tracked: Sequence[str], sizes: Sequence[WindowSize]) -> None:
        self._tracked = tracked
        self._sizes = {str(size): size for size in sizes}
        self._trends: dict[Kind, dict[str, Trend]] = {}
        self._changed: set[Kind] = set()
        self._dropped: set[bytes] = set()

    def add(self, kind: Kind, start_ms: int, quality: Mapping[str, Json], labelled: int) -> None:
        """Count a window that has become final.

        Args:
            kind: model version and window size.
            start_ms: its start.
            quality: its quality section.
            labelled: its labelled rows.
        """
        size = self._sizes[kind[1]]
        if not labelled or start_ms % math.lcm(size.size_ms, size.slide_ms):
            return
        for metric in self._tracked:
            value = quality.get(metric)
            if value is not None:
                self._trends.setdefault(kind, {}).setdefault(metric, Trend()).add(start_ms, float(value), labelled)
                self._changed.add(kind)

    def report(self, kind: Kind, level: float) -> Report:
        """The trends so far.

        Args:
            kind: model version and window size.
            level: the confidence of their intervals.
        """
        return report_ageing(self._trends.get(kind, {}), level)

    def changelog(self) -> Iterator[tuple[bytes, bytes | None]]:
        """The entries for what changed since the last call."""
        for kind in self._changed:
            trends = {metric: trend.to_wire() for metric, trend in self._trends[kind].items()}
            yield _key(kind), orjson.dumps(trends)
        for key in self._dropped:
            yield key, None
        self._changed, self._dropped = set(), set()

    def restore(self, name: Sequence[Json], value: bytes | None) -> None:
        """Apply one changelog entry.

        Args:
            name: the entry's key without its kind.
            value: the trends; None when they were dropped.
        """
        model, version, task, window = name
        kind = (Group(model, version, Task(task)), window)
        self._trends.pop(kind, None)
        self._dropped.discard(_key(kind))
        if value is not None and window not in self._sizes:
            self._dropped.add(_key(kind))
        elif value is not None:
            wires = orjson.loads(value)
            self._trends[kind] = {name: Trend.from_wire(wires[name]) for name in self._tracked if name in wires}


def _key(kind: Kind) -> bytes:
    group, window = kind
    return orjson.dumps(["ageing", group.model, group.model_version, group.task.value, window])
