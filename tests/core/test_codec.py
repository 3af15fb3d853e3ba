import base64
import json
import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import pytest
from jsonschema import Draft202012Validator

from pipeline.core.codec import (
    MAX_BATCH_ROWS,
    class_name,
    decode_labels,
    decode_models,
    decode_predictions,
    decode_resources,
    encode_columns,
    encode_dead_letter,
    encode_label_batch,
    encode_prediction_batch,
    hash_key,
    hash_members,
)
from pipeline.core.codec.features import MAX_TABLE_FEATURES
from pipeline.core.errors import BadEventError
from pipeline.core.events import (
    DeadLetter,
    Decoded,
    Group,
    LabelKind,
    Labels,
    Predictions,
    RecordBatch,
    Resources,
    Task,
)
from pipeline.core.kernels.hashing import murmur3_128
from pipeline.schemas import SCHEMA_NAMES, load_schema

Headers = Sequence[tuple[str, bytes | None]]
COLUMNS: Headers = [("schema", b"prediction.v1"), ("layout", b"columns")]
LABEL_COLUMNS: Headers = [("schema", b"label.v1"), ("layout", b"columns")]

PREDICTION: dict[str, Any] = {
    "prediction_id": "a",
    "model": "fraud",
    "model_version": "3",
    "timestamp_ms": 1000,
    "task": "binary",
    "prediction": 1,
}
LABEL: dict[str, Any] = {"prediction_id": "a", "model": "fraud", "timestamp_ms": 1000, "label": 1}
RESOURCE: dict[str, Any] = {"host": "h", "timestamp_ms": 1000, "metrics": {"cpu.usage_ratio": 0.5}}
MODEL: dict[str, Any] = {
    "model": "fraud",
    "model_version": "3",
    "timestamp_ms": 1000,
    "task": "binary",
    "stage": "champion",
}
BATCH: dict[str, Any] = {**PREDICTION, "n": 2, "prediction_id": ["a", "b"], "prediction": [0, 1]}


def record_batch(*records: bytes | dict[str, Any] | tuple[Any, Headers | None] | None) -> RecordBatch:
    pairs = [record if isinstance(record, tuple) else (record, None) for record in records]
    values = [orjson.dumps(value) if isinstance(value, dict) else value for value, _ in pairs]
    # Offsets have gaps, as in a topic with transactions.
    offsets = [10 + 3 * index for index in range(len(pairs))]
    return RecordBatch("predictions", 3, offsets, [None] * len(pairs), values, [headers for _, headers in pairs])


def predictions(result: Decoded) -> Predictions:
    assert isinstance(result.rows, Predictions)
    return result.rows


def labels(result: Decoded) -> Labels:
    assert isinstance(result.rows, Labels)
    return result.rows


def resources(result: Decoded) -> Resources:
    assert isinstance(result.rows, Resources)
    return result.rows


def prediction(**changes: Any) -> dict[str, Any]:
    return {**PREDICTION, **changes}


def raw(**changes: str) -> bytes:
    """A prediction with some fields as literal JSON."""
    fields = {name: json.dumps(value) for name, value in PREDICTION.items()} | changes
    return ("{" + ",".join(f'"{name}":{text}' for name, text in fields.items()) + "}").encode()


def without(row: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != name}


