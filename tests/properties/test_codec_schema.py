"""The decoder and the schemas are one rule in two forms; what is encoded is what is decoded."""

import json
import struct
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from pipeline.core.codec import (
    class_name,
    decode_labels,
    decode_models,
    decode_predictions,
    decode_resources,
    encode_columns,
    hash_key,
)
from pipeline.core.events import DeadLetter, LabelKind, Labels, Predictions, RecordBatch
from pipeline.schemas import SCHEMA_NAMES, load_schema

VALIDATORS = {name: Draft202012Validator(load_schema(name)) for name in SCHEMA_NAMES}
COLUMNS: list[tuple[str, bytes | None]] = [("layout", b"columns")]
LARGEST = 2**63 - 1

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
# Values on, before and beyond every border of the schemas, and of every JSON type.
numbers = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([0.5, 1.0, -0.0, 1.5, 2**53, 2**53 + 1, LARGEST, -LARGEST, -LARGEST - 1, 2**64, 2**70, -(2**70)]),
    st.sampled_from([float(2**63), 1e100, 1.1e100, -1e100, 1e300, 1e9, 1e9 + 1, 253402300799999, 253402300800000.0]),
    st.floats(allow_nan=False, allow_infinity=False),
)
texts = st.one_of(names, st.sampled_from(["", "1", "a=b", "é", "x" * 64, "x" * 65, "x" * 128, "y" * 129, "z" * 1025]))
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
junk = st.one_of(
    scalars,
    st.lists(scalars, max_size=3),
    st.dictionaries(texts, scalars, max_size=3),
    st.lists(st.lists(scalars, max_size=2), max_size=2),
)

class_labels = st.one_of(names, st.integers(-5, 5), st.booleans(), st.sampled_from([LARGEST, -LARGEST, 1.0, 2**53 + 1]))
values = st.floats(-1e18, 1e18) | st.integers(-100, 100)
features = st.dictionaries(names, st.one_of(st.none(), st.booleans(), values, names), max_size=4)
segments = st.dictionaries(
    names.filter(lambda name: "=" not in name),
    st.one_of(st.none(), st.booleans(), names, st.integers(-9, 9)),
    max_size=3,
)
common = {
    "prediction_id": names,
    "model": st.sampled_from(["fraud", "churn", "é"]),
    "model_version": st.sampled_from(["1", "2"]),
    "timestamp_ms": st.integers(0, 253402300799999),
}
extras = {
    "score": st.none() | st.floats(0, 1),
    "scores": st.none() | st.dictionaries(names, st.none() | st.floats(0, 1), max_size=3),
    "features": st.none() | features,
    "segments": st.none() | segments,
    "embedding": st.none() | st.lists(values, max_size=3),
    "latency_ms": st.none() | st.floats(0, 1e9) | st.integers(0, 10),
    "principal": st.none() | st.text("ab", max_size=3),
    "input_digest": st.none() | st.text("ab", max_size=3),
    "something_new": scalars,
}
by_task = {
    "binary": class_labels,
    "multiclass": class_labels,
    "regression": values | st.sampled_from([LARGEST, -LARGEST]),
    "multilabel": st.lists(class_labels, max_size=4),
    "ranking": st.lists(names | st.integers(-5, 5), max_size=4),
}


def prediction(task: str) -> st.SearchStrategy[dict[str, Any]]:
    required = {**common, "task": st.just(task), "prediction": by_task[task]}
    return st.fixed_dictionaries(required, optional=extras)


predictions = st.sampled_from(sorted(by_task)).flatmap(prediction)
labels = st.fixed_dictionaries(
    {
        **{name: common[name] for name in ("prediction_id", "model", "timestamp_ms")},
        "label": st.one_of(class_labels, values, st.lists(class_labels, max_size=3), st.dictionaries(names, values)),
    },
    optional={"something_new": scalars},
)
resources = st.fixed_dictionaries(
    {
        "host": names,
        "timestamp_ms": common["timestamp_ms"],
        "metrics": st.dictionaries(names, st.none() | values, max_size=4),
    },
    optional={"model": st.none() | names, "model_version": st.none() | names},
)
free = st.none() | st.dictionaries(names, junk, max_size=2)
models = st.fixed_dictionaries(
    {
        "model": names,
        "model_version": names,
        "timestamp_ms": common["timestamp_ms"],
        "task": st.sampled_from(sorted(by_task)),
        "stage": st.sampled_from(["champion", "challenger", "shadow", "retired"]),
    },
    optional={
        "positive_label": st.none() | class_labels,
        "git_commit": st.none() | names,
        "config": free,
        "reference": free,
        "dependencies": st.none() | st.dictionaries(names, names, max_size=2),
        "parameters": st.none() | st.fixed_dictionaries({}, optional={"count": st.integers(0), "bytes": st.none()}),
        "metrics": st.none()
        | st.dictionaries(names, st.dictionaries(names, st.none() | values, max_size=2), max_size=2),
    },
)
events = {"prediction.v1": predictions, "label.v1": labels, "resource.v1": resources, "model.v1": models}


