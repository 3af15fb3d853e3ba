"""Rows that were read well and are refused for what they say: each gives one dead letter, in the form it came in."""

import json
from typing import Any

import numpy as np
import orjson

from pipeline.core.codec import decode_predictions, decode_resources, encode_dead_letter, refused_rows
from pipeline.core.events import DeadLetter, RecordBatch

COLUMNS = [("layout", b"columns"), ("schema", b"prediction.v1")]


def make_batch(topic: str, records: list[tuple[Any, Any]]) -> RecordBatch:
    """Records with gaps between their offsets, as a topic written in transactions has them."""
    return RecordBatch(
        topic=topic,
        partition=3,
        offsets=[10 + 2 * index for index in range(len(records))],
        keys=[None] * len(records),
        values=[value if isinstance(value, bytes) else orjson.dumps(value) for value, _ in records],
        headers=[headers for _, headers in records],
    )


def prediction(number: int, **more: Any) -> dict[str, Any]:
    return {
        "prediction_id": f"p{number}",
        "model": "m",
        "model_version": "1",
        "timestamp_ms": number,
        "task": "binary",
        "prediction": 1,
        **more,
    }


def columnar(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"n": len(rows), **{name: [row[name] for row in rows] for name in rows[0]}}


def letters_of(batch: RecordBatch, rows: list[int]) -> list[DeadLetter]:
    decoded = decode_predictions(batch).rows
    chosen = np.array(rows, np.int64)
    return refused_rows(batch, decoded.offset[chosen], decoded.row[chosen], "too_late", "why")


def test_a_single_event_goes_with_its_bytes_and_no_row() -> None:
    batch = make_batch("predictions", [(b' {"x":1, ' + orjson.dumps(prediction(0))[1:], None), (prediction(1), None)])
    letter, other = letters_of(batch, [0, 1])
    assert letter == DeadLetter("predictions", 3, 10, None, "too_late", "why", batch.values[0] or b"")
    assert (other.offset, other.value) == (12, batch.values[1])


def test_of_a_columnar_record_only_the_refused_rows_go() -> None:
    shared = {**columnar(prediction(1), prediction(2), prediction(3)), "model_version": "7"}
    shared["features"] = {"amount": [1, None, 2.5], "kind": "x"}
    batch = make_batch("predictions", [(prediction(0), None), (shared, COLUMNS), (prediction(9), None)])
    letters = letters_of(batch, [1, 3, 4])
    assert [(letter.offset, letter.row) for letter in letters] == [(12, 0), (12, 2), (14, None)]
    first, last = prediction(1, model_version="7"), prediction(3, model_version="7")
    assert json.loads(letters[0].value) == {**first, "features": {"amount": 1, "kind": "x"}}
    assert json.loads(letters[1].value) == {**last, "features": {"amount": 2.5, "kind": "x"}}


def test_a_number_beyond_64_bits_in_a_good_row_can_be_written_again() -> None:
    """A NaN beside it makes the record one for the slow path, where 2^70 is an integer, and a fine feature."""
    text = json.dumps({**columnar(prediction(1), prediction(2)), "features": {"x": [float("nan"), 2**70]}})
    batch = make_batch("predictions", [(text.encode(), COLUMNS)])
    assert [letter.reason for letter in decode_predictions(batch).dead] == ["not_finite"]
    (letter,) = letters_of(batch, [0])
    assert letter.row == 1
    assert json.loads(letter.value)["features"] == {"x": 2**70}


def test_readings_go_event_by_event_and_rows_of_a_record_by_row() -> None:
    single = {"host": "a", "timestamp_ms": 5, "metrics": {"cpu": 1, "gpu": 2}}
    columns = {"n": 3, "host": "b", "timestamp_ms": [1, 2, 3], "metrics": {"cpu": [1, 2, 3], "gpu": [4, 5, 6]}}
    batch = make_batch("resources", [(single, None), (columns, [("layout", b"columns")])])
    rows: Any = decode_resources(batch).rows
    assert rows.row.tolist() == [0, 0, 0, 0, 1, 1, 2, 2]
    refused = np.array([0, 1, 4, 5])
    letters = refused_rows(batch, rows.offset[refused], rows.row[refused], "too_late", "why")
    assert [(letter.offset, letter.row) for letter in letters] == [(10, None), (12, 1)]
    assert letters[0].value == batch.values[0]
    assert json.loads(letters[1].value) == {"host": "b", "timestamp_ms": 2, "metrics": {"cpu": 2, "gpu": 5}}


def test_a_whole_backlog_can_be_refused() -> None:
    """A replay of what is long past refuses everything: with 10,000 million comparisons this would never end."""
    count = 100_000
    values = [orjson.dumps(prediction(number)) for number in range(count)]
    batch = RecordBatch("predictions", 0, list(range(count)), [None] * count, values, [None] * count)
    letters = refused_rows(batch, np.arange(count), np.zeros(count, np.int32), "too_late", "why")
    assert len(letters) == count
    assert letters[-1].value == values[-1]
    assert orjson.loads(encode_dead_letter(letters[5]))["offset"] == 5
