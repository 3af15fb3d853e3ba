"""Keeps the metrics page up to date from the output topics.

The page shows the newest window of each (model, version, segment, window size). A window is published again as its
labels arrive, so ``quality`` and what follows from it may be missing in the newest window and known in one before it:
each of these metrics shows the newest window that has it. Everything else belongs to the newest window alone; a value
that is null there is not shown.
"""

import logging
import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import orjson
from confluent_kafka import KafkaException

from pipeline.config import Config
from pipeline.core.events import NO_SEGMENT, Json
from pipeline.core.window import WindowSize
from pipeline.reactions.app import ReactionApp
from pipeline.reactions.metrics import BoundedGauge, Metrics
from pipeline.reactions.read_back import read_back
from pipeline.reactions.threads import in_thread

logger = logging.getLogger(__name__)

Labels: TypeAlias = tuple[str, ...]
"""Label values, in the order a metric declares them."""

MAX_REMEMBERED = 10_000
"""How many windows, shown series groups and firing alerts are remembered each; the oldest is forgotten first."""

_SECTIONS = (
    "counts", "quality", "estimated", "generalisation", "ageing", "objectives", "label_delay_ms", "latency_ms", "drift",
    "drift_summary", "data_quality",
)  # fmt: skip
_SCALARS = ("label_coverage", "expected_label_coverage", "label_maturity", "throughput_per_s")
_MATURING = ("quality.", "estimated.", "generalisation.", "ageing.")
_HOST_STATS = ("mean", "min", "max", "last")


def flatten(event: Json) -> Iterator[tuple[str, float | None]]:
    """The metrics of a window as paths.

    Args:
        event: a decoded ``window_metrics.v1``.

    Yields:
        Each path, e.g. ``drift.amount.psi``, with its number (booleans are 0 and 1), None where it is null.
    """
    for scalar in _SCALARS:
        if scalar in event:
            yield scalar, _number(event[scalar])
    for section in _SECTIONS:
        if isinstance(event.get(section), Mapping):
            yield from _leaves(section, event[section])