@st.composite
def mutated(draw: st.DrawFn, event: st.SearchStrategy[dict[str, Any]], name: str) -> dict[str, Any]:
    """An event with up to two fields lost, replaced by anything, or spoilt within."""
    row = dict(draw(event))
    fields = sorted(VALIDATORS[name].schema["properties"])
    for _ in range(draw(st.integers(0, 2))):
        field = draw(st.sampled_from(fields))
        how = draw(st.sampled_from(["lose", "replace", "spoil"]))
        inner = row.get(field)
        if how == "lose":
            row.pop(field, None)
        elif how == "spoil" and isinstance(inner, dict):
            row[field] = {**inner, draw(texts): draw(junk)}
        elif how == "spoil" and isinstance(inner, list):
            row[field] = [*inner, draw(junk)]
        else:
            row[field] = draw(junk)
    return row


def record_batch(values: list[bytes], headers: list[tuple[str, bytes | None]] | None = None) -> RecordBatch:
    count = len(values)
    return RecordBatch("topic", 3, list(range(count)), [None] * count, values, [headers] * count)


def decoded(name: str, batch: RecordBatch) -> tuple[list[tuple[int, int]], list[DeadLetter]]:
    """Where the good rows stand, as (offset, row), and the dead letters."""
    if name == "model.v1":
        good, dead = decode_models(batch)
        return [(offset, 0) for offset, _ in good], dead
    if name == "resource.v1":
        result = decode_resources(batch)
        # Rows are readings: an event without any has none, so the count of events speaks.
        return [(-1, 0)] * result.rows.events, result.dead  # type: ignore[union-attr]
    result = decode_predictions(batch) if name == "prediction.v1" else decode_labels(batch)
    rows = result.rows
    assert isinstance(rows, Predictions | Labels)
    return list(zip(rows.offset.tolist(), rows.row.tolist(), strict=True)), result.dead