BAD_PREDICTIONS: list[tuple[str, bytes | dict[str, Any] | None]] = [
    ("null_record", None),
    ("not_json", b""),
    ("not_json", b" "),
    ("not_json", b"{"),
    ("not_json", b"hello"),
    ("not_json", b"\x00\x01\xff\xfe"),
    ("not_json", b"\xef\xbb\xbf{}"),
    ("not_json", orjson.dumps(PREDICTION) + b"x"),
    ("not_json", orjson.dumps(PREDICTION) * 2),
    ("not_json", orjson.dumps(PREDICTION)[:-1]),
    ("not_json", orjson.dumps(PREDICTION).decode().encode("utf-16")),
    ("not_json", raw(model='"\\ud800"')),
    ("not_json", raw(unknown='"\\udc00"')),
    ("not_json", raw(unknown='{"\\ud800":1}')),
    ("not_json", raw()[:-1] + b',"principal":"\xff"}'),
    ("not_json", raw()[:-1] + b',"unknown":"\xff"}'),
    ("not_json", raw()[:-1] + b',"unknown":"\xed\xa0\x80"}'),
    ("not_json", raw(unknown="[" * 5000 + "]" * 5000)),
    ("not_json", b"[" * 100_000),
    ("not_json", raw(score="0x1")),
    ("not_json", raw(score="01")),
    ("not_an_object", b"[]"),
    ("not_an_object", b"1"),
    ("not_an_object", b"null"),
    ("not_an_object", b'"text"'),
    ("not_an_object", b"NaN"),
    ("not_an_object", b"[" + orjson.dumps(PREDICTION) + b"]"),
    ("missing_field", b"{}"),
    *[("missing_field", without(PREDICTION, name)) for name in PREDICTION],
    *[("wrong_type", prediction(**{name: None})) for name in PREDICTION],
    *[("wrong_type", prediction(**{name: []})) for name in PREDICTION],
    *[("wrong_type", prediction(**{name: {}})) for name in PREDICTION],
    *[("wrong_type", prediction(**{name: 5})) for name in ("prediction_id", "model", "model_version", "task")],
    *[
        ("empty", prediction(**{name: ""}))
        for name in ("prediction_id", "model", "model_version", "task", "prediction")
    ],
    ("wrong_type", prediction(timestamp_ms="1000")),
    ("wrong_type", prediction(timestamp_ms=True)),
    ("wrong_type", prediction(timestamp_ms=1.5)),
    ("out_of_range", prediction(timestamp_ms=-1)),
    ("out_of_range", prediction(timestamp_ms=253402300800000)),
    ("out_of_range", raw(timestamp_ms=str(2**70))),
    ("out_of_range", raw(timestamp_ms="1e300")),
    ("not_finite", raw(timestamp_ms="NaN")),
    ("not_finite", raw(timestamp_ms="1e999")),
    ("not_finite", raw(score="NaN")),
    ("not_finite", raw(score="-Infinity")),
    ("not_finite", raw(features='{"a":Infinity}')),
    ("not_finite", raw(prediction="NaN")),
    ("not_finite", raw(prediction="1" + "0" * 10_000)),
    ("unknown_value", prediction(task="clustering")),
    ("unknown_value", prediction(task="Binary")),
    ("too_long", prediction(prediction_id="x" * 129)),
    ("too_long", prediction(model="x" * 129)),
    ("too_long", prediction(model_version="x" * 65)),
    ("too_long", prediction(model="x" * 1_000_000)),
    ("too_long", prediction(prediction="x" * 129)),
    ("wrong_type", prediction(prediction=0.5)),
    ("out_of_range", raw(prediction=str(2**70))),
    ("out_of_range", raw(prediction=str(-(2**63)))),
    ("wrong_type", prediction(task="regression", prediction="1")),
    ("wrong_type", prediction(task="regression", prediction=True)),
    ("wrong_type", prediction(task="regression", prediction=[1.0])),
    ("out_of_range", prediction(task="regression", prediction=1e30)),
    ("wrong_type", prediction(task="multilabel", prediction="a")),
    ("wrong_type", prediction(task="multilabel", prediction=[["a"]])),
    ("wrong_type", prediction(task="multilabel", prediction=[None])),
    ("wrong_type", prediction(task="multilabel", prediction=[0.5])),
    ("empty", prediction(task="multilabel", prediction=[""])),
    ("too_many", prediction(task="multilabel", prediction=list(range(1001)))),
    ("wrong_type", prediction(task="ranking", prediction={"a": 1})),
    ("wrong_type", prediction(task="ranking", prediction=["a", True])),
    ("too_many", prediction(task="ranking", prediction=list(range(1001)))),
    ("wrong_type", prediction(score="0.5")),
    ("wrong_type", prediction(score=True)),
    ("out_of_range", prediction(score=1.0000001)),
    ("out_of_range", prediction(score=-0.1)),
    ("wrong_type", prediction(scores=[0.5])),
    ("out_of_range", prediction(scores={"a": 2})),
    ("empty", prediction(scores={"": 0.5})),
    ("too_many", prediction(scores={str(index): 0.5 for index in range(1001)})),
    ("wrong_type", prediction(features=[1])),
    ("wrong_type", prediction(features="x")),
    ("wrong_type", prediction(features={"a": [1]})),
    ("wrong_type", prediction(features={"a": {}})),
    ("empty", prediction(features={"": 1})),
    ("too_long", prediction(features={"x" * 129: 1})),
    ("too_long", prediction(features={"a": "x" * 1025})),
    ("out_of_range", prediction(features={"a": 1.1e100})),
    ("too_many", prediction(features={str(index): 1 for index in range(513)})),
    ("wrong_type", prediction(segments=["a"])),
    ("wrong_type", prediction(segments={"a": 1.5})),
    ("wrong_type", prediction(segments={"a": []})),
    ("bad_name", prediction(segments={"a=b": "c"})),
    ("too_long", prediction(segments={"a": "x" * 129})),
    ("out_of_range", raw(segments='{"a":' + str(2**70) + "}")),
    ("too_many", prediction(segments={str(index): "x" for index in range(9)})),
    ("wrong_type", prediction(embedding=1)),
    ("wrong_type", prediction(embedding=[None])),
    ("wrong_type", prediction(embedding=["1"])),
    ("too_many", prediction(embedding=[0] * 4097)),
    ("out_of_range", prediction(latency_ms=-1)),
    ("out_of_range", prediction(latency_ms=1.1e9)),
    ("wrong_type", prediction(latency_ms="4")),
    ("wrong_type", prediction(principal=5)),
    ("too_long", prediction(principal="x" * 257)),
    ("too_long", prediction(input_digest="x" * 129)),
]


