"""What the topics have shown so far: a small state that events are folded into and the screen is drawn from."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.demo.settings import NAME, VERSION

MIN_COVERAGE = 0.5
"""A window's accuracy joins the pre-shift mean once half of its labels are there."""

_RATE_SPAN_MS = 5_000


@dataclass(frozen=True, slots=True)
class Window:
    """The newest revision of one window of the whole model.

    Attributes:
        start_ms: the window's start.
        end_ms: the window's end.
        revision: how often it was published before.
        final: whether the label horizon has passed.
        predictions: rows in the window.
        labelled: rows whose true label came.
        coverage: labelled share; None when unknown.
        accuracy: share of right answers among the labelled; None when unknown.
        latency_p95_ms: 95th percentile of the serving latency; None when unknown.
        throughput_per_s: predictions a second; None when unknown.
        drift: feature to its largest distance figures; empty before a reference is known.
        drifted: the features that drifted, by name.
    """

    start_ms: int
    end_ms: int
    revision: int
    final: bool
    predictions: int
    labelled: int
    coverage: float | None
    accuracy: float | None
    latency_p95_ms: float | None
    throughput_per_s: float | None
    drift: Mapping[str, Mapping[str, Any]]
    drifted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Arrival:
    """An alert or trigger and when it was read from Kafka.

    Attributes:
        event: the event as published.
        arrived_ms: epoch milliseconds.
    """

    event: Mapping[str, Any]
    arrived_ms: int


@dataclass(slots=True)
class TopicCount:
    """Records of one topic, with enough history for a rate.

    Attributes:
        records: records so far.
    """

    records: int = 0
    _history: deque[tuple[int, int]] = field(default_factory=deque)

    def observe(self, records: int, now_ms: int) -> None:
        """Take in a new count.

        Args:
            records: records so far.
            now_ms: epoch milliseconds.
        """
        self.records = records
        self._history.append((now_ms, records))
        while self._history[0][0] < now_ms - _RATE_SPAN_MS:
            self._history.popleft()

    @property
    def per_s(self) -> float:
        """Records a second over the last seconds."""
        (first_ms, first), (last_ms, last) = (self._history[0], self._history[-1]) if self._history else ((0, 0),) * 2
        return (last - first) * 1000 / (last_ms - first_ms) if last_ms > first_ms else 0.0


@dataclass(slots=True)
class State:
    """Everything read from the topics so far.

    Attributes:
        topics: topic to its record count.
        windows: window start to the newest revision.
        hosts: host to its newest window of metrics.
        alerts: alerts in the order they were read, each (alert_id, state) once.
        triggers: retrain triggers in the order they were read, each trigger_id once.
        shifted_at_ms: when the client sent its first shifted image; None before.
    """

    topics: dict[str, TopicCount] = field(default_factory=dict)
    windows: dict[int, Window] = field(default_factory=dict)
    hosts: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    alerts: list[Arrival] = field(default_factory=list)
    triggers: list[Arrival] = field(default_factory=list)
    shifted_at_ms: int | None = None
    _seen: set[tuple[str, str]] = field(default_factory=set)

    def apply(self, topic: str, event: Mapping[str, Any], now_ms: int) -> None:
        """Fold in one event.

        Args:
            topic: the topic's name in the contract.
            event: the decoded event.
            now_ms: when it was read, epoch milliseconds.
        """
        count = self.topics.setdefault(topic, TopicCount())
        count.observe(count.records + 1, now_ms)
        match topic:
            case "window-metrics":
                self._apply_window(event)
            case "host-metrics":
                self.hosts[event["host"]] = event
            case "alerts" if self._is_new(event["alert_id"], event["state"]):
                self.alerts.append(Arrival(event, now_ms))
            case "retrain-triggers" if self._is_new(event["trigger_id"], "trigger"):
                self.triggers.append(Arrival(event, now_ms))

    def observe_offsets(self, topic: str, records: int, now_ms: int) -> None:
        """Take in how many records an input topic holds.

        Args:
            topic: the topic's name in the contract.
            records: the sum of its end offsets.
            now_ms: epoch milliseconds.
        """
        self.topics.setdefault(topic, TopicCount()).observe(records, now_ms)

    @property
    def reference_is_known(self) -> bool:
        """Whether any window carries drift figures."""
        return any(_has_figures(window.drift) for window in self.windows.values())

    @property
    def accuracy_before(self) -> float | None:
        """The accuracy over all labelled rows of windows that ended before the shift; None while there are none."""
        shifted_at_ms = self.shifted_at_ms
        return _accuracy(w for w in self.windows.values() if shifted_at_ms is None or w.end_ms <= shifted_at_ms)

    @property
    def accuracy_after(self) -> float | None:
        """The accuracy over all labelled rows of windows that began after the shift; None while there are none."""
        shifted_at_ms = self.shifted_at_ms
        return _accuracy(w for w in self.windows.values() if shifted_at_ms is not None and w.start_ms >= shifted_at_ms)

    def _is_new(self, identity: str, state: str) -> bool:
        if (identity, state) in self._seen:
            return False
        self._seen.add((identity, state))
        return True

    def _apply_window(self, event: Mapping[str, Any]) -> None:
        if (event["model"], event["model_version"], event["segment"]) != (NAME, VERSION, ""):
            return
        known = self.windows.get(event["window_start_ms"])
        if known is None or event["revision"] >= known.revision:
            self.windows[event["window_start_ms"]] = _window(event)


def _window(event: Mapping[str, Any]) -> Window:
    drift = event["drift"]
    return Window(
        start_ms=event["window_start_ms"],
        end_ms=event["window_end_ms"],
        revision=event["revision"],
        final=event["final"],
        predictions=event["counts"]["predictions"],
        labelled=event["counts"]["labelled"],
        coverage=event["label_coverage"],
        accuracy=event["quality"].get("accuracy"),
        latency_p95_ms=event["latency_ms"].get("p95"),
        throughput_per_s=event["throughput_per_s"],
        drift=drift,
        drifted=tuple(sorted(name for name, figures in drift.items() if figures.get("drifted"))),
    )


def _accuracy(windows: Iterable[Window]) -> float | None:
    judged = [
        (window.accuracy, window.labelled)
        for window in windows
        if window.accuracy is not None and (window.coverage or 0.0) >= MIN_COVERAGE
    ]
    labelled = sum(count for _, count in judged)
    return sum(accuracy * count for accuracy, count in judged) / labelled if labelled else None


def _has_figures(drift: Mapping[str, Mapping[str, Any]]) -> bool:
    return any(is_number(value) for figures in drift.values() for value in figures.values())


def is_number(value: object) -> bool:
    """Whether a JSON value is a number; true and false are none."""
    return isinstance(value, float | int) and not isinstance(value, bool)
