"""The final windows as plain Python has them from the raw log: dicts, loops and fractions, none of the project's code.

The rules are those of ``ARCHITECTURE.md`` ("Why final windows equal a batch computation"): effective times from each
partition's log alone, first prediction and latest label win, windows by prediction time.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.audit.rows import Log, Place, Row, read_rows

NEVER = -(10**18)


@dataclass(frozen=True)
class Window:
    """A window's size, by the name it has in the events."""

    name: str
    size_ms: int
    slide_ms: int

    def starts(self, time_ms: int) -> range:
        first = (time_ms - self.size_ms) // self.slide_ms * self.slide_ms + self.slide_ms
        return range(first, time_ms + 1, self.slide_ms)


@dataclass(frozen=True)
class Rules:
    """What of the configuration the truth depends on."""

    windows: Sequence[Window]
    pane_ms: int
    horizon_ms: int
    early_ms: int
    lateness_ms: int
    future_ms: int
    """An event with a time after this moment is too far in the future, whenever it is read."""
    partitions: int
    learn_rows: int = 1_000
    bins: int = 10
    max_categories: int = 64


@dataclass
class Prediction:
    event: dict[str, Any]
    effective_ms: int
    late: bool
    labels: list[tuple[int, int, Any]] = field(default_factory=list)
    """Time, falling place in the log, label: the greatest is the one that counts."""


WindowKey = tuple[str, str, str, str, str, int]
"""Model, version, task, segment, window, start."""
HostKey = tuple[str, str, int]
"""Host, window, start."""


@dataclass
class Cell:
    """All that is in one window."""

    predictions: list[Prediction] = field(default_factory=list)
    duplicates: int = 0
    unmatched: int = 0


@dataclass
class Truth:
    windows: dict[WindowKey, Cell]
    hosts: dict[HostKey, dict[str, list[tuple[int, float]]]]
    dead: Counter[tuple[Place, str]]
    """Each row that must become a dead letter; the reason is ``too_late``, ``too_far_in_future`` or ``malformed``."""
    first_rows: dict[tuple[str, str], list[dict[str, Any]]]
    """The features that a learned reference is made of, by model and version."""


def with_watermarks(rows: Sequence[Row], lateness_ms: int) -> Iterator[tuple[Row, int]]:
    newest = NEVER
    for row in rows:
        newest = max(newest, row.event["timestamp_ms"])
        yield row, newest - lateness_ms


def compute_truth(log: Log, rules: Rules) -> Truth:
    truth = Truth(defaultdict(Cell), defaultdict(lambda: defaultdict(list)), Counter(), defaultdict(list))
    for partition in range(rules.partitions):
        rows = {}
        for topic in ("predictions", "labels", "resources"):
            good, bad = read_rows(log, topic, partition)
            truth.dead.update((place, "malformed") for place in bad)
            rows[topic] = [row for row in good if row.event["timestamp_ms"] <= rules.future_ms]
            ahead = [row for row in good if row.event["timestamp_ms"] > rules.future_ms]
            truth.dead.update((row.place, "too_far_in_future") for row in ahead if topic != "resources" or _reads(row))
        _join(truth, rules, rows["predictions"], rows["labels"], learns=partition == 0)
        _count_hosts(truth, rules, rows["resources"])
    return truth


def _join(truth: Truth, rules: Rules, predictions: Sequence[Row], labels: Sequence[Row], *, learns: bool) -> None:
    by_key: dict[tuple[str, str], list[Prediction]] = defaultdict(list)
    for row, watermark in with_watermarks(predictions, rules.lateness_ms):
        if row.event["timestamp_ms"] + rules.horizon_ms < watermark:
            truth.dead[row.place, "too_late"] += 1
        else:
            _predict(truth, rules, by_key, row.event, watermark, learns=learns)
    for number, (row, watermark) in enumerate(with_watermarks(labels, rules.lateness_ms)):
        event = row.event
        effective_ms = max(event["timestamp_ms"], watermark)
        joined = [
            prediction
            for prediction in by_key[event["model"], event["prediction_id"]]
            if effective_ms <= prediction.event["timestamp_ms"] + rules.horizon_ms
            and prediction.effective_ms <= effective_ms + rules.early_ms
        ]
        for prediction in joined:
            prediction.labels.append((event["timestamp_ms"], -number, event["label"]))
        if not joined:
            # A label without a prediction has no version; it counts at its effective time.
            nobody = {"model": event["model"], "model_version": "", "task": "binary", "timestamp_ms": effective_ms}
            for cell in _cells(truth, rules, nobody):
                cell.unmatched += 1


def _predict(
    truth: Truth,
    rules: Rules,
    by_key: dict[tuple[str, str], list[Prediction]],
    event: dict[str, Any],
    watermark: int,
    *,
    learns: bool,
) -> None:
    time_ms = event["timestamp_ms"]
    effective_ms = max(time_ms, watermark)
    siblings = by_key[event["model"], event["prediction_id"]]
    cells = _cells(truth, rules, event)
    if any(
        _version(other.event) == _version(event) and effective_ms <= other.event["timestamp_ms"] + rules.horizon_ms
        for other in siblings
    ):
        for cell in cells:
            cell.duplicates += 1
        return
    prediction = Prediction(event, effective_ms, time_ms < watermark)
    siblings.append(prediction)
    for cell in cells:
        cell.predictions.append(prediction)
    first = truth.first_rows[event["model"], event["model_version"]]
    if learns and event.get("features") and len(first) < rules.learn_rows:
        first.append(event["features"])


def _version(event: dict[str, Any]) -> tuple[str, str]:
    return event["model_version"], event["task"]


def _cells(truth: Truth, rules: Rules, event: dict[str, Any]) -> Iterator[Cell]:
    segments = [
        "",
        *(f"{name}={_text(value)}" for name, value in (event.get("segments") or {}).items() if value is not None),
    ]
    for window in rules.windows:
        for start_ms in window.starts(event["timestamp_ms"]):
            for segment in segments:
                yield truth.windows[
                    event["model"], event["model_version"], event["task"], segment, window.name, start_ms
                ]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _reads(row: Row) -> bool:
    return any(value is not None for value in row.event["metrics"].values())


def _count_hosts(truth: Truth, rules: Rules, rows: Sequence[Row]) -> None:
    readings = [row for row in rows if _reads(row)]
    for row, watermark in with_watermarks(readings, rules.lateness_ms):
        event = row.event
        # By panes, as windows are: a reading is late when one that has closed should have held it.
        if event["timestamp_ms"] < watermark // rules.pane_ms * rules.pane_ms:
            truth.dead[row.place, "too_late"] += 1
            continue
        for window in rules.windows:
            for start_ms in window.starts(event["timestamp_ms"]):
                for metric, value in event["metrics"].items():
                    if value is not None:
                        readings_of = truth.hosts[event["host"], window.name, start_ms]
                        readings_of[metric].append((event["timestamp_ms"], float(value)))