@pytest.mark.parametrize(("reason", "value"), BAD_PREDICTIONS)
def test_a_bad_prediction_is_a_dead_letter_and_its_neighbours_count(
    reason: str, value: bytes | dict[str, Any] | None
) -> None:
    batch = record_batch(prediction(prediction_id="before"), value, prediction(prediction_id="after"))
    result = decode_predictions(batch)
    assert predictions(result).offset.tolist() == [10, 16]
    (letter,) = result.dead
    assert (letter.topic, letter.partition, letter.offset, letter.row) == ("predictions", 3, 13, None)
    assert letter.reason == reason
    assert letter.detail
    assert letter.value == (batch.values[1] or b"")


LIMITS: list[tuple[str, Any, Any]] = [
    ("prediction_id", "x" * 128, "x" * 129),
    ("model", "é" * 128, "é" * 129),
    ("model_version", "x" * 64, "x" * 65),
    ("timestamp_ms", 253402300799999, 253402300800000),
    ("timestamp_ms", 0, -1),
    ("prediction", 2**63 - 1, 2**63),
    ("prediction", -(2**63) + 1, -(2**63)),
    ("prediction", "😀" * 128, "😀" * 129),
    ("score", 1, 1.0000000000000002),
    ("score", 0, -5e-324),
    ("latency_ms", 1e9, 1000000000.0000001),
    ("features", {"x" * 128: "y" * 1024}, {"x" * 128: "y" * 1025}),
    ("features", {"x" * 128: 1}, {"x" * 129: 1}),
    ("features", {"x": 1e100, "y": -1e100}, {"x": 1.0000000000000002e100}),
    ("features", {str(index): 1 for index in range(512)}, {str(index): 1 for index in range(513)}),
    ("segments", {str(index): 1 for index in range(8)}, {str(index): 1 for index in range(9)}),
    ("segments", {"x" * 128: "y" * 128}, {"x": "y" * 129}),
    ("segments", {"x": ""}, {"x=": ""}),
    ("segments", {"x": 2**63 - 1}, {"x": 2**63}),
    ("scores", {str(index): 1 for index in range(1000)}, {str(index): 1 for index in range(1001)}),
    ("embedding", [1e100] * 4096, [1e100] * 4097),
    ("embedding", [], [1.1e100]),
    ("principal", "x" * 256, "x" * 257),
    ("input_digest", "x" * 128, "x" * 129),
]


@pytest.mark.parametrize(("field", "last", "beyond"), LIMITS)
def test_both_layouts_and_the_schema_have_the_same_limits(field: str, last: Any, beyond: Any) -> None:
    validator = Draft202012Validator(load_schema("prediction.v1"))
    for value, good in ((last, True), (beyond, False)):
        row = prediction(**{field: value})
        assert validator.is_valid(row) is good
        columns = {name: [element] for name, element in row.items()} | {"n": 1}
        for record in (row, (columns, COLUMNS)):
            result = decode_predictions(record_batch(record))
            assert (len(result.rows), len(result.dead)) == ((1, 0) if good else (0, 1))


@pytest.mark.parametrize("value", [9.2e18, -9.2e18, 2**63 - 1, 2.0**63, -(2.0**63), 1e30])
def test_numbers_have_the_same_limit_in_predictions_and_labels(value: float) -> None:
    good = abs(value) < 2**63
    row, label = prediction(task="regression", prediction=value), {**LABEL, "label": value}
    for decode, event, layout, field in (
        (decode_predictions, row, COLUMNS, "prediction"),
        (decode_labels, label, LABEL_COLUMNS, "label"),
    ):
        columns = {**event, "n": 2, "prediction_id": ["a", "b"], field: [value, 0.5]}
        assert len(decode(record_batch(event)).rows) == good
        result = decode(record_batch((columns, layout)))
        assert (len(result.rows), len(result.dead)) == (1 + good, 1 - good)


BAD_LABELS: list[tuple[str, bytes | dict[str, Any] | None]] = [
    ("null_record", None),
    ("not_json", b"{"),
    *[("missing_field", without(LABEL, name)) for name in LABEL],
    *[("wrong_type", {**LABEL, name: None}) for name in LABEL],
    ("empty", {**LABEL, "label": ""}),
    ("too_long", {**LABEL, "label": "x" * 129}),
    ("out_of_range", {**LABEL, "label": 1e30}),
    ("out_of_range", orjson.dumps(LABEL)[:-2] + str(2**70).encode() + b"}"),
    ("not_finite", orjson.dumps(LABEL)[:-2] + b"NaN}"),
    ("wrong_type", {**LABEL, "label": [0.5]}),
    ("too_many", {**LABEL, "label": list(range(1001))}),
    ("wrong_type", {**LABEL, "label": {"item": "1"}}),
    ("wrong_type", {**LABEL, "label": {"item": None}}),
    ("empty", {**LABEL, "label": {"": 1}}),
    ("too_many", {**LABEL, "label": {str(index): 1 for index in range(1001)}}),
]