def _leaves(path: str, values: Mapping[str, Json]) -> Iterator[tuple[str, float | None]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(f"{path}.{name}", value)
        elif value is None or isinstance(value, int | float):
            yield f"{path}.{name}", _number(value)


def _number(value: Json) -> float | None:
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def counted_window(sizes: tuple[WindowSize, ...]) -> WindowSize:
    """The window size whose counts tile time, so that each prediction is counted once.

    Args:
        sizes: the configured sizes.

    Returns:
        The shortest tumbling size; without one, the shortest whose slide divides it: every so-many-th of its windows
        tiles time. Without that either, the shortest.
    """
    return min(sizes, key=lambda size: (size.size_ms != size.slide_ms, size.size_ms % size.slide_ms != 0, size.size_ms))


class Remembered(OrderedDict[Labels, int]):
    """A dictionary of limited size: the entry that was not touched for longest is forgotten."""

    def put(self, key: Labels, value: int) -> Labels | None:
        """Set an entry.

        Args:
            key: what it is remembered by.
            value: what is remembered.

        Returns:
            The key that was forgotten for it, if any.
        """
        self[key] = value
        self.move_to_end(key)
        return self.popitem(last=False)[0] if len(self) > MAX_REMEMBERED else None


@dataclass(slots=True)
class Shown:
    """What a gauge shows of each group, and which window it is from.

    Attributes:
        gauge: the gauge; its labels are the group's and then the path's.
        newest: the start of each group's newest window, epoch milliseconds.
        paths: what is shown of each group: path to the start of the window it is from.
    """

    gauge: BoundedGauge
    newest: Remembered = field(default_factory=Remembered)
    paths: dict[Labels, dict[Labels, int]] = field(default_factory=dict)

    def touch(self, group: Labels, start_ms: int) -> int:
        """Note a window of a group; the group that was quiet for longest may have to go.

        Args:
            group: the label values that come first.
            start_ms: the window's start, epoch milliseconds.

        Returns:
            The start of the group's newest window.
        """
        newest = max(start_ms, self.newest.get(group, start_ms))
        forgotten = self.newest.put(group, newest)
        if forgotten is not None:
            for path in list(self.paths.get(forgotten, ())):
                self.drop(forgotten, path)
            self.paths.pop(forgotten, None)
        self.paths.setdefault(group, {})
        return newest

    def show(self, group: Labels, path: Labels, start_ms: int, value: float) -> None:
        """Show a value.

        Args:
            group: the label values that come first.
            path: the label values after them.
            start_ms: the start of the window it is from, epoch milliseconds.
            value: the number.
        """
        self.paths[group][path] = start_ms
        self.gauge.set((*group, *path), value)

    def drop(self, group: Labels, path: Labels) -> None:
        """Show a value no longer.

        Args:
            group: the label values that come first.
            path: the label values after them.
        """
        self.paths[group].pop(path, None)
        self.gauge.drop((*group, *path))

    def clear(self) -> None:
        """Show nothing."""
        for group, paths in self.paths.items():
            for path in paths:
                self.gauge.drop((*group, *path))
        self.paths.clear()
        self.newest.clear()


class Exporter:
    """Takes in output events and keeps the page's metrics up to date.

    Args:
        metrics: the page's metrics.
        counted: the window size that predictions are counted by.
    """

    def __init__(self, metrics: Metrics, counted: WindowSize) -> None:
        self._metrics = metrics
        self._counted = counted
        self._models = Shown(metrics.model_window)
        self._hosts = Shown(metrics.host_window)
        self._counts = Remembered()
        self._firing = Remembered()

    def clear(self) -> None:
        """Show no windows and no alerts; the counts go on."""
        for shown in (self._models, self._hosts):
            shown.clear()
        for key in list(self._firing):
            del self._firing[key]
            self._show_firing(key[1:])

    async def on_window(self, event: Json) -> None:
        """Take in a ``window_metrics.v1``.

        Args:
            event: the decoded event.
        """
        self._count_predictions(event)
        await self.on_past_window(event)

    async def on_past_window(self, event: Json) -> None:
        """Take in a ``window_metrics.v1`` that was counted before.

        Args:
            event: the decoded event.
        """
        group = (event["model"], event["model_version"], event["segment"], event["window"])
        start_ms = int(event["window_start_ms"])
        newest_ms = self._models.touch(group, start_ms)
        shown = self._models.paths[group]
        values = dict(flatten(event))
        for path, value in values.items():
            due_ms = shown.get((path,), start_ms) if path.startswith(_MATURING) else newest_ms
            if value is not None and start_ms >= due_ms:
                self._models.show(group, (path,), start_ms, value)
        for label, from_ms in list(shown.items()):
            # What may still mature stays until its own window takes it back.
            due_ms = from_ms if label[0].startswith(_MATURING) else newest_ms
            replaced = start_ms == due_ms if label[0].startswith(_MATURING) else start_ms >= due_ms
            if replaced and values.get(label[0]) is None:
                self._models.drop(group, label)

    def _count_predictions(self, event: Json) -> None:
        """Count a window once, and later only what a revision adds to it."""
        if event["segment"] != NO_SEGMENT or event["window"] != str(self._counted):
            return
        if int(event["window_start_ms"]) % self._counted.size_ms != 0:
            return
        key = (event["model"], event["model_version"], str(event["window_start_ms"]))
        predictions = int(event["counts"]["predictions"])
        # A later revision of a window that this worker does not know was counted before it started.
        known = self._counts.get(key, 0 if event["revision"] == 0 else predictions)
        self._counts.put(key, max(known, predictions))
        self._metrics.predictions.labels(*key[:2]).inc(max(0, predictions - known))

    async def on_host(self, event: Json) -> None:
        """Take in a ``host_metrics.v1``.

        Args:
            event: the decoded event.
        """
        group = (event["host"], event["window"])
        start_ms = int(event["window_start_ms"])
        if start_ms < self._hosts.touch(group, start_ms):
            return
        current = {
            (name, stat): value
            for name, reading in event["metrics"].items()
            for stat in _HOST_STATS
            if (value := _number(reading.get(stat))) is not None
        }
        for label in self._hosts.paths[group].keys() - current.keys():
            self._hosts.drop(group, label)
        for label, value in current.items():
            self._hosts.show(group, label, start_ms, value)

    async def on_alert(self, event: Json) -> None:
        """Take in an ``alert.v1``.

        Args:
            event: the decoded event.
        """
        labels = (event["rule"], event["severity"], event.get("model") or "", event.get("host") or "")
        key = (event["alert_id"], *labels)
        if event["state"] == "firing":
            forgotten = self._firing.put(key, 1)
            if forgotten is not None:
                self._show_firing(forgotten[1:])
        else:
            self._firing.pop(key, None)
        self._show_firing(labels)

    def _show_firing(self, labels: Labels) -> None:
        self._metrics.alerts_firing.set(labels, sum(key[1:] == labels for key in self._firing))


def register(app: ReactionApp, config: Config, metrics: Metrics) -> None:
    """Feed the metrics page from the output topics.

    After each rebalance the page is filled anew from what lies before the committed offsets of the partitions this
    worker has then, so it is neither empty after a restart nor stale where another worker took over.

    Args:
        app: the app whose agents do it.
        config: the configuration.
        metrics: what is fed.
    """
    exporter = Exporter(metrics, counted_window(config.windows.sizes))
    app.reaction("window-metrics", "export")(exporter.on_window)
    app.reaction("host-metrics", "export")(exporter.on_host)
    app.reaction("alerts", "export")(exporter.on_alert)
    past = {
        config.kafka.topic("window-metrics"): exporter.on_past_window,
        config.kafka.topic("host-metrics"): exporter.on_host,
        config.kafka.topic("alerts"): exporter.on_alert,
    }

    async def refill(*_args: object, **_options: object) -> None:
        places = [(tp.topic, tp.partition) for tp in app.consumer.assignment() if tp.topic in past]
        exporter.clear()
        try:
            records = await in_thread(lambda: read_back(config, app.conf.id, places))
        except KafkaException as error:
            logger.warning("the metrics page starts empty: %s", error)
            return
        for topic, value in records:
            try:
                await past[topic](orjson.loads(value))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                logger.warning("the metrics page leaves out an unreadable event of %s: %r", topic, error)

    # Faust waits for this before it lets records through.
    app.on_rebalance_complete.connect(refill, weak=False)
