"""Whatever a scan takes, the strict way takes with the same result; what is not plain goes the strict way whole."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.codec import decode_labels, decode_predictions, records
from pipeline.core.codec.labels import _LabelSink
from pipeline.core.codec.predictions import _PredictionSink
from pipeline.core.codec.scan import Scan
from pipeline.core.events import Decoded, LabelKind, Labels, Predictions, RecordBatch, Task

COLUMNS = [("layout", b"columns")]


def plain_or(plain: st.SearchStrategy[Any], other: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Nearly always plain: an event of many fields must have a chance to be plain as a whole."""
    return st.integers(0, 60).flatmap(lambda draw: other if draw == 0 else plain)


names = plain_or(
    st.sampled_from(["a", "b", "é", "x" * 128, "é" * 128]),
    st.sampled_from(["a=b", 'q"', "", "x" * 129, "é" * 129, "long\nline"]),
)
numbers = plain_or(
    st.one_of(st.integers(-3, 3), st.integers(-(2**53), 2**53), st.floats(-1e18, 1e18), st.just(1e100)),
    st.one_of(st.integers(-(2**64), 2**64), st.floats(allow_nan=False, allow_infinity=False)),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, names)
probabilities = plain_or(
    st.one_of(st.none(), st.floats(0, 1), st.integers(0, 1)), st.one_of(st.floats(-0.1, 1.1), scalars)
)
delays = plain_or(st.one_of(st.none(), st.floats(0, 1e9), st.integers(0, 9)), scalars)
anything = st.one_of(scalars, st.lists(scalars, max_size=2), st.dictionaries(names, scalars, max_size=2))
segments = plain_or(st.one_of(st.none(), st.booleans(), st.integers(-(2**60), 2**60), names), anything)
tasks = plain_or(
    st.sampled_from(["binary", "multiclass", "regression"]), st.sampled_from(["multilabel", "ranking", "guess", ""])
)
values = {
    "binary": st.one_of(st.integers(-2, 2), st.booleans(), names),
    "multiclass": st.one_of(st.integers(-(2**60), 2**60), names),
    "regression": numbers,
}


OPTIONAL: dict[str, st.SearchStrategy[Any]] = {
    "score": probabilities,
    "latency_ms": delays,
    "features": st.dictionaries(names, scalars, max_size=4),
    "segments": st.dictionaries(names, segments, max_size=3),
    "scores": st.dictionaries(names, probabilities, max_size=3),
    "embedding": st.lists(numbers, max_size=3),
    "principal": st.one_of(st.none(), names),
    "input_digest": st.one_of(st.none(), names),
    "note": plain_or(scalars, anything),
}
MAPS = {"features": scalars, "segments": segments, "scores": probabilities}
REQUIRED: dict[str, st.SearchStrategy[Any]] = {
    "prediction_id": plain_or(st.sampled_from(["p1", "p2", "é"]), anything),
    "model": plain_or(st.sampled_from(["fraud", "taste"]), anything),
    "model_version": plain_or(st.sampled_from(["1", "2"]), anything),
    "timestamp_ms": plain_or(st.integers(0, 10**13), anything),
    "task": plain_or(tasks, anything),
}
LABEL: dict[str, st.SearchStrategy[Any]] = {
    "prediction_id": REQUIRED["prediction_id"],
    "model": REQUIRED["model"],
    "timestamp_ms": REQUIRED["timestamp_ms"],
    "label": plain_or(st.one_of(numbers, st.booleans(), names), anything),
}


def _suiting(task: object) -> st.SearchStrategy[Any]:
    return values[task] if isinstance(task, str) and task in values else values["binary"]