@pytest.mark.parametrize(("reason", "value"), BAD_LABELS)
def test_a_bad_label_is_a_dead_letter_and_its_neighbours_count(
    reason: str, value: bytes | dict[str, Any] | None
) -> None:
    result = decode_labels(record_batch(LABEL, value, LABEL))
    assert labels(result).offset.tolist() == [10, 16]
    assert [(letter.offset, letter.reason) for letter in result.dead] == [(13, reason)]


@pytest.mark.parametrize(
    ("reason", "value"),
    [
        ("null_record", None),
        ("not_an_object", b"[]"),
        *[("missing_field", without(RESOURCE, name)) for name in RESOURCE],
        ("wrong_type", {**RESOURCE, "metrics": {"a": "1"}}),
        ("wrong_type", {**RESOURCE, "metrics": {"a": True}}),
        ("out_of_range", {**RESOURCE, "metrics": {"a": 1e101}}),
        ("too_many", {**RESOURCE, "metrics": {str(index): 1 for index in range(1001)}}),
        ("too_long", {**RESOURCE, "model_version": "x" * 65}),
    ],
)
def test_a_bad_resource_is_a_dead_letter(reason: str, value: bytes | dict[str, Any] | None) -> None:
    result = decode_resources(record_batch(RESOURCE, value, RESOURCE))
    assert resources(result).offset.tolist() == [10, 16]
    assert [(letter.offset, letter.reason) for letter in result.dead] == [(13, reason)]


@pytest.mark.parametrize(
    ("reason", "record"),
    [
        ("null_record", None),
        *[("missing_field", without(MODEL, name)) for name in MODEL],
        ("unknown_value", {**MODEL, "stage": "best"}),
        ("wrong_type", {**MODEL, "positive_label": 0.5}),
        ("wrong_type", {**MODEL, "config": []}),
        ("wrong_type", {**MODEL, "parameters": {"count": 1.5}}),
        ("out_of_range", {**MODEL, "parameters": {"count": -1}}),
        ("wrong_type", {**MODEL, "metrics": {"test": 1}}),
        ("wrong_type", {**MODEL, "dependencies": {"numpy": 2}}),
        ("unknown_layout", ({**MODEL, "n": 1}, [("layout", b"columns")])),
        ("unknown_schema", (MODEL, [("schema", b"prediction.v1")])),
    ],
)
def test_a_bad_model_is_a_dead_letter(reason: str, record: Any) -> None:
    good, dead = decode_models(record_batch(MODEL, record, {**MODEL, "timestamp_ms": 5.0}))
    assert [(offset, event["timestamp_ms"]) for offset, event in good] == [(10, 1000), (16, 5)]
    assert [(letter.offset, letter.reason) for letter in dead] == [(13, reason)]


@pytest.mark.parametrize(
    ("reason", "value"),
    [
        ("not_json", b"{"),
        ("not_an_object", b"[]"),
        ("missing_field", without(BATCH, "n")),
        ("missing_field", without(BATCH, "prediction_id")),
        ("wrong_type", {**BATCH, "n": "2"}),
        ("wrong_type", {**BATCH, "n": True}),
        ("wrong_type", {**BATCH, "n": 1.5}),
        ("wrong_type", {**BATCH, "n": [2]}),
        ("out_of_range", {**BATCH, "n": 0}),
        ("out_of_range", {**BATCH, "n": -1}),
        ("out_of_range", {**BATCH, "n": 2**62}),
        ("out_of_range", {**BATCH, "n": 1e300}),
        ("out_of_range", {**BATCH, "n": MAX_BATCH_ROWS + 1, "prediction_id": ["x"] * (MAX_BATCH_ROWS + 1)}),
        ("wrong_type", {**BATCH, "prediction_id": "a"}),
        ("length_mismatch", {**BATCH, "n": 3}),
        ("length_mismatch", {**BATCH, "prediction": [1]}),
        ("length_mismatch", {**BATCH, "score": [0.5, 0.5, 0.5]}),
        ("length_mismatch", {**BATCH, "features": {"a": [1, 2, 3]}}),
        ("length_mismatch", {**BATCH, "segments": {"a": []}}),
        ("too_many", {**BATCH, "features": {str(index): [1, 2] for index in range(513)}}),
    ],
)
def test_a_batch_that_is_wrong_as_a_whole_is_one_dead_letter(reason: str, value: Any) -> None:
    result = decode_predictions(record_batch(PREDICTION, (value, COLUMNS), (BATCH, COLUMNS)))
    assert predictions(result).offset.tolist() == [10, 16, 16]
    assert [(letter.offset, letter.row, letter.reason) for letter in result.dead] == [(13, None, reason)]