def written(row: dict[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode()


def valid(name: str, row: dict[str, Any]) -> bool:
    return bool(VALIDATORS[name].is_valid(json.loads(written(row))))


def reasons_are_known(dead: list[DeadLetter]) -> None:
    known = VALIDATORS["dead_letter.v1"].schema["properties"]["reason"]["enum"]
    assert {letter.reason for letter in dead} <= set(known)


@pytest.mark.parametrize("name", SCHEMA_NAMES)
def test_every_schema_is_a_schema_and_describes_every_field(name: str) -> None:
    schema = load_schema(name)
    Draft202012Validator.check_schema(schema)

    def bare(node: Any, place: str) -> list[str]:
        found = []
        for field, inner in node.get("properties", {}).items():
            found += [] if inner.get("description") else [f"{place}.{field}"]
            found += bare(inner, f"{place}.{field}")
        if isinstance(node.get("additionalProperties"), dict):
            found += bare(node["additionalProperties"], f"{place}.*")
        return found

    assert bare(schema, name) == []


@pytest.mark.parametrize("name", sorted(events))
@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_single_events_are_taken_just_when_the_schema_takes_them(name: str, data: st.DataObject) -> None:
    rows = data.draw(st.lists(mutated(events[name], name), min_size=1, max_size=4))
    expected = [index for index, row in enumerate(rows) if valid(name, row)]
    good, dead = decoded(name, record_batch([written(row) for row in rows]))
    assert sorted(set(range(len(rows))) - {letter.offset for letter in dead}) == expected
    assert len(good) == len(expected)
    assert len(dead) == len(rows) - len(expected)
    reasons_are_known(dead)


@given(name=st.sampled_from(["prediction.v1", "label.v1", "resource.v1"]), data=st.data())
@settings(max_examples=200, deadline=None)
def test_rows_of_a_batch_are_taken_just_when_the_schema_takes_them(name: str, data: st.DataObject) -> None:
    rows = data.draw(st.lists(mutated(events[name], name), min_size=1, max_size=4))
    array = "timestamp_ms" if name == "resource.v1" else "prediction_id"
    fields = [
        field for field in VALIDATORS[name].schema["properties"] if field == array or any(field in r for r in rows)
    ]
    # A column says null where a row has no value, so the rows are held against the schema with that null.
    rows = [{field: row.get(field) for field in fields} for row in rows]
    batch = {"n": len(rows), **{field: [row[field] for row in rows] for field in fields}}
    expected = [index for index, row in enumerate(rows) if valid(name, row)]
    good, dead = decoded(name, record_batch([written(batch)], COLUMNS))
    assert [letter.row for letter in dead] == sorted(set(range(len(rows))) - set(expected))
    assert len(good) == len(expected)
    reasons_are_known(dead)


@given(data=st.data(), n=st.integers(1, 4))
@settings(max_examples=200, deadline=None)
def test_columns_and_shared_values_mean_the_rows_they_spell(data: st.DataObject, n: int) -> None:
    task = data.draw(st.sampled_from(sorted(by_task)))
    shared = data.draw(mutated(prediction(task), "prediction.v1"))
    # An array as a shared value would be read as a column, and arrays in maps likewise.
    shared = {
        key: value
        for key, value in shared.items()
        if not isinstance(value, list)
        and not (isinstance(value, dict) and any(isinstance(inner, list) for inner in value.values()))
    }
    columns: dict[str, Any] = {"prediction_id": data.draw(st.lists(texts, min_size=n, max_size=n))}
    if data.draw(st.booleans()):
        columns["prediction"] = data.draw(st.lists(by_task[task] | junk, min_size=n, max_size=n))
    maps = {
        field: {
            **(inner if isinstance(inner := shared.get(field), dict) else {}),
            **data.draw(st.dictionaries(texts, st.lists(scalars, min_size=n, max_size=n), max_size=2)),
        }
        for field in data.draw(st.sets(st.sampled_from(["features", "segments", "scores"])))
    }
    rows = [
        {
            **shared,
            **{key: column[index] for key, column in columns.items()},
            **{
                field: {key: one[index] if isinstance(one, list) else one for key, one in inner.items()}
                for field, inner in maps.items()
            },
        }
        for index in range(n)
    ]
    expected = [index for index, row in enumerate(rows) if valid("prediction.v1", row)]
    batch = record_batch([written({"n": n, **shared, **columns, **maps})], COLUMNS)
    good, dead = decoded("prediction.v1", batch)
    assert good == [(0, index) for index in expected]
    # And the columns hold the same as the rows sent one by one.
    singles = decode_predictions(record_batch([written(row) for row in rows]))
    assert isinstance(singles.rows, Predictions)
    together = decode_predictions(batch).rows
    assert isinstance(together, Predictions)
    assert plain(together) == plain(singles.rows)
    assert [letter.reason for letter in dead] == [letter.reason for letter in singles.dead]


def plain(rows: Predictions) -> list[tuple[Any, ...]]:
    """The rows with codes and hashes looked up, NaN as None."""
    cells: list[dict[str, Any]] = [{} for _ in range(len(rows))]
    for table in rows.features:
        for name, column in table.columns.items():
            for place, row in enumerate(table.rows.tolist()):
                assert rows.group[row] == table.group
                code = -1 if column.codes is None else int(column.codes[place])
                number = float(column.numbers[place])
                assert code < 0 or np.isnan(number)
                cells[row][name] = column.texts[code] if code >= 0 else None if np.isnan(number) else number
    result = []
    for index in range(len(rows)):
        group = rows.groups[rows.group[index]]
        value = int(rows.value[index])
        result.append(
            (
                tuple(map(int, rows.key[index])),
                int(rows.timestamp_ms[index]),
                group,
                rows.classes[value] if group.task.is_classes else value,
                None if np.isnan(rows.score[index]) else float(rows.score[index]),
                None if np.isnan(rows.latency_ms[index]) else float(rows.latency_ms[index]),
                rows.segment_sets[rows.segment_set[index]],
                {name: cell for name, cell in cells[index].items() if cell is not None},
            )
        )
    return result


@given(rows=st.lists(predictions, min_size=1, max_size=6))
@settings(max_examples=200, deadline=None)
def test_the_columns_hold_what_the_predictions_say(rows: list[dict[str, Any]]) -> None:
    result = decode_predictions(record_batch([written(row) for row in rows]))
    assert result.dead == []
    assert isinstance(result.rows, Predictions)
    for row, seen in zip(rows, plain(result.rows), strict=True):
        key, timestamp_ms, group, value, score, latency_ms, segment_set, cells = seen
        assert key == hash_key(row["model"], row["prediction_id"])
        assert (timestamp_ms, group.model, group.model_version) == (
            row["timestamp_ms"],
            row["model"],
            row["model_version"],
        )
        assert group.task.name.lower() == row["task"]
        if group.task.is_classes:
            assert value == class_name(row["prediction"])
        elif row["task"] == "regression":
            assert struct.unpack("<d", struct.pack("<q", value))[0] == float(row["prediction"])
        assert (score, latency_ms) == (row.get("score"), row.get("latency_ms"))
        assert cells == {k: v for k, v in (row.get("features") or {}).items() if v is not None}
        expected = {k: v for k, v in (row.get("segments") or {}).items() if v is not None}
        assert segment_set == tuple(
            sorted(f"{k}={json.dumps(v) if isinstance(v, bool) else v}" for k, v in expected.items())
        )


@given(rows=st.lists(labels, min_size=1, max_size=6))
@settings(max_examples=200, deadline=None)
def test_the_columns_hold_what_the_labels_say(rows: list[dict[str, Any]]) -> None:
    result = decode_labels(record_batch([written(row) for row in rows]))
    assert result.dead == []
    assert isinstance(result.rows, Labels)
    columns = result.rows
    for index, row in enumerate(rows):
        label, kind, value = row["label"], LabelKind(columns.kind[index]), int(columns.value[index])
        assert tuple(map(int, columns.key[index])) == hash_key(row["model"], row["prediction_id"])
        assert columns.timestamp_ms[index] == row["timestamp_ms"]
        assert columns.models[columns.model[index]] == row["model"]
        if isinstance(label, list):
            assert kind is LabelKind.SET
        elif isinstance(label, dict):
            assert kind is LabelKind.GAINS
        elif isinstance(label, str) or (isinstance(label, int) and abs(label) > 2**53):
            assert kind is LabelKind.TEXT
            assert columns.classes[value] == class_name(label)
        else:
            assert kind is LabelKind.NUMBER
            assert columns.value[index : index + 1].view(np.float64)[0] == label


@given(data=st.data(), n=st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_what_is_encoded_from_columns_is_decoded_to_them(data: st.DataObject, n: int) -> None:
    def column(element: st.SearchStrategy[Any]) -> list[Any]:
        return data.draw(st.lists(element, min_size=n, max_size=n))

    ids, scores = column(names), np.array(column(st.floats(0, 1) | st.just(np.nan)))
    amounts, kinds = np.array(column(st.floats(-1e6, 1e6) | st.just(np.nan))), column(names)
    classes = np.array(column(st.integers(-9, 9)))
    value = encode_columns(
        {
            "model": "fraud",
            "model_version": "3",
            "task": "multiclass",
            "prediction_id": ids,
            "timestamp_ms": np.arange(n) * 7,
            "prediction": classes,
            "score": scores,
            "features": {"amount": amounts, "kind": np.array(kinds, object)},
        },
        n,
    )
    result = decode_predictions(record_batch([value], COLUMNS))
    assert result.dead == []
    rows = result.rows
    assert isinstance(rows, Predictions)
    assert [tuple(map(int, key)) for key in rows.key] == [hash_key("fraud", one) for one in ids]
    assert [rows.classes[code] for code in rows.value] == [str(one) for one in classes]
    np.testing.assert_array_equal(rows.timestamp_ms, np.arange(n) * 7)
    np.testing.assert_array_equal(rows.score, scores)
    (table,) = rows.features
    np.testing.assert_array_equal(table.columns["amount"].numbers, amounts)
    codes = table.columns["kind"].codes
    assert codes is not None
    assert [table.columns["kind"].texts[code] for code in codes] == kinds
    assert orjson.loads(value)["n"] == n
