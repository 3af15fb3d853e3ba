"""Raw records to rows, in plain Python: what is in the log, and which rows of it are no events."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SCHEMAS = {"predictions": "prediction.v1", "labels": "label.v1", "resources": "resource.v1", "models": "model.v1"}
_MAPS = {"features", "segments", "scores", "metrics"}
_LATEST_MS = 253_402_300_799_999


@dataclass(frozen=True)
class Record:
    """One record as it lies in a partition."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] | None = None


Log = Mapping[tuple[str, int], Sequence[Record]]
"""The committed records of each (topic, partition), in order; topics by their names in the contract."""


@dataclass(frozen=True)
class Place:
    """Where a row stands; ``row`` is None in a record that holds a single event."""

    topic: str
    partition: int
    offset: int
    row: int | None


@dataclass(frozen=True)
class Row:
    place: Place
    event: dict[str, Any]


def read_rows(log: Log, topic: str, partition: int) -> tuple[list[Row], list[Place]]:
    """The good rows of a partition in log order, and the places of the bad ones."""
    good, bad = [], []
    for record in log.get((topic, partition), ()):
        for row, event in _events(record, topic):
            place = Place(topic, partition, record.offset, row)
            if event is not None and _is_event(topic, event):
                good.append(Row(place, event))
            else:
                bad.append(place)
    return good, bad


def _events(record: Record, topic: str) -> Iterator[tuple[int | None, dict[str, Any] | None]]:
    headers = dict(record.headers or ())
    schema, layout = headers.get("schema"), headers.get("layout")
    try:
        value = json.loads(record.value or b"", parse_constant=float)
    except (ValueError, RecursionError):
        value = None
    known = schema in (None, SCHEMAS[topic].encode()) and layout in (None, b"columns")
    if not known or not isinstance(value, dict):
        yield None, None
    elif layout is None:
        yield None, value
    else:
        yield from _columns(value)


def _columns(value: dict[str, Any]) -> Iterator[tuple[int | None, dict[str, Any] | None]]:
    n = value.pop("n", None)
    columns = [one for name, column in value.items() for one in (column.values() if name in _MAPS else (column,))]
    if not isinstance(n, int) or n < 1 or any(isinstance(one, list) and len(one) != n for one in columns):
        yield None, None
        return

    for row in range(n):
        yield (
            row,
            {
                name: {key: _at(one, row) for key, one in column.items()} if name in _MAPS else _at(column, row)
                for name, column in value.items()
            },
        )


def _at(column: Any, row: int) -> Any:
    return column[row] if isinstance(column, list) else column


def _is_event(topic: str, event: dict[str, Any]) -> bool:
    """The schemas' rules, as far as the workloads go against them."""
    moment = event.get("timestamp_ms")
    return (
        _is_number(moment)
        and moment == int(moment or 0)
        and 0 <= moment <= _LATEST_MS
        and (topic == "resources" or _is_text(event.get("model")))
        and _CHECKS[topic](event)
    )


def _is_prediction(event: dict[str, Any]) -> bool:
    latency = event.get("latency_ms")
    return (
        _is_text(event.get("prediction_id"))
        and _is_text(event.get("model_version"))
        and _is_text(event.get("task"))
        and event["task"] in _GUESSES
        and _GUESSES[event["task"]](event.get("prediction"))
        and (latency is None or (_is_number(latency) and latency >= 0))
        and all(
            value is None or isinstance(value, str | bool) or _is_number(value) for value in _map(event, "features")
        )
        and all(value is None or isinstance(value, str | bool | int) for value in _map(event, "segments"))
    )


def _is_label(event: dict[str, Any]) -> bool:
    label = event.get("label")
    if isinstance(label, dict):
        is_label = all(_is_text(item) and _is_number(gain) for item, gain in label.items())
    elif isinstance(label, list):
        is_label = all(map(_is_class, label))
    else:
        is_label = _is_class(label) or _is_number(label)
    return _is_text(event.get("prediction_id")) and is_label


def _is_resource(event: dict[str, Any]) -> bool:
    metrics = event.get("metrics")
    readings = metrics.values() if isinstance(metrics, dict) else ["none"]
    return _is_text(event.get("host")) and all(value is None or _is_number(value) for value in readings)


def _is_model(event: dict[str, Any]) -> bool:
    return _is_text(event.get("model_version"))


def _map(event: dict[str, Any], name: str) -> Sequence[Any]:
    return list((event.get(name) or {}).values())


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= 128


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_class(value: Any) -> bool:
    return _is_text(value) or isinstance(value, int)


def _is_class_set(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_class, value))


def _is_ranking(value: Any) -> bool:
    return _is_class_set(value) and not any(isinstance(one, bool) for one in value)


_CHECKS: Mapping[str, Callable[[dict[str, Any]], bool]] = {
    "predictions": _is_prediction,
    "labels": _is_label,
    "resources": _is_resource,
    "models": _is_model,
}
_GUESSES: Mapping[str, Callable[[Any], bool]] = {
    "binary": _is_class,
    "multiclass": _is_class,
    "regression": _is_number,
    "multilabel": _is_class_set,
    "ranking": _is_ranking,
}