@pytest.mark.parametrize(
    ("reason", "field", "good", "bad"),
    [
        ("wrong_type", "prediction_id", "a", 1),
        ("empty", "prediction_id", "a", ""),
        ("wrong_type", "model", "fraud", None),
        ("too_long", "model_version", "3", "x" * 65),
        ("out_of_range", "timestamp_ms", 5, -5),
        ("unknown_value", "task", "binary", "guess"),
        ("wrong_type", "prediction", 1, [1]),
        ("wrong_type", "prediction", 1, 0.5),
        ("out_of_range", "score", 0.5, 2),
        ("not_finite", "score", 0.5, math.nan),
        ("wrong_type", "latency_ms", None, "1"),
        ("wrong_type", "principal", None, 1),
    ],
)
def test_a_bad_row_of_a_batch_is_lost_alone(reason: str, field: str, good: Any, bad: Any) -> None:
    batch = {**PREDICTION, "n": 3, "prediction_id": ["a", "b", "c"], field: [good, bad, good]}
    result = decode_predictions(record_batch((json.dumps(batch).encode(), COLUMNS)))
    assert predictions(result).row.tolist() == [0, 2]
    (letter,) = result.dead
    assert (letter.offset, letter.row, letter.reason) == (10, 1, reason)
    # The dead letter holds the row as the single event it stands for.
    row = json.loads(letter.value)
    assert repr(row[field]) == repr(bad)
    assert set(row) == set(PREDICTION) | {field}


@pytest.mark.parametrize("field", ["features", "segments", "scores"])
def test_a_bad_cell_of_a_map_loses_its_row_alone(field: str) -> None:
    batch = {**BATCH, field: {"a": [0, []], "b": 1}}
    result = decode_predictions(record_batch((batch, COLUMNS)))
    assert predictions(result).row.tolist() == [0]
    assert [(letter.row, letter.reason) for letter in result.dead] == [(1, "wrong_type")]
    assert json.loads(result.dead[0].value)[field] == {"a": [], "b": 1}


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        (None, None),
        ([], None),
        ([("schema", b"prediction.v1")], None),
        ([("trace", None), ("other", b"\xff")], None),
        ([("ce_type", b"prediction.v1"), ("ce_specversion", b"1.0"), ("ce_id", b"7"), ("ce_source", b"/x")], None),
        ([("ce_type", b"com.example.prediction.v1")], None),
        ([("schema", b"prediction.v1"), ("ce_type", b"com.example.scored")], None),
        ([("schema", b"label.v1"), ("schema", b"prediction.v1")], None),
        ([("schema", b"prediction.v2")], "unknown_schema"),
        ([("schema", b"label.v1")], "unknown_schema"),
        ([("schema", b"")], "unknown_schema"),
        ([("schema", None)], "unknown_schema"),
        ([("schema", b"\xff\xfe")], "unknown_schema"),
        ([("ce_type", b"com.example.scored")], "unknown_schema"),
        ([("ce_type", b"myprediction.v1")], "unknown_schema"),
        ([("ce_type", b"prediction.v1"), ("ce_specversion", b"2.0")], "unknown_schema"),
        ([("layout", b"rows")], "unknown_layout"),
        ([("layout", None)], "unknown_layout"),
    ],
)
def test_headers_say_what_a_record_holds(headers: Headers | None, reason: str | None) -> None:
    result = decode_predictions(record_batch(PREDICTION, (PREDICTION, headers)))
    assert predictions(result).offset.tolist() == ([10, 13] if reason is None else [10])
    assert [letter.reason for letter in result.dead] == ([] if reason is None else [reason])


def test_singles_and_batches_mix_in_log_order() -> None:
    one = prediction(prediction_id="one", prediction="yes", features={"x": 1.5}, segments={"country": "DE"})
    batch = {
        **BATCH,
        "prediction": ["no", "yes"],
        "features": {"x": [2, None], "y": ["b", "a"]},
        "segments": {"country": "FR"},
    }
    two = prediction(prediction_id="two", prediction=False, model_version="4", score=0.25, latency_ms=3)
    result = decode_predictions(record_batch(one, (batch, COLUMNS), b"{", two))
    rows = predictions(result)
    assert rows.offset.tolist() == [10, 13, 13, 19]
    assert rows.row.tolist() == [0, 0, 1, 0]
    assert [letter.offset for letter in result.dead] == [16]
    assert [tuple(map(int, key)) for key in rows.key] == [hash_key("fraud", name) for name in ("one", "a", "b", "two")]
    assert rows.groups == [Group("fraud", "3", Task.BINARY), Group("fraud", "4", Task.BINARY)]
    assert rows.group.tolist() == [0, 0, 0, 1]
    assert [rows.classes[code] for code in rows.value] == ["yes", "no", "yes", "0"]
    assert [rows.segment_sets[code] for code in rows.segment_set] == [("country=DE",), *[("country=FR",)] * 2, ()]
    np.testing.assert_array_equal(rows.score, [np.nan] * 3 + [0.25])
    np.testing.assert_array_equal(rows.latency_ms, [np.nan] * 3 + [3])
    (table,) = rows.features
    assert (table.group, table.rows.tolist()) == (0, [0, 1, 2])
    np.testing.assert_array_equal(table.columns["x"].numbers, [1.5, 2, np.nan])
    assert table.columns["x"].codes is None
    codes = table.columns["y"].codes
    assert codes is not None
    assert [table.columns["y"].texts[code] if code >= 0 else None for code in codes] == [None, "b", "a"]
    assert {
        name: getattr(rows, name).dtype.name for name in ("offset", "row", "key", "group", "value", "segment_set")
    } == {
        "offset": "int64",
        "row": "int32",
        "key": "uint64",
        "group": "int32",
        "value": "int64",
        "segment_set": "int32",
    }


