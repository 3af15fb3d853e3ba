"""Traffic of three models, with all that happens: duplicates, disorder, corrections, early and hopeless labels."""

import random
from typing import Any

from pipeline.core.codec import encode_columns
from tests.processors.loop import Loop

START = 1_700_000_000_000

Events = list[list[dict[str, Any]]]
TAGS = ["red", "green", "blue"]


def _answer(rng: random.Random, model: str) -> Any:
    if model == "clicks":
        return rng.random() < 0.3
    if model == "price":
        return rng.choice([rng.gauss(100, 30), rng.randrange(200)])
    if model == "tags":
        return rng.sample(TAGS, rng.randrange(3))
    return rng.choice(["a", "b", "7"])


def _label(rng: random.Random, model: str) -> Any:
    if rng.random() < 0.04:
        return rng.choice(["?", 0.5, ["red"], {"x": 1.0}])  # of a kind that suits another task
    return rng.choice(["a", "b", 7]) if model == "fraud" else _answer(rng, model)


_TASKS = {"clicks": "binary", "fraud": "multiclass", "price": "regression", "tags": "multilabel"}


def make_traffic(
    rng: random.Random, count: int, models: tuple[str, ...] = ("fraud",), step_ms: int = 60
) -> tuple[Events, Events]:
    """Predictions and labels of two partitions, in log order."""
    predictions: Events = [[], []]
    labels: list[list[tuple[float, dict[str, Any]]]] = [[], []]
    for number in range(count):
        partition = rng.randrange(2)
        model = rng.choice(models)
        time_ms = START + number * step_ms + rng.randrange(-1500, 1500) - (rng.random() < 0.03) * rng.randrange(30_000)
        event = {
            "prediction_id": f"p{number}" if rng.random() < 0.97 else f"p{rng.randrange(number + 1)}",
            "model": model,
            "model_version": rng.choice("12"),
            "timestamp_ms": time_ms,
            "task": _TASKS[model],
            "prediction": _answer(rng, model),
            "latency_ms": rng.choice([None, rng.random() * 10]),
            "features": {"amount": rng.gauss(0, 1), "kind": rng.choice(["x", "y"])},
        }
        if model == "clicks":
            event["score"] = rng.choice([None, rng.random(), round(rng.random(), 1)])
        if rng.random() < 0.3:
            event["segments"] = {"country": rng.choice(["DE", "FR"])}
        predictions[partition].append(event)
        if rng.random() < 0.05:
            predictions[partition].append(dict(event))
        if rng.random() < 0.05:
            predictions[partition].append({**event, "model_version": rng.choice("123")})
        for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
            delay = rng.choice([-3_000, 500, 4_000, 9_000, 19_000, 30_000]) * rng.random()
            label = {
                "prediction_id": event["prediction_id"],
                "model": model,
                "timestamp_ms": int(time_ms + delay),
                "label": _label(rng, model),
            }
            labels[partition].append((time_ms + delay + rng.random() * 3_000, label))
    return predictions, [[label for _, label in sorted(part, key=lambda item: item[0])] for part in labels]


BAD_RECORDS: list[bytes | None] = [None, b"", b"{", b"[]", b'{"prediction_id":"x"}', b'{"n":2}', b"\xff"]


def put_log(loop: Loop, topic: str, partition: int, events: list[dict[str, Any]], rng: random.Random | None) -> None:
    """Write events to a topic; with a generator, some of them as columnar records, and bad records between them."""
    place = 0
    while place < len(events):
        count = rng.choice([1, 1, 1, 2, 7]) if rng else 1
        rows = events[place : place + count]
        place += len(rows)
        if len(rows) == 1:
            loop.put(topic, partition, rows[0])
        else:
            loop.put(topic, partition, _columns(rows), headers=[("layout", b"columns")])
        if rng and rng.random() < 0.03:
            loop.put(topic, partition, rng.choice(BAD_RECORDS))


def _columns(rows: list[dict[str, Any]]) -> bytes:
    fields: dict[str, Any] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        column = [row.get(name) for row in rows]
        if name in ("features", "segments"):
            inner = dict.fromkeys(key for one in column for key in one or ())
            fields[name] = {key: [(one or {}).get(key) for one in column] for key in inner}
        else:
            # One value for all rows, where there is one; arrays stay columns.
            same = len({repr(one) for one in column}) == 1 and name not in ("prediction_id", "prediction", "label")
            fields[name] = column[0] if same else column
    return encode_columns(fields, len(rows))
