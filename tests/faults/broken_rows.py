"""Records that are no events by any reading: random bytes, cut and changed JSON, wrong types, wrong headers."""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

from tests.faults.settings import PARTITIONS
from tests.faults.traffic import Record

_GOOD: dict[str, dict[str, Any]] = {
    "predictions": {
        "prediction_id": "fuzz", "model": "fuzz", "model_version": "1", "timestamp_ms": 1_700_000_000_000,
        "task": "binary", "prediction": 1, "latency_ms": 0.5, "features": {"amount": 1.5},
    },
    "labels": {"prediction_id": "fuzz", "model": "fuzz", "timestamp_ms": 1_700_000_000_000, "label": 1},
    "resources": {"host": "fuzz", "timestamp_ms": 1_700_000_000_000, "metrics": {"cpu.usage_ratio": 0.5}},
}  # fmt: skip
_REQUIRED = {
    "predictions": ("prediction_id", "model", "model_version", "timestamp_ms", "task", "prediction"),
    "labels": ("prediction_id", "model", "timestamp_ms", "label"),
    "resources": ("host", "timestamp_ms", "metrics"),
}
_NEVER_RIGHT: list[Any] = [None, {}, {"a": 1}, True, [[]], "", "x" * 200]
_SCHEMAS = {"predictions": b"prediction.v1", "labels": b"label.v1", "resources": b"resource.v1"}
_Made = tuple[bytes, list[tuple[str, bytes]]]


def _random_bytes(rng: random.Random, topic: str) -> _Made:
    return b"\xff" + rng.randbytes(rng.randrange(200)), []


def _cut(rng: random.Random, topic: str) -> _Made:
    text = json.dumps(_GOOD[topic]).encode()
    return text[: rng.randrange(len(text) - 1)], []


def _flipped(rng: random.Random, topic: str) -> _Made:
    """Bytes changed until nothing can read it as JSON."""
    text = bytearray(json.dumps(_GOOD[topic]).encode())
    while True:
        text[rng.randrange(len(text))] = rng.randrange(256)
        try:
            json.loads(text.decode())
        except ValueError:
            return bytes(text), []


def _missing(rng: random.Random, topic: str) -> _Made:
    event = dict(_GOOD[topic])
    del event[rng.choice(_REQUIRED[topic])]
    return json.dumps(event).encode(), []


def _wrong(rng: random.Random, topic: str) -> _Made:
    name = rng.choice(["timestamp_ms", *(name for name in _REQUIRED[topic] if name in ("model", "task", "host"))])
    value = rng.choice([*_NEVER_RIGHT, -1, 1e300, "NaN"]) if name == "timestamp_ms" else rng.choice(_NEVER_RIGHT)
    return json.dumps({**_GOOD[topic], name: value}).encode(), []


def _deep(rng: random.Random, topic: str) -> _Made:
    depth = rng.choice([10, 1_000, 5_000])
    return b"[" * depth + b"]" * depth, []


def _wrong_headers(rng: random.Random, topic: str) -> _Made:
    text = json.dumps(_GOOD[topic]).encode()
    return text, [rng.choice([("schema", b"alert.v1"), ("schema", b"\xff"), ("layout", b"rows")])]


def _columns(rng: random.Random, topic: str) -> _Made:
    """A columnar record whose columns do not fit together."""
    columns = {name: [value] * 3 for name, value in _GOOD[topic].items() if not isinstance(value, dict)}
    n: Any = rng.choice([0, -3, 2, 4, "3", None, 3.5, 1 << 70])
    event = {"n": n, **columns}
    return json.dumps(event).encode(), [("layout", b"columns"), ("schema", _SCHEMAS[topic])]


_MAKERS: tuple[Callable[[random.Random, str], _Made], ...] = (
    _random_bytes, _cut, _flipped, _missing, _wrong, _deep, _wrong_headers, _columns,
)  # fmt: skip
_WEIGHTS = (20, 20, 20, 15, 14, 1, 5, 5)


def broken_records(rng: random.Random, count: int) -> Iterator[Record]:
    """Broken records for all inputs.

    Args:
        rng: decides them all.
        count: how many.
    """
    for maker in rng.choices(_MAKERS, _WEIGHTS, k=count):
        topic = rng.choice(["predictions", "predictions", "labels", "resources"])
        value, headers = maker(rng, topic)
        yield Record(topic, rng.randrange(PARTITIONS), value, headers)