def test_an_empty_batch_and_a_batch_of_dead_records_give_empty_columns() -> None:
    for decode in (decode_predictions, decode_labels, decode_resources):
        for batch in (record_batch(), record_batch(None, b"{")):
            result = decode(batch)
            assert len(result.rows) == 0
            assert len(result.dead) == len(batch)


def test_classes_have_one_name_however_they_are_written() -> None:
    assert [class_name(value) for value in (True, 1, 1.0, "1")] == ["1"] * 4
    assert [class_name(value) for value in (False, 0, -0.0, -3, 2**63 - 1)] == ["0", "0", "0", "-3", str(2**63 - 1)]
    rows = predictions(
        decode_predictions(record_batch(*[prediction(prediction=one) for one in (True, 1, "1", 1.0, 0)]))
    )
    assert rows.classes == ["1", "0"]
    assert rows.value.tolist() == [0, 0, 0, 0, 1]
    assert len(rows.groups) == 1
    with pytest.raises(BadEventError, match="wrong_type"):
        class_name(None)


def test_members_have_one_hash_however_they_are_written() -> None:
    multilabel = [["b", 1, True], ["1", "b"], ["b", "c"]]
    ranked = [["b", 1], [1.0, "b"]]
    records = [prediction(task="multilabel", prediction=one) for one in multilabel]
    records += [prediction(task="ranking", prediction=one) for one in ranked]
    values = predictions(decode_predictions(record_batch(*records))).value.tolist()
    assert values[0] == values[1] == values[4]
    assert len(set(values)) == 3
    first = murmur3_128(orjson.dumps(["1", "b"]))[0]
    assert int(hash_members([["1", "b"]])[0]) % 2**64 == first
    truth = [
        {**LABEL, "label": ["b", True]},
        {**LABEL, "label": {"b": 1, "1": -0.0}},
        {**LABEL, "label": {"1": 0, "b": 1.0}},
        {**LABEL, "label": {"b": 2, "1": 0}},
    ]
    seen = labels(decode_labels(record_batch(*truth)))
    assert seen.kind.tolist() == [LabelKind.SET, LabelKind.GAINS, LabelKind.GAINS, LabelKind.GAINS]
    assert seen.value[0] == values[0]
    assert seen.value[1] == seen.value[2] != seen.value[3]


def test_labels_have_the_kind_they_came_in() -> None:
    given = [True, 3, 0.5, 2**53, 2**53 + 1, "yes", 1e18]
    rows = labels(decode_labels(record_batch(*[{**LABEL, "label": one} for one in given])))
    number, text = LabelKind.NUMBER, LabelKind.TEXT
    assert rows.kind.tolist() == [number, number, number, number, text, text, number]
    assert rows.value.view(np.float64)[[0, 1, 2, 3, 6]].tolist() == [1, 3, 0.5, 2.0**53, 1e18]
    assert [rows.classes[code] for code in rows.value[[4, 5]]] == [str(2**53 + 1), "yes"]


def test_labels_in_columns_are_the_same_as_single_ones() -> None:
    for column in ([1, 0.5, True], ["a", "b", "a"], ["a", 1, 2**60], [["a"], [], ["b", "a"]], [{"a": 1}, {}, {"b": 0}]):
        value = encode_label_batch(model="fraud", prediction_id=["x", "y", "z"], timestamp_ms=[1, 2, 3], label=column)
        together = labels(decode_labels(record_batch((value, LABEL_COLUMNS))))
        events = [
            {**LABEL, "prediction_id": id_, "timestamp_ms": at, "label": one}
            for id_, at, one in zip("xyz", (1, 2, 3), column, strict=True)
        ]
        single = labels(decode_labels(record_batch(*events)))
        assert together.row.tolist() == [0, 1, 2]
        for name in ("key", "timestamp_ms", "kind", "value", "model"):
            np.testing.assert_array_equal(getattr(together, name), getattr(single, name))
        assert (together.classes, together.models) == (single.classes, single.models)


def test_a_repeated_key_has_its_last_value() -> None:
    good = b'{"timestamp_ms":"x",' + raw()[1:]
    bad = raw()[:-1] + b',"timestamp_ms":"x"}'
    result = decode_predictions(record_batch(good, bad))
    assert predictions(result).timestamp_ms.tolist() == [1000]
    assert [letter.reason for letter in result.dead] == ["wrong_type"]