@st.composite
def written(draw: st.DrawFn, event: dict[str, Any]) -> bytes:
    """JSON as some writer may write it: keys in any order, blanks, escapes, twice the same key, cut off, spoilt."""
    items = list(event.items())
    if draw(st.booleans()):
        items = draw(st.permutations(items))
    if items and draw(st.integers(0, 19)) == 0:
        items.append(draw(st.sampled_from(items)))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t: ")]))
    ascii_only = draw(st.integers(0, 9)) == 0
    parts = [
        json.dumps(key) + separators[1] + json.dumps(value, separators=separators, ensure_ascii=ascii_only)
        for key, value in items
    ]
    text = "{" + separators[0].join(parts) + "}"
    value = text.encode()
    spoil = draw(st.integers(0, 39))
    if spoil == 0:
        value = value[: draw(st.integers(0, len(value)))]
    elif spoil == 1:
        place = draw(st.integers(0, len(value) - 1))
        value = value[:place] + bytes([draw(st.integers(0, 255))]) + value[place + 1 :]
    elif spoil == 2:
        value += draw(st.sampled_from([b" ", b"\n", b"x", b"}", b"\0"]))
    return value


@st.composite
def events(draw: st.DrawFn, required: dict[str, st.SearchStrategy[Any]], *, optional: bool) -> bytes:
    event = {name: draw(some) for name, some in required.items()}
    if optional:
        event["prediction"] = draw(plain_or(_suiting(event["task"]), anything))
        for name in draw(st.lists(st.sampled_from(list(OPTIONAL)), max_size=4, unique=True)):
            event[name] = draw(plain_or(OPTIONAL[name], anything))
    if draw(st.integers(0, 15)) == 0:
        del event[draw(st.sampled_from(list(event)))]
    return draw(written(event))


@st.composite
def columns(draw: st.DrawFn, required: dict[str, st.SearchStrategy[Any]], *, optional: bool) -> bytes:
    rows = draw(st.integers(1, 4))

    def column(some: st.SearchStrategy[Any]) -> Any:
        length = rows if draw(st.integers(0, 39)) else rows + draw(st.sampled_from([-1, 1]))
        return draw(some) if draw(st.booleans()) else [draw(some) for _ in range(length)]

    event: dict[str, Any] = {} if draw(st.integers(0, 9)) == 0 else {"n": rows}
    for name, some in required.items():
        shared = name == "task" or (name != "prediction_id" and draw(st.booleans()))
        event[name] = draw(some) if shared else [draw(some) for _ in range(rows)]
    if optional:
        event["prediction"] = [draw(plain_or(_suiting(event["task"]), anything)) for _ in range(rows)]
        for name in draw(st.lists(st.sampled_from(list(OPTIONAL)), max_size=4, unique=True)):
            if name in MAPS and draw(st.booleans()):
                event[name] = [draw(st.none() | OPTIONAL[name]) for _ in range(rows)]
            elif name in MAPS:
                keys = draw(st.lists(names, max_size=3, unique=True))
                event[name] = {key: column(MAPS[name]) for key in keys}
            else:
                event[name] = column(OPTIONAL[name])
    event.setdefault("n", rows)
    if draw(st.booleans()):
        return draw(written(event))
    return json.dumps(event, ensure_ascii=False).encode()


@contextmanager
def strictly(sink: type[Any]) -> Iterator[None]:
    """Nothing is plain: every record goes the strict way."""
    scan: Callable[..., Scan] = sink.scan

    def doubt_all(values: Any, *, columnar: bool) -> Scan:
        found = scan(values, columnar=columnar)
        return replace(found, good=np.zeros_like(found.good))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sink, "scan", staticmethod(doubt_all))
        yield


def batch(values: list[bytes], *, columnar: bool) -> RecordBatch:
    n = len(values)
    return RecordBatch("t", 0, list(range(5, 5 + n)), [None] * n, values, [COLUMNS if columnar else None] * n)


def number_text(value: float) -> str | None:
    return None if np.isnan(value) else repr(float(value) + 0.0)


