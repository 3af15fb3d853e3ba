"""What the publisher writes is what the workers read: through the real decoder, without a broker between."""

import math
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.codec import decode_labels, decode_predictions
from pipeline.core.events import Labels, Predictions, RecordBatch
from pipeline.publishing.columns import LABELS, PREDICTIONS, Columns
from pipeline.publishing.encoder import Encoder, Entry, Record

GROUP = (PREDICTIONS, "m", "1", "multiclass")


def encode(entries: list[Entry], batch_rows: int = 5) -> list[Record]:
    def reject(rows: int, why: str) -> None:
        raise AssertionError(f"{rows} rows rejected: {why}")

    return list(Encoder(batch_rows, 100_000, reject).records(entries, {"predictions": 1, "labels": 1}, {}))


def as_batch(records: list[Record]) -> RecordBatch:
    headers = [[(name, str(value).encode()) for name, value in record.headers] for record in records]
    return RecordBatch(
        records[0].stream.topic,
        0,
        range(len(records)),
        [record.key for record in records],
        [record.value for record in records],
        headers,
    )


labels = st.text("abc", min_size=1, max_size=2) | st.integers(-5, 5) | st.booleans()
names = st.sampled_from(["x", "y", "z"])
rows = st.fixed_dictionaries(
    {"prediction": labels, "timestamp_ms": st.integers(0, 10**12)},
    optional={
        "score": st.none() | st.floats(0, 1),
        "scores": st.dictionaries(names, st.floats(0, 1), max_size=2),
        "features": st.dictionaries(
            names, st.none() | st.integers(-9, 9) | st.text("ab", max_size=2) | st.just(math.nan), max_size=3
        ),
        "embedding": st.lists(st.floats(-9, 9), max_size=3) | st.just(np.arange(3, dtype=np.float32)),
        "segments": st.dictionaries(names, st.text("ab", max_size=1) | st.integers(0, 2), max_size=2),
        "latency_ms": st.floats(0, 100),
        "principal": st.text("ab", max_size=3),
        "input_digest": st.text("ab", max_size=3),
    },
)


@settings(deadline=None)  # the first example compiles kernels
@given(st.lists(rows, min_size=1, max_size=12))
def test_rows_with_any_optional_fields_are_read_as_logged(given_rows: list[dict[str, Any]]) -> None:
    entries: list[Entry] = [
        (GROUP, f"id-{at}", *(row.get(name) for name in PREDICTIONS.row_fields[1:]))
        for at, row in enumerate(given_rows)
    ]
    decoded = decode_predictions(as_batch(encode(entries)))
    assert decoded.dead == []
    read = decoded.rows
    assert isinstance(read, Predictions)
    assert read.timestamp_ms.tolist() == [row["timestamp_ms"] for row in given_rows]
    score = [row.get("score") for row in given_rows]
    np.testing.assert_array_equal(read.score, np.array(score, float))
    names_read = [read.classes[index] for index in read.value.tolist()]
    assert names_read == [
        label if isinstance(label := row["prediction"], str) else str(int(label)) for row in given_rows
    ]
    segments_read = [set(read.segment_sets[index]) for index in read.segment_set.tolist()]
    assert segments_read == [{f"{k}={v}" for k, v in row.get("segments", {}).items()} for row in given_rows]


def test_columns_are_read_as_logged() -> None:
    n = 12
    values = np.arange(n)
    part = Columns(
        GROUP,
        [f"id-{at}" for at in range(n)],
        {
            "timestamp_ms": 7,
            "prediction": values % 3,
            "score": values.astype(np.float32) / 16,
            "features": {"x": values, "kind": ["a", None] * 6, "constant": 2.5},
            "segments": {"country": ["DE", "FR"] * 6, "tier": "gold"},
        },
    )
    decoded = decode_predictions(as_batch(encode([part])))
    assert decoded.dead == []
    read = decoded.rows
    assert isinstance(read, Predictions)
    assert [read.classes[index] for index in read.value.tolist()] == [str(at % 3) for at in range(n)]
    assert read.score.tolist() == (values / 16).tolist()
    features: dict[str, list[float]] = {"x": [], "constant": []}
    for table in read.features:
        for name, numbers in features.items():
            numbers.extend(table.columns[name].numbers.tolist())
    assert features == {"x": values.tolist(), "constant": [2.5] * n}
    countries = [read.segment_sets[index] for index in read.segment_set.tolist()]
    assert countries == [(f"country={'FR' if at % 2 else 'DE'}", "tier=gold") for at in range(n)]


def test_labels_are_read_as_logged() -> None:
    entries: list[Entry] = [((LABELS, "m"), f"id-{at}", 100 + at, at % 2) for at in range(7)]
    entries.append(Columns((LABELS, "m"), ["a", "b"], {"timestamp_ms": 200, "label": np.array([1.0, 0.0])}))
    decoded = decode_labels(as_batch(encode(entries)))
    assert decoded.dead == []
    read = decoded.rows
    assert isinstance(read, Labels)
    assert read.timestamp_ms.tolist() == [*range(100, 107), 200, 200]
    assert read.value.view(np.float64).tolist() == [0, 1, 0, 1, 0, 1, 0, 1, 0]