def test_records_that_are_json_only_together_do_not_pass() -> None:
    whole = orjson.dumps(PREDICTION)
    opened = whole[:-1] + b',"x":[{"y":1}'
    closed = b'{"z":1}]}'
    result = decode_predictions(record_batch(whole + b"," + whole, opened, closed))
    assert len(result.rows) == 0
    assert [letter.reason for letter in result.dead] == ["not_json"] * 3


def test_resources_give_a_row_a_metric_and_leave_nulls_out() -> None:
    batch = {"n": 2, "host": ["h", "g"], "timestamp_ms": [5, 6], "metrics": {"cpu.usage_ratio": [0.25, None], "b": 4}}
    empty = {**RESOURCE, "metrics": {}}
    result = decode_resources(record_batch(RESOURCE, (batch, [("layout", b"columns")]), empty))
    rows = resources(result)
    assert result.dead == []
    assert rows.events == 4
    seen = zip(rows.offset, rows.timestamp_ms, rows.host, rows.metric, rows.value, strict=True)
    assert [(o, t, rows.hosts[h], rows.metrics[m], v) for o, t, h, m, v in seen] == [
        (10, 1000, "h", "cpu.usage_ratio", 0.5),
        (13, 5, "h", "cpu.usage_ratio", 0.25),
        (13, 5, "h", "b", 4.0),
        (13, 6, "g", "b", 4.0),
    ]


def test_ever_new_feature_names_begin_another_table_instead_of_filling_memory() -> None:
    count = 8
    records = [prediction(features={f"{row}.{index}": index for index in range(500)}) for row in range(count)]
    rows = predictions(decode_predictions(record_batch(*records)))
    assert [len(table.columns) for table in rows.features] == [1000] * (count // 2)
    assert max(len(table.columns) for table in rows.features) <= MAX_TABLE_FEATURES
    assert sorted(row for table in rows.features for row in table.rows.tolist()) == list(range(count))


def test_rows_with_different_features_keep_their_order() -> None:
    given: list[dict[str, Any]] = [{"a": 1}, {"b": "x"}, {"a": 2, "b": 3}, {}, {"a": 4}]
    rows = predictions(decode_predictions(record_batch(*[prediction(features=one) for one in given])))
    (table,) = rows.features
    assert table.rows.tolist() == [0, 1, 2, 4]
    np.testing.assert_array_equal(table.columns["a"].numbers, [1, np.nan, 2, 4])
    np.testing.assert_array_equal(table.columns["b"].numbers, [np.nan, np.nan, 3, np.nan])
    codes = table.columns["b"].codes
    assert codes is not None
    assert codes.tolist() == [-1, 0, -1, -1]


def test_columns_are_written_from_whatever_holds_them() -> None:
    value = encode_columns(
        {
            "text": np.array(["a", "b", "c"]),
            "gaps": np.arange(6)[::2],
            "some": np.array([1.5, np.nan, -np.inf]),
            "small": np.array([0.5, 1, 2], np.float32),
            "one": np.float64(2),
            "bools": np.array([True, False, True]),
            "tuple": (1, None, "x"),
        },
        3,
    )
    assert orjson.loads(value) == {
        "n": 3,
        "text": ["a", "b", "c"],
        "gaps": [0, 2, 4],
        "some": [1.5, None, None],
        "small": [0.5, 1, 2],
        "one": 2,
        "bools": [True, False, True],
        "tuple": [1, None, "x"],
    }
    for bad in (object(), 2**70, "\ud800"):
        with pytest.raises(TypeError):
            encode_columns({"a": bad}, 1)


def test_a_prediction_batch_leaves_absent_fields_out() -> None:
    value = encode_prediction_batch(
        model="m", model_version="1", task="binary", prediction_id=["a"], timestamp_ms=1, prediction=[1], score=None
    )
    assert set(orjson.loads(value)) == {"n", *PREDICTION}
    assert decode_predictions(record_batch((value, COLUMNS))).dead == []


def test_dead_letters_are_written_as_their_schema_says() -> None:
    validator = Draft202012Validator(load_schema("dead_letter.v1"))
    small = orjson.loads(encode_dead_letter(DeadLetter("labels", 1, 5, None, "not_json", "no \ud800 JSON", b"\xff{")))
    large = orjson.loads(encode_dead_letter(DeadLetter("labels", 1, 5, 7, "too_large", "x" * 5000, b"y" * 100_000)))
    for event in (small, large):
        validator.validate(event)
    assert base64.b64decode(small["value"]) == b"\xff{"
    assert (small["row"], small["truncated"], small["value_bytes"]) == (None, False, 2)
    assert base64.b64decode(large["value"]) == b"y" * 65_536
    assert (large["row"], large["truncated"], large["value_bytes"]) == (7, True, 100_000)


def test_a_schema_that_does_not_exist_is_named() -> None:
    with pytest.raises(KeyError, match=r"prediction\.v1"):
        load_schema("prediction.v9")
    assert len({load_schema(name)["$id"] for name in SCHEMA_NAMES}) == len(SCHEMA_NAMES)


def test_twenty_thousand_fuzzed_records_never_raise_and_every_row_is_accounted_for() -> None:
    chance = random.Random(20_261)
    seeds = [
        orjson.dumps(prediction(features={"a": 1, "b": "x"}, segments={"c": "d"}, score=0.5)),
        orjson.dumps(prediction(task="multilabel", prediction=["a", 1])),
        orjson.dumps({**BATCH, "features": {"a": [1, None]}, "segments": {"c": ["d", 1]}, "score": [0.1, None]}),
        orjson.dumps(LABEL),
    ]
    pieces = [
        b"null",
        b"NaN",
        b"[]",
        b"{}",
        b'"',
        b"1e999",
        b"-1",
        b"\xff",
        b"\\ud800",
        b"true",
        b'"x":',
        b"9" * 30,
        b",",
    ]

    def fuzzed() -> bytes | None:
        value = chance.choice(seeds)
        how = chance.randrange(6)
        if how == 0:
            return chance.randbytes(chance.randrange(60))
        if how == 1:
            return value[: chance.randrange(len(value))]
        if how == 2:
            return None if chance.random() < 0.05 else value
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(value))
            piece = chance.choice(pieces) if how < 5 else bytes([chance.randrange(256)])
            value = value[:at] + piece + value[at + chance.randrange(len(piece) + 1) :]
        return value

    headers: list[Headers | None] = [None, None, COLUMNS, [("layout", b"columns")], [("schema", b"x")]]
    alive = 0
    for size in [1] * 500 + [500] * 39:
        records = [(fuzzed(), chance.choice(headers)) for _ in range(size)]
        batch = record_batch(*records)
        for decode in (decode_predictions, decode_labels, decode_resources):
            result = decode(batch)
            if isinstance(result.rows, Resources):
                continue
            assert isinstance(result.rows, Predictions | Labels)
            good = list(zip(result.rows.offset.tolist(), result.rows.row.tolist(), strict=True))
            dead = [(letter.offset, letter.row) for letter in result.dead]
            assert good == sorted(set(good))
            assert len(dead) == len(set(dead))
            assert {offset for offset, _ in good} | {offset for offset, _ in dead} == set(batch.offsets)
            assert not set(good) & set(dead)
            alive += len(good)
            for letter in result.dead[:3]:
                orjson.loads(encode_dead_letter(letter))
        decode_models(batch)
    assert alive > 1000


