"""The members that records carry, row by row, whatever way they were read."""

from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from pipeline.core.codec import decode_labels, decode_predictions
from pipeline.core.codec.names import hash_names
from pipeline.core.events import Labels, Members, Predictions, RecordBatch
from pipeline.core.kernels.hashing import murmur3_128

ROW = {"model": "m", "model_version": "1", "timestamp_ms": 5}


def batch_of(topic: str, events: Sequence[Any], *, columnar: bool = False) -> RecordBatch:
    headers = [("layout", b"columns")] if columnar else None
    values = [event if isinstance(event, bytes) else orjson.dumps(event) for event in events]
    count = len(values)
    return RecordBatch(topic, 0, range(count), [b"k"] * count, values, [headers] * count)


def predicted(*rows: tuple[str, Any]) -> Predictions:
    events = [
        {**ROW, "prediction_id": f"p{i}", "task": task, "prediction": value} for i, (task, value) in enumerate(rows)
    ]
    found = decode_predictions(batch_of("predictions", events)).rows
    assert isinstance(found, Predictions)
    return found


def labelled(*labels: Any) -> Labels:
    events = [{**ROW, "prediction_id": "p", "label": label} for label in labels]
    found = decode_labels(batch_of("labels", events)).rows
    assert isinstance(found, Labels)
    return found


def lists_of(members: Members) -> dict[int, list[tuple[int, float]]]:
    codes, weights = members.lists.codes.tolist(), members.lists.weights.tolist()
    spans = zip(members.row.tolist(), members.lists.starts[:-1], members.lists.starts[1:], strict=True)
    return {row: list(zip(codes[low:high], weights[low:high], strict=True)) for row, low, high in spans}


def test_sets_have_the_codes_of_their_classes() -> None:
    rows = predicted(("multilabel", ["b", 1, True]), ("multilabel", []), ("binary", "b"), ("multilabel", ["c", "b"]))
    names = {row: {rows.classes[code] for code, _ in members} for row, members in lists_of(rows.members).items()}
    assert names == {0: {"1", "b"}, 1: set(), 3: {"b", "c"}}
    assert len(lists_of(rows.members)[0]) == 2
    assert rows.classes[rows.value[2]] == "b"


def test_rankings_have_the_hashes_of_their_items_in_order() -> None:
    rows = predicted(("multilabel", ["x"]), ("ranking", ["b", 7, "ä"]), ("multilabel", ["y"]), ("ranking", ["7"]))
    assert list(lists_of(rows.members)) == [0, 1, 2, 3]
    hashes = [code for code, _ in lists_of(rows.members)[1]]
    assert [code % 2**64 for code in hashes] == [murmur3_128(name.encode())[0] for name in ("b", "7", "ä")]
    assert lists_of(rows.members)[3] == [(hashes[1], 1.0)]


def test_gains_have_their_worth() -> None:
    rows = labelled({"b": 2, "a": -0.0}, "text", ["u", "v"], 3, {})
    b, a = hash_names(["b", "a"]).tolist()
    found = lists_of(rows.members)
    assert found[0] == [(a, 0.0), (b, 2.0)]
    assert {rows.classes[code] for code, _ in found[2]} == {"u", "v"}
    assert found[4] == []
    assert list(found) == [0, 2, 4]


def test_scores_of_classes_are_members_of_multiclass_predictions() -> None:
    events = [
        {
            **ROW,
            "prediction_id": "p",
            "task": "multiclass",
            "prediction": "a",
            "scores": {"a": 0.75, "b": None, "c": 0.25},
        },
        {**ROW, "prediction_id": "p", "task": "multiclass", "prediction": 1, "timestamp_ms": 5.0, "scores": {"1": 1}},
        {**ROW, "prediction_id": "p", "task": "binary", "prediction": 1, "scores": {"1": 0.5}},
        {**ROW, "prediction_id": "p", "task": "multiclass", "prediction": 1, "scores": {}},
        {**ROW, "prediction_id": "p", "task": "multiclass", "prediction": 1, "features": {"x": 1}},
    ]
    found = decode_predictions(batch_of("predictions", events))
    rows = found.rows
    assert isinstance(rows, Predictions)
    assert not found.dead
    named = {
        row: {rows.classes[code]: score for code, score in members} for row, members in lists_of(rows.members).items()
    }
    assert named == {0: {"a": 0.75, "c": 0.25}, 1: {"1": 1.0}}
    assert [rows.classes[code] for code in rows.value] == ["a", "1", "1", "1", "1"]
    assert [table.rows.tolist() for table in rows.features] == [[4]]


@pytest.mark.parametrize("scores", [{"a": [0.5, 0.25], "b": [0.5, None]}, [{"a": 0.5, "b": 0.5}, {"a": 0.25}]])
def test_scores_come_in_columns_too(scores: Any) -> None:
    columns = {**ROW, "n": 2, "prediction_id": ["p", "q"], "task": "multiclass", "prediction": "a", "scores": scores}
    rows = decode_predictions(batch_of("predictions", [columns], columnar=True)).rows
    assert isinstance(rows, Predictions)
    named = [{rows.classes[code]: score for code, score in members} for members in lists_of(rows.members).values()]
    assert named == [{"a": 0.5, "b": 0.5}, {"a": 0.25}]


@pytest.mark.parametrize("layout", ["events", "columns", "objects", "shared"])
def test_many_scores_of_many_classes_are_all_there(layout: str) -> None:
    count = 40
    scores = [{f"c{(row * 7 + i) % 300}": (row + i) / 100 for i in range(row % 23)} for row in range(count)]
    if layout == "shared":
        scores = [{f"c{i}": i / 200 for i in range(200)}] * count
    ids = [f"p{row}" for row in range(count)]
    head = {**ROW, "task": "multiclass", "prediction": "c1"}
    if layout == "events":
        events = [{**head, "prediction_id": one, "scores": given} for one, given in zip(ids, scores, strict=True)]
    else:
        columns: Any = scores
        if layout == "columns":
            columns = {f"c{i}": [one.get(f"c{i}") for one in scores] for i in range(300)}
        elif layout == "shared":
            columns = scores[0]
        events = [{"n": count, **head, "prediction_id": ids, "scores": columns}]
    rows = decode_predictions(batch_of("predictions", events, columnar=layout != "events")).rows
    assert isinstance(rows, Predictions)
    named = {
        row: {rows.classes[code]: score for code, score in members} for row, members in lists_of(rows.members).items()
    }
    assert named == {row: one for row, one in enumerate(scores) if one}


def test_columns_and_bad_rows_beside_give_the_same_members() -> None:
    columns = {
        **ROW, "n": 3, "prediction_id": ["a", "b", "c"], "task": "multilabel", "prediction": [["x"], ["y", "x"], []],
    }  # fmt: skip
    plain = decode_predictions(batch_of("predictions", [columns], columnar=True)).rows
    mixed = decode_predictions(
        batch_of("predictions", [{**columns, "prediction": [["x"], ["y", "x"], [None]]}], columnar=True)
    )
    assert isinstance(plain, Predictions)
    assert isinstance(mixed.rows, Predictions)
    named = [
        {row: sorted(rows.classes[code] for code, _ in members) for row, members in lists_of(rows.members).items()}
        for rows in (plain, mixed.rows)
    ]
    assert named == [{0: ["x"], 1: ["x", "y"], 2: []}, {0: ["x"], 1: ["x", "y"]}]
    assert len(mixed.dead) == 1


def test_rows_without_members_have_none() -> None:
    assert lists_of(predicted(("binary", 1), ("regression", 0.5)).members) == {}
    assert lists_of(labelled(1, "x").members) == {}
