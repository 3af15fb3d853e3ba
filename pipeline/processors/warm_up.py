"""Runs a few made-up events through the processors, so that every kernel is loaded before there are partitions.

A kernel's first call loads it from its cache, all of them together about a second, many times that on a busy machine.
Spent after the group has given the worker its partitions, that second would be a pause for everything in them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from pipeline.config import Config
from pipeline.core.events import Int64s, RecordBatch
from pipeline.processors.joiner import LABELS, PREDICTIONS, RESOURCES, make_joiner
from pipeline.processors.monitor import PARTIALS, make_monitor
from pipeline.processors.references import TOPIC as REFERENCES

_START_MS = 1_000_000_000_000
_COUNTS = {"predictions": 1, "labels": 1, "resources": 1, "partials": 1}
_LATER = 3
"""Label horizons: enough for every window to become final."""

_TASKS: Mapping[str, Sequence[tuple[Any, Any]]] = {
    "binary": [(1, 1), (0, 1)],
    "multiclass": [("cat", "dog"), ("dog", "dog")],
    "multilabel": [(["a", "b"], ["a"]), (["a"], ["b"])],
    "regression": [(1.5, 2.5), (2.0, 2.0)],
    "ranking": [(["x", "y"], {"x": 1}), (["y", "x"], {"x": 1})],
}
"""What was predicted and what was true."""

_NAMED = frozenset({"features", "segments", "metrics"})
"""What is an object of columns in a columnar event."""

_MANY = {f"feature_{number}": 0.5 for number in range(40)}
"""More than the first columns are made for."""

_SCORES: Mapping[str, Mapping[str, Any]] = {
    "binary": {"score": 0.5},
    "multiclass": {"scores": {"cat": 0.5, "dog": 0.5}},
}


def warm_joiner(config: Config) -> Sequence[bytes]:
    """Put made-up events through a joiner, from their bytes to the end of their horizon, restore included.

    Args:
        config: the configuration.

    Returns:
        The partials it made of them.
    """
    reference = config.reference.model_copy(update={"learn_rows": 2})
    # With so little memory that rows go through the cold tier as well.
    limits = config.joiner.model_copy(update={"memory_mb": 0})
    joiner = make_joiner(config.model_copy(update={"reference": reference, "joiner": limits}), cold=_Blocks)
    task, again = joiner.task(0, _COUNTS), joiner.task(0, _COUNTS)
    partials: list[bytes] = []
    changes = []
    for topic, values in _events(config):
        now_ms = int(values[-1]["timestamp_ms"])
        task.process(_batch(topic, [orjson.dumps(value) for value in values]), now_ms)
        # Again as publishers send them: these are duplicates, or say the same.
        columns = [orjson.dumps(one) for one in _columns(values)]
        task.process(_batch(topic, columns, [("layout", b"columns")]), now_ms)
        flush = task.flush(now_ms, frozenset())
        for record in flush.outputs:
            if record.topic == PARTIALS:
                partials.append(record.value or b"")
            elif record.topic == REFERENCES:
                joiner.on_table(REFERENCES, record.key or b"", record.value)
        changes += list(flush.changelog)
    again.restore(changes)
    again.flush(_START_MS, frozenset())
    return partials


def warm_monitor(config: Config) -> None:
    """Put the partials of made-up events through a monitor, until their windows are final.

    Args:
        config: the configuration.
    """
    monitor = make_monitor(config)
    task, again = monitor.task(0, _COUNTS), monitor.task(0, _COUNTS)
    changes = []
    for partial in warm_joiner(config):
        task.process(_batch(PARTIALS, [partial]), _START_MS)
        changes += list(task.flush(_START_MS, frozenset()).changelog)
    again.restore(changes)
    again.flush(_START_MS, frozenset())


def _events(config: Config) -> Iterator[tuple[str, Sequence[Mapping[str, Any]]]]:
    """Labels first for some, predictions twice, corrected labels, and at last a moment when all is final."""
    predictions, labels = [], []
    for task, rows in _TASKS.items():
        for number, (predicted, true) in enumerate(rows):
            key = {"prediction_id": f"{task}{number}", "model": task, "timestamp_ms": _START_MS}
            more = _SCORES.get(task, {})
            features = {"amount": number + 0.5, "kind": "new", **_MANY}
            predictions.append(
                {**key, "model_version": "1", "task": task, "prediction": predicted, "latency_ms": 1.5,
                 "features": features, "segments": {"country": "DE"}, **more}
            )  # fmt: skip
            labels.append({**key, "label": true})
    reading = {"host": "h", "timestamp_ms": _START_MS, "metrics": {"cpu.usage_ratio": 0.5}}
    yield LABELS, labels[::2]
    yield PREDICTIONS, predictions
    yield PREDICTIONS, predictions[:2]
    yield LABELS, labels
    yield RESOURCES, [reading]
    later_ms = _START_MS + _LATER * (config.windows.label_horizon + config.windows.early_label_horizon)
    yield PREDICTIONS, [{**predictions[0], "timestamp_ms": later_ms}]
    yield LABELS, [{**labels[0], "timestamp_ms": later_ms}]
    yield RESOURCES, [{**reading, "timestamp_ms": later_ms}]


class _Blocks:
    """The cold tier's blocks, in memory."""

    def __init__(self) -> None:
        self._segments: dict[int, tuple[bytes, Int64s]] = {}

    def write(self, segment: int, data: memoryview, bounds: Int64s) -> None:
        self._segments[segment] = bytes(data), bounds

    def read(self, segment: int, blocks: Int64s) -> bytes:
        data, bounds = self._segments[segment]
        return b"".join(data[bounds[block] : bounds[block + 1]] for block in blocks)

    def drop(self, segment: int) -> None:
        del self._segments[segment]

    def size_bytes(self) -> int:
        return sum(len(data) for data, _ in self._segments.values())


def _columns(values: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The events of each model, or host, as one columnar event."""
    for rows in _by_source(values).values():
        columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
        for name in _NAMED & columns.keys():
            columns[name] = {one: [row[name][one] for row in rows] for one in rows[0][name]}
        yield {"n": len(rows), **columns}


def _by_source(values: Sequence[Mapping[str, Any]]) -> Mapping[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for value in values:
        found.setdefault(value.get("model", ""), []).append(value)
    return found


def _batch(topic: str, values: list[bytes], headers: Sequence[tuple[str, bytes]] | None = None) -> RecordBatch:
    count = len(values)
    return RecordBatch(topic, 0, list(range(count)), [None] * count, list(values), [headers] * count)