def test_a_long_run_of_singles_is_read_as_its_rows_one_by_one() -> None:
    """Runs are read in pieces, and neighbours that are alike as columns: neither may show in what comes out."""
    chance = random.Random(7)
    names = [("a", "b"), ("b", "a"), ("a",), ("a", "t", "b"), ()]
    rows: list[dict[str, Any]] = []
    for index in range(1_000):
        shape = names[index // 300] if chance.random() < 0.9 else chance.choice(names)
        features = {name: chance.choice([1, 2.5, True, None, "x", "ü", "1"]) for name in shape}
        model, task = chance.choice([("m", "binary"), ("n", "regression")] if index % 400 > 300 else [("m", "binary")])
        value = chance.choice([0, 1, True]) if task == "binary" else index / 7
        segments = {"c": "é"} if index % 500 > 490 else None
        identity = {"prediction_id": f"p{index}é" if index % 97 == 5 else f"p{index}", "model": model, "task": task}
        optional = {"features": features, "segments": segments, "score": None if index % 7 else 0.5}
        rows.append(prediction(**identity, prediction=value, timestamp_ms=index, **optional))
    bad = {0, 127, 128, 500, 999}
    records = [b"{" if index in bad else row for index, row in enumerate(rows)]
    result = decode_predictions(record_batch(*records))
    got = predictions(result)
    kept = [index for index in range(1_000) if index not in bad]

    assert [letter.offset for letter in result.dead] == [10 + 3 * index for index in sorted(bad)]
    assert got.offset.tolist() == [10 + 3 * index for index in kept]
    assert got.timestamp_ms.tolist() == kept
    assert got.key.tolist() == [list(hash_key(rows[index]["model"], rows[index]["prediction_id"])) for index in kept]
    assert [got.groups[group].model for group in got.group.tolist()] == [rows[index]["model"] for index in kept]
    for place, index in enumerate(kept):
        if rows[index]["task"] == "binary":
            assert got.classes[got.value[place]] == str(int(rows[index]["prediction"]))
        else:
            assert got.value[place].view(np.float64) == rows[index]["prediction"]
    found: dict[tuple[int, str], Any] = {}
    for table in got.features:
        for name, column in table.columns.items():
            for at, row in enumerate(table.rows.tolist()):
                assert got.group[row] == table.group
                if column.codes is not None and column.codes[at] >= 0:
                    found[row, name] = column.texts[column.codes[at]]
                elif not np.isnan(column.numbers[at]):
                    found[row, name] = float(column.numbers[at])
    assert found == {
        (place, name): value if isinstance(value, str) else float(value)
        for place, index in enumerate(kept)
        for name, value in rows[index]["features"].items()
        if value is not None
    }
