"""The benchmark's traffic: binary predictions with features and their labels, the same at every run, made fast.

The ids have a fixed width, so their partition (murmur2, as Java clients do) is computed for all rows at once, and a
record is a row of text filled into a template.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import orjson
from numpy.typing import NDArray

ID_WIDTH = 13
"""``p`` and twelve digits."""

MODEL = "fraud"
VERSION = "3"

_COUNTRIES = ("AT", "BR", "DE", "FR", "IN", "JP", "NG", "US")
_PREDICTION = (
    '{{"prediction_id":"p{:012d}","model":"fraud","model_version":"3","timestamp_ms":{},"task":"binary",'
    '"prediction":{},"score":{:.4f},"features":{{"amount":{:.2f},"age":{},"hour":{},"country":"{}","ratio":{:.3f}}},'
    '"latency_ms":{:.2f}}}'
)
_LABEL = '{{"prediction_id":"p{:012d}","model":"fraud","timestamp_ms":{},"label":{}}}'


@dataclass(frozen=True, slots=True)
class Traffic:
    """n predictions and their n labels as columns.

    Attributes:
        number: int64[n], what the prediction ids are made of.
        partition: int64[n], where a record with this id as its key lies.
        timestamp_ms: int64[n], rising.
        prediction: int64[n], 0 or 1.
        label: int64[n], 0 or 1; right in about 9 of 10 rows.
        label_ms: int64[n], when the label came.
        label_order: int64[n], the rows in the order of their labels.
        columns: the remaining fields and features.
    """

    number: NDArray[np.int64]
    partition: NDArray[np.int64]
    timestamp_ms: NDArray[np.int64]
    prediction: NDArray[np.int64]
    label: NDArray[np.int64]
    label_ms: NDArray[np.int64]
    label_order: NDArray[np.int64]
    columns: dict[str, NDArray[np.float64] | NDArray[np.int64]]

    def __len__(self) -> int:
        return len(self.number)

    @property
    def accuracy(self) -> float:
        """What the job must find over all windows together."""
        return float((self.prediction == self.label).mean())


def make_traffic(rows: int, partitions: int, start_ms: int, span_ms: int, seed: int = 3) -> Traffic:
    """Draw the columns.

    Args:
        rows: n.
        partitions: of the topics.
        start_ms: the first prediction's time.
        span_ms: the predictions are spread evenly over this time; labels follow 1 to 30 seconds after.
        seed: of the random generator.

    Returns:
        The traffic.
    """
    rng = np.random.default_rng(seed)
    number = np.arange(rows, dtype=np.int64)
    timestamp_ms = start_ms + number * span_ms // rows
    prediction = (rng.random(rows) < 0.2).astype(np.int64)
    label_ms = timestamp_ms + rng.integers(1_000, 30_000, rows)
    return Traffic(
        number=number,
        partition=murmur2_partitions(number, partitions),
        timestamp_ms=timestamp_ms,
        prediction=prediction,
        label=np.where(rng.random(rows) < 0.9, prediction, 1 - prediction),
        label_ms=label_ms,
        label_order=np.argsort(label_ms, kind="stable"),
        columns={
            "score": np.round(prediction.astype(np.float64) * 0.5 + rng.random(rows) / 2, 4),
            "amount": np.round(rng.lognormal(3, 1, rows), 2),
            "age": rng.integers(18, 90, rows),
            "hour": rng.integers(0, 24, rows),
            "country": rng.integers(0, len(_COUNTRIES), rows),
            "ratio": np.round(rng.random(rows), 3),
            "latency_ms": np.round(rng.gamma(2, 3, rows), 2),
        },
    )


def ids(number: NDArray[np.int64]) -> list[str]:
    """The prediction ids of some rows."""
    return [f"p{value:012d}" for value in number.tolist()]


def single_predictions(traffic: Traffic, rows: NDArray[np.int64]) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of one record a row, about 245 bytes each."""
    columns = traffic.columns
    fields = zip(
        traffic.number[rows].tolist(),
        traffic.timestamp_ms[rows].tolist(),
        traffic.prediction[rows].tolist(),
        columns["score"][rows].tolist(),
        columns["amount"][rows].tolist(),
        columns["age"][rows].tolist(),
        columns["hour"][rows].tolist(),
        [_COUNTRIES[code] for code in columns["country"][rows].tolist()],
        columns["ratio"][rows].tolist(),
        columns["latency_ms"][rows].tolist(),
        strict=True,
    )
    for row in fields:
        value = _PREDICTION.format(*row).encode()
        yield value[18 : 18 + ID_WIDTH], value


def single_labels(traffic: Traffic, rows: NDArray[np.int64]) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of one record a row, about 75 bytes each."""
    fields = (traffic.number[rows].tolist(), traffic.label_ms[rows].tolist(), traffic.label[rows].tolist())
    for row in zip(*fields, strict=True):
        value = _LABEL.format(*row).encode()
        yield value[18 : 18 + ID_WIDTH], value


def batch_predictions(traffic: Traffic, rows: NDArray[np.int64]) -> bytes:
    """One columnar record of these rows, which must share their partition."""
    columns = traffic.columns
    features: dict[str, object] = {name: columns[name][rows] for name in ("amount", "age", "hour", "ratio")}
    features["country"] = [_COUNTRIES[code] for code in columns["country"][rows].tolist()]
    event = {
        "n": len(rows),
        "prediction_id": ids(traffic.number[rows]),
        "model": MODEL,
        "model_version": VERSION,
        "timestamp_ms": traffic.timestamp_ms[rows],
        "task": "binary",
        "prediction": traffic.prediction[rows],
        "score": columns["score"][rows],
        "features": features,
        "latency_ms": columns["latency_ms"][rows],
    }
    return orjson.dumps(event, option=orjson.OPT_SERIALIZE_NUMPY)


def batch_labels(traffic: Traffic, rows: NDArray[np.int64]) -> bytes:
    """One columnar record of these rows' labels."""
    event = {
        "n": len(rows),
        "prediction_id": ids(traffic.number[rows]),
        "model": MODEL,
        "timestamp_ms": traffic.label_ms[rows],
        "label": traffic.label[rows],
    }
    return orjson.dumps(event, option=orjson.OPT_SERIALIZE_NUMPY)


def murmur2_partitions(number: NDArray[np.int64], partitions: int) -> NDArray[np.int64]:
    """The partition of each row's id, for all rows at once.

    Args:
        number: int64[n], what the ids are made of.
        partitions: of the topic.

    Returns:
        int64[n].
    """
    text = np.empty((len(number), ID_WIDTH), np.uint8)
    text[:, 0] = ord("p")
    left = number.copy()
    for place in range(ID_WIDTH - 1, 0, -1):
        left, digit = np.divmod(left, 10)
        text[:, place] = digit + ord("0")
    mixed = np.uint32(0x5BD1E995)
    with np.errstate(over="ignore"):
        hashed = np.full(len(number), np.uint32(0x9747B28C) ^ np.uint32(ID_WIDTH), np.uint32)
        words = np.ascontiguousarray(text[:, :12]).view("<u4")
        for column in range(3):
            word = words[:, column] * mixed
            word ^= word >> np.uint32(24)
            hashed = (hashed * mixed) ^ (word * mixed)
        # The thirteenth byte is the tail.
        hashed = (hashed ^ text[:, 12].astype(np.uint32)) * mixed
        hashed ^= hashed >> np.uint32(13)
        hashed *= mixed
        hashed ^= hashed >> np.uint32(15)
    return (hashed & np.uint32(0x7FFFFFFF)).astype(np.int64) % partitions
