"""Which JSON decoder: CPU time a row on one core, for parsing alone and for our whole way to columns.

    python bench/decoders.py            # polars is optional: pip install polars

Figures and the choice stand in ``pipeline/core/codec/__init__.py``.
"""

import argparse
import io
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import numpy as np
import orjson

from pipeline.core.codec import decode_labels, decode_predictions, encode_label_batch, encode_prediction_batch
from pipeline.core.codec.shapes import LabelEvent, PredictionEvent
from pipeline.core.events import RecordBatch


def batch_of(values: list[bytes], *, columnar: bool = False) -> RecordBatch:
    headers = [("layout", b"columns")] if columnar else None
    return RecordBatch("any", 0, range(len(values)), [None] * len(values), values, [headers] * len(values))


def events(chance: random.Random, rows: int) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """Predictions of about 245 bytes, the same with ten features, labels of about 75 bytes."""
    plain, rich, labels = [], [], []
    for row in range(rows):
        name, at = f"{chance.getrandbits(64):016x}", 1_760_000_000_000 + row
        event = {
            "prediction_id": name,
            "model": "fraud",
            "model_version": "3",
            "timestamp_ms": at,
            "task": "binary",
            "prediction": chance.randrange(2),
            "score": chance.random(),
            "latency_ms": round(chance.random() * 10, 3),
            "principal": "checkout",
            "input_digest": f"{chance.getrandbits(128):032x}",
        }
        plain.append(orjson.dumps(event))
        rich.append(orjson.dumps({**event, "features": {f"f{index}": chance.random() for index in range(10)}}))
        labels.append(orjson.dumps({"prediction_id": name, "model": "fraud", "timestamp_ms": at, "label": row % 2}))
    return plain, rich, labels


def columns(chance: random.Random, records: int, rows: int, features: int) -> list[bytes]:
    numbers = np.random.default_rng(7)
    return [
        encode_prediction_batch(
            model="fraud",
            model_version="3",
            task="binary",
            prediction_id=[f"{chance.getrandbits(64):016x}" for _ in range(rows)],
            timestamp_ms=1_760_000_000_000 + np.arange(rows),
            prediction=numbers.integers(0, 2, rows),
            score=numbers.random(rows),
            latency_ms=np.round(numbers.random(rows) * 10, 3),
            features={f"f{index}": numbers.random(rows) for index in range(features)} or None,
        )
        for _ in range(records)
    ]


def measure(name: str, run: Callable[[], Any], rows: int, repeats: int) -> None:
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        run()
        best = min(best, time.process_time() - start)
    print(f"{name:<58} {best / rows * 1e6:7.3f} µs/row {rows / best:13,.0f} rows/s")


def other_parsers(values: list[bytes], labels: list[bytes], repeats: int) -> None:
    rows = len(values)
    typed, typed_label = msgspec.json.Decoder(PredictionEvent), msgspec.json.Decoder(LabelEvent)
    joined = msgspec.json.Decoder(list[PredictionEvent])
    untyped = msgspec.json.Decoder()
    parsers: dict[str, Callable[[], Any]] = {
        "orjson, one by one": lambda: list(map(orjson.loads, values)),
        "orjson, all in one array": lambda: orjson.loads(b"[" + b",".join(values) + b"]"),
        "msgspec untyped, one by one": lambda: list(map(untyped.decode, values)),
        "msgspec typed and validating, one by one": lambda: list(map(typed.decode, values)),
        "msgspec typed, all in one array": lambda: joined.decode(b"[" + b",".join(values) + b"]"),
        "msgspec typed, lines": lambda: typed.decode_lines(b"\n".join(values)),
        "labels: orjson, one by one": lambda: list(map(orjson.loads, labels)),
        "labels: msgspec typed, one by one": lambda: list(map(typed_label.decode, labels)),
    }
    try:
        import polars as pl  # noqa: PLC0415 - a peer to measure against, not a dependency

        parsers["polars read_ndjson"] = lambda: pl.read_ndjson(io.BytesIO(b"\n".join(values)))
    except ImportError:
        print("polars is not installed: left out")
    try:
        from pyarrow import json as arrow  # noqa: PLC0415 - a peer to measure against, not a dependency

        parsers["pyarrow read_json"] = lambda: arrow.read_json(io.BytesIO(b"\n".join(values)))
    except ImportError:
        print("pyarrow is not installed: left out")
    for name, parse in parsers.items():
        measure(f"parse   {name}", parse, rows, repeats)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=20_000)
    arguments.add_argument("--repeats", type=int, default=15)
    given = arguments.parse_args()
    chance, rows, repeats = random.Random(7), given.rows, given.repeats
    plain, rich, labels = events(chance, rows)
    print(f"bytes a row: prediction {len(plain[0])}, with 10 features {len(rich[0])}, label {len(labels[0])}")
    other_parsers(plain, labels, repeats)
    records = rows // 1000
    label_columns = [
        encode_label_batch(
            model="fraud",
            prediction_id=[f"{chance.getrandbits(64):016x}" for _ in range(1000)],
            timestamp_ms=np.arange(1000),
            label=[row % 2 for row in range(1000)],
        )
        for _ in range(records)
    ]
    ways = {
        "single predictions": (decode_predictions, batch_of(plain)),
        "single predictions, 10 features": (decode_predictions, batch_of(rich)),
        "single labels": (decode_labels, batch_of(labels)),
        "1,000 predictions a record": (decode_predictions, batch_of(columns(chance, records, 1000, 0), columnar=True)),
        "1,000 predictions a record, 10 features": (
            decode_predictions,
            batch_of(columns(chance, records, 1000, 10), columnar=True),
        ),
        "20 predictions a record": (decode_predictions, batch_of(columns(chance, rows // 20, 20, 0), columnar=True)),
        "1,000 labels a record": (decode_labels, batch_of(label_columns, columnar=True)),
    }
    for name, (decode, batch) in ways.items():
        measure(f"columns {name}", partial(decode, batch), rows, repeats)


if __name__ == "__main__":
    main()