def resolved_members(rows: Predictions) -> dict[int, tuple[list[str], list[float]]]:
    """The members of each row that has any, sets and scores by the names of their classes."""
    lists, found = rows.members.lists, {}
    for place, row in enumerate(rows.members.row.tolist()):
        span = slice(int(lists.starts[place]), int(lists.starts[place + 1]))
        is_hash = rows.groups[rows.group[row]].task is Task.RANKING
        codes = lists.codes[span].tolist()
        names_of = list(map(str, codes)) if is_hash else [rows.classes[code] for code in codes]
        found[row] = names_of, lists.weights[span].tolist()
    return found


def resolved_predictions(decoded: Decoded) -> Any:
    rows = decoded.rows
    assert isinstance(rows, Predictions)
    features: list[dict[str, Any]] = [{} for _ in range(len(rows))]
    named: dict[int, set[str]] = {}
    for table in rows.features:
        assert bool(np.all(np.diff(table.rows) > 0))
        named.setdefault(table.group, set()).update(table.columns)
        for name, column in table.columns.items():
            for place, row in enumerate(table.rows.tolist()):
                code = -1 if column.codes is None else int(column.codes[place])
                held = column.texts[code] if code >= 0 else number_text(column.numbers[place])
                if held is not None:
                    features[row][name] = held
    table_rows = sorted(row for table in rows.features for row in table.rows.tolist())
    return (
        [
            (
                int(rows.offset[i]),
                int(rows.row[i]),
                rows.key[i].tolist(),
                int(rows.timestamp_ms[i]),
                rows.groups[rows.group[i]],
                rows.classes[rows.value[i]] if rows.groups[rows.group[i]].task.is_classes else int(rows.value[i]),
                number_text(rows.score[i]),
                number_text(rows.latency_ms[i]),
                rows.segment_sets[rows.segment_set[i]],
                features[i],
            )
            for i in range(len(rows))
        ],
        {repr(rows.groups[group]): found for group, found in named.items()},
        table_rows,
        resolved_members(rows),
        sorted(map(repr, rows.groups)),
        sorted(rows.classes),
        decoded.dead,
    )


def resolved_labels(decoded: Decoded) -> Any:
    rows = decoded.rows
    assert isinstance(rows, Labels)
    return (
        [
            (
                int(rows.offset[i]),
                int(rows.row[i]),
                rows.key[i].tolist(),
                int(rows.timestamp_ms[i]),
                rows.models[rows.model[i]],
                int(rows.kind[i]),
                rows.classes[rows.value[i]] if rows.kind[i] == LabelKind.TEXT else int(rows.value[i]),
            )
            for i in range(len(rows))
        ],
        sorted(rows.models),
        sorted(rows.classes),
        decoded.dead,
    )


@pytest.fixture(autouse=True, scope="module")
def _one_by_one() -> Iterator[None]:
    """A doubtful event takes none of its neighbours with it: more events are left to the scan."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "_CHUNK", 1)
        yield


@settings(max_examples=300)
@given(data=st.data(), columnar=st.booleans())
def test_predictions_are_the_same_as_the_strict_ones(data: st.DataObject, *, columnar: bool) -> None:
    kind = columns if columnar else events
    drawn = data.draw(st.lists(kind(REQUIRED, optional=True), min_size=1, max_size=5))
    found = decode_predictions(batch(drawn, columnar=columnar))
    with strictly(_PredictionSink):
        expected = decode_predictions(batch(drawn, columnar=columnar))
    assert resolved_predictions(found) == resolved_predictions(expected)


@settings(max_examples=200)
@given(data=st.data(), columnar=st.booleans())
def test_labels_are_the_same_as_the_strict_ones(data: st.DataObject, *, columnar: bool) -> None:
    kind = columns if columnar else events
    drawn = data.draw(st.lists(kind(LABEL, optional=False), min_size=1, max_size=5))
    found = decode_labels(batch(drawn, columnar=columnar))
    with strictly(_LabelSink):
        expected = decode_labels(batch(drawn, columnar=columnar))
    assert resolved_labels(found) == resolved_labels(expected)
