from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.publishing.columns import (
    LABELS,
    PREDICTIONS,
    Columns,
    columns_of_rows,
    joined,
    taken_column,
    taken_fields,
    taken_keys,
)

GROUP = (PREDICTIONS, "m", "1", "binary")

names = st.sampled_from(["a", "b", "c"])
features = st.none() | st.dictionaries(names, st.integers(0, 9) | st.text(max_size=2) | st.none(), max_size=3)
rows = st.lists(
    st.tuples(
        st.just(GROUP),
        st.text(min_size=1, max_size=3),
        st.integers(0, 99),
        st.integers(0, 1),
        st.none() | st.floats(0, 1),
        st.none() | st.dictionaries(names, st.floats(0, 1), max_size=2),
        features,
        st.none() | st.lists(st.integers(0, 9), max_size=3),
        features,
        st.none() | st.floats(0, 9),
        st.none() | st.text(max_size=2),
        st.none() | st.text(max_size=2),
    ),
    min_size=1,
    max_size=8,
)


def row_at(columns: Columns, at: int) -> dict[str, Any]:
    """What row ``at`` says, fields without a value left out."""
    found: dict[str, Any] = {"prediction_id": columns.keys[at]}
    for name, value in columns.fields.items():
        if name in {"features", "segments"}:
            inner = {key: each[at] if isinstance(each, list | tuple) else each for key, each in value.items()}
            found[name] = {key: each for key, each in inner.items() if each is not None}
        else:
            found[name] = value[at] if isinstance(value, list | tuple) else value
    return {name: value for name, value in found.items() if value not in (None, {})}


def said_by(row: tuple[Any, ...]) -> dict[str, Any]:
    said = dict(zip(PREDICTIONS.row_fields, row[1:], strict=True))
    for name in ("features", "segments"):
        said[name] = {key: value for key, value in (said[name] or {}).items() if value is not None}
    return {name: value for name, value in said.items() if value not in (None, {})}


@given(rows)
def test_columns_say_what_the_rows_say(given_rows: list[tuple[Any, ...]]) -> None:
    columns = columns_of_rows(GROUP, given_rows)
    assert [row_at(columns, at) for at in range(len(columns))] == [said_by(row) for row in given_rows]


@given(rows, st.data())
def test_any_rows_in_any_order_can_be_taken_out(given_rows: list[tuple[Any, ...]], data: st.DataObject) -> None:
    order = data.draw(st.lists(st.integers(0, len(given_rows) - 1), min_size=1))
    picked = columns_of_rows(GROUP, given_rows).rows(np.array(order))
    assert [row_at(picked, at) for at in range(len(picked))] == [said_by(given_rows[at]) for at in order]


@given(rows, st.data())
def test_parts_joined_again_are_the_whole(given_rows: list[tuple[Any, ...]], data: st.DataObject) -> None:
    whole = columns_of_rows(GROUP, given_rows)
    cut = data.draw(st.integers(0, len(given_rows)))
    parts = [whole.part(0, cut), whole.part(cut, len(whole))]
    assert parts[0].shape == parts[1].shape
    again = joined([part for part in parts if len(part)])
    assert [row_at(again, at) for at in range(len(again))] == [said_by(row) for row in given_rows]


def test_one_value_for_all_rows_becomes_a_column_where_batches_differ() -> None:
    first = Columns((LABELS, "m"), ["a", "b"], {"timestamp_ms": 1, "label": np.array([1, 0])})
    second = Columns((LABELS, "m"), ["c"], {"timestamp_ms": 2, "label": np.array([1])})
    both = joined([first, second])
    assert list(both.keys) == ["a", "b", "c"]
    assert both.fields["timestamp_ms"] == [1, 1, 2]
    assert both.fields["label"].tolist() == [1, 0, 1]
    assert joined([first, first]).fields["timestamp_ms"] == 1


def test_batches_with_other_features_are_not_joined() -> None:
    shapes = {
        Columns(GROUP, ["a"], {"prediction": [1], "features": features}).shape
        for features in ({"x": [1]}, {"y": [1]}, {"x": [1], "y": [1]})
    }
    assert len(shapes) == 3


def test_scores_given_by_class_stand_row_by_row() -> None:
    event = Columns(GROUP, ["a", "b"], {"scores": {"cat": np.array([0.25, 0.5]), "dog": [0.75, 0.5]}}).event()
    assert event["scores"] == [{"cat": 0.25, "dog": 0.75}, {"cat": 0.5, "dog": 0.5}]


def test_a_column_is_taken_as_it_is_now() -> None:
    array, values = np.arange(3), [1, 2, 3]
    taken = taken_fields({"score": array, "latency_ms": values, "principal": None, "features": {"x": array}}, 3)
    array += 1
    values.append(4)
    assert taken["score"].tolist() == taken["features"]["x"].tolist() == [0, 1, 2]
    assert taken["latency_ms"] == [1, 2, 3]
    assert "principal" not in taken


def test_what_numpy_reads_is_a_column_too() -> None:
    class Series:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            return np.array(["a", "b"])

    assert taken_column("x", Series(), 2) == ["a", "b"]
    assert taken_column("x", np.float32(2.5), 2) == 2.5
    assert taken_keys(np.array(["a", "b"]), 2) == ["a", "b"]


def test_a_column_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="x has 1 values for 2 rows"):
        taken_column("x", [1], 2)
    with pytest.raises(ValueError, match="prediction_id has 3 values for 2 rows"):
        taken_keys(["c", "d", "e"], 2)
    with pytest.raises(TypeError, match="sequence of texts"):
        taken_keys("ab", 2)
