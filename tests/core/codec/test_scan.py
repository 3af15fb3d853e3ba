"""What a scan takes and leaves, and how it grows. That it reads right: ``tests/properties/test_scan.py``."""

import json
from typing import Any

import numpy as np
import orjson
import pytest

from pipeline.core.codec import limits
from pipeline.core.codec.labels import scan_labels
from pipeline.core.codec.prediction_scan import scan_predictions
from pipeline.core.codec.scan import Scan
from pipeline.core.codec.scanned import feature_columns
from pipeline.core.kernels import scan_cells, scan_events

EVENT: dict[str, Any] = {
    "prediction_id": "a",
    "model": "fraud",
    "model_version": "3",
    "timestamp_ms": 1000,
    "task": "binary",
    "prediction": 1,
}


def scan(*events: dict[str, Any] | bytes, columnar: bool = False) -> Scan:
    values = [one if isinstance(one, bytes) else orjson.dumps(one) for one in events]
    return scan_predictions(values, columnar=columnar)


def test_the_limits_are_the_schemas() -> None:
    assert scan_cells._FEATURE_CHARS == limits.MAX_FEATURE_CHARS
    assert scan_cells._SEGMENT_CHARS == limits.MAX_SEGMENT_CHARS
    assert scan_cells._TOKEN_CHARS == limits.MAX_NAME_CHARS == scan_events._NAME_CHARS
    assert scan_cells._MOST_NUMBERS == limits.MAX_EMBEDDING


@pytest.mark.parametrize(
    "more",
    [
        {"score": 0.5, "latency_ms": None, "features": None},
        {"features": {"a": 1, "b": "x", "c": None, "d": True}, "segments": {"country": "DE", "new": True}},
        {"scores": {"a": 0.25, "b": None}, "embedding": [1, -2.5], "principal": "é", "input_digest": ""},
        {"note": "of somebody else", "other": 1e3},
        {"model": "modèle", "prediction": "oui"},
        {"task": "regression", "prediction": -1.5e-7},
    ],
)
def test_plain_events_are_taken(more: dict[str, Any]) -> None:
    assert scan(EVENT | more).good.tolist() == [True]
    assert scan(json.dumps(EVENT | more, indent=2, ensure_ascii=False).encode()).good.tolist() == [True]


@pytest.mark.parametrize(
    "more",
    [
        {"prediction_id": 'a"b'},
        {"task": "ranking", "prediction": ["a", "b"]},
        {"task": "regression", "prediction": "1"},
        {"prediction": 1.0},
        {"prediction": 1.5},
        {"note": {"deep": 1}},
        {"score": 1.5},
        {"timestamp_ms": -1},
        {"segments": {"a=b": 1}},
    ],
)
def test_doubtful_events_are_left_and_their_neighbours_are_not(more: dict[str, Any]) -> None:
    assert scan(EVENT, EVENT | more, EVENT).good.tolist() == [True, False, True]


def test_a_record_that_ends_early_takes_nothing_from_the_next() -> None:
    whole = orjson.dumps(EVENT)
    for end in range(len(whole)):
        assert scan(whole[:end], whole).good.tolist() == [False, True]


def test_bytes_that_are_no_utf8_leave_the_whole_run_to_the_strict_way() -> None:
    assert scan(EVENT, orjson.dumps(EVENT).replace(b"fraud", b"fr\xffud")).good.tolist() == [False, False]


def test_columns_grow_with_features_and_words() -> None:
    rows = [EVENT | {"features": {f"f{i}": i, "word": f"w{row}-{i}"}} for row in range(200) for i in range(40)]
    found = scan(*rows)
    assert found.good.all()
    columns = feature_columns(found, slice(0, len(rows)))
    assert set(columns) == {"word", *(f"f{i}" for i in range(40))}
    word = columns["word"]
    assert word.codes is not None
    assert [word.texts[code] for code in word.codes.tolist()] == [row["features"]["word"] for row in rows]
    for i in range(40):
        expected = [float(i) if row["features"].get(f"f{i}") == i else np.nan for row in rows]
        np.testing.assert_array_equal(columns[f"f{i}"].numbers, expected)


def test_too_many_features_are_left_and_the_rows_before_them_are_not() -> None:
    rows = [EVENT | {"features": {f"{row}-{i}": i for i in range(500)}} for row in range(4)]
    good = scan(*rows).good.tolist()
    assert good[:2] == [True, True]
    assert good[3] is False


def test_columnar_records_need_their_number_of_rows_first() -> None:
    columns = {**EVENT, "prediction_id": ["a", "b"], "features": {"x": [1, None], "y": "all"}}
    assert scan({"n": 2} | columns, columnar=True).good.tolist() == [True]
    assert scan(columns | {"n": 2}, columnar=True).good.tolist() == [False]
    assert scan({"n": 3} | columns, columnar=True).good.tolist() == [False]
    found = scan({"n": 3} | columns, {"n": 2} | columns, columnar=True)
    assert found.good.tolist() == [False, True]
    rows, offset, row = found.rows(1, 2, [7])
    assert (rows, offset.tolist(), row.tolist()) == (slice(3, 5), [7, 7], [0, 1])


def test_a_number_of_rows_that_a_record_cannot_hold_makes_no_columns() -> None:
    lie = orjson.dumps({"n": 10_000, **EVENT, "prediction_id": ["a"]})
    found = scan(*[lie] * 1_000, columnar=True)
    assert not found.good.any()
    assert len(found.cells.times) == 0
    ids = [f"{i % 10}" for i in range(100)]
    assert scan({"n": 100, **EVENT, "prediction_id": ids}, columnar=True).good.all()


def test_many_rows_with_many_features_of_one_value_are_left() -> None:
    columns = {"n": 10_000, **EVENT, "prediction_id": ["a"] * 10_000}
    one, many = ({f"f{i}": 1 for i in range(names)} for names in (1, 500))
    found = scan(*[columns | {"features": one}] * 10, columns | {"features": many}, columnar=True)
    assert found.good.tolist() == [True] * 10 + [False]
    assert found.cells.features.nbytes < 400_000_000


def test_a_columnar_record_may_hold_maps_row_by_row() -> None:
    columns = {
        "n": 3,
        **EVENT,
        "prediction_id": ["a", "b", "c"],
        "scores": [{"x": 0.5, "y": 0.5}, None, {}],
        "features": [{"size": 1}, {"size": 2, "colour": "red"}, None],
    }
    found = scan(columns, columnar=True)
    assert found.good.tolist() == [True]
    assert found.cells.carries.tolist() == [1, 1, 0]
    assert found.cells.score_rows.tolist() == [0, 0]
    features = feature_columns(found, slice(0, 3))
    np.testing.assert_array_equal(features["size"].numbers, [1, 2, np.nan])
    assert features["colour"].texts == ["red"]
    assert not scan(columns | {"scores": [{}, {}]}, columnar=True).good.any()


def test_a_label_beyond_the_exact_integers_is_left() -> None:
    label = {"prediction_id": "a", "model": "fraud", "timestamp_ms": 1000}
    labels = [orjson.dumps(label | {"label": value}) for value in (2**53 - 1, 2**53, -(2**53), True, "x", 1e17, 0.5)]
    assert scan_labels(labels, columnar=False).good.tolist() == [True, False, False, True, True, False, True]
