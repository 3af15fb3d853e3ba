"""Rows and batches as columns: what a record in the columnar layout is made from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from types import NoneType
from typing import Any, TypeAlias

import numpy as np

from pipeline.core.events import Int32s, Int64s


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """What a topic's rows look like, by position.

    Attributes:
        topic: the name in the contract.
        schema: the value of the ``schema`` header.
        group_fields: the fields that all rows of a record share.
        row_fields: the fields that differ by row; the first is the key.
        columnar: whether rows share records; if not, each row's second field is its whole event.
    """

    topic: str
    schema: str
    group_fields: tuple[str, ...]
    row_fields: tuple[str, ...]
    columnar: bool = True


PREDICTIONS = Stream(
    "predictions",
    "prediction.v1",
    ("model", "model_version", "task"),
    (
        "prediction_id",
        "timestamp_ms",
        "prediction",
        "score",
        "scores",
        "features",
        "embedding",
        "segments",
        "latency_ms",
        "principal",
        "input_digest",
    ),
)
LABELS = Stream("labels", "label.v1", ("model",), ("prediction_id", "timestamp_ms", "label"))
RESOURCES = Stream("resources", "resource.v1", (), ("host", "event"), columnar=False)
MODELS = Stream("models", "model.v1", (), ("model", "event"), columnar=False)

STREAMS: Mapping[str, Stream] = {stream.schema: stream for stream in (PREDICTIONS, LABELS, RESOURCES, MODELS)}
"""The streams by the name of their schema."""

Group: TypeAlias = tuple[Any, ...]
"""The stream, then the values of its group fields."""

Row: TypeAlias = tuple[Any, ...]
"""The group, then the values of the row fields; None is an absent field."""

SPREAD = frozenset({"features", "segments"})
"""The fields that are {name: column} in a record and {name: value} in a row."""

_NESTED = SPREAD | {"scores"}
"""The fields whose caller may give {name: column}."""

_REQUIRED = frozenset({"prediction_id", "timestamp_ms", "prediction", "label"})


@dataclass(frozen=True, slots=True)
class Columns:
    """n rows of one group, by field.

    Attributes:
        group: what the rows share.
        keys: n keys.
        fields: row field, key excluded, to a column (list, tuple or array of length n) or to one value for all rows;
            ``features`` and ``segments`` to {name: column or value}.
    """

    group: Group
    keys: Sequence[str]
    fields: Mapping[str, Any]

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.keys)

    @property
    def stream(self) -> Stream:
        """Where the rows go."""
        stream: Stream = self.group[0]
        return stream

    @property
    def shape(self) -> tuple[Any, ...]:
        """Equal for columns that can be joined: their group and the names of everything in them."""
        names = (
            (name, tuple(value) if name in _NESTED and isinstance(value, Mapping) else None)
            for name, value in self.fields.items()
        )
        return (self.group, *names)

    def part(self, start: int, end: int) -> "Columns":
        """The rows from ``start`` to before ``end``."""
        return self._map(lambda column: column[start:end], self.keys[start:end])

    def rows(self, order: Int32s | Int64s) -> "Columns":
        """The rows at the given places, in that order.

        Args:
            order: m row numbers.
        """
        if len(order) == 1:
            at = int(order[0])
            return self.part(at, at + 1)
        pick = itemgetter(*order.tolist())
        return self._map(
            lambda column: column[order] if isinstance(column, np.ndarray) else pick(column), pick(self.keys)
        )

    def _map(self, change: Any, keys: Sequence[str]) -> "Columns":
        return Columns(self.group, keys, {name: _changed(name, value, change) for name, value in self.fields.items()})

    def event(self) -> dict[str, Any]:
        """The fields of the record, those that the group shares included."""
        stream = self.stream
        shared = zip(stream.group_fields, self.group[1:], strict=True)
        event = {**dict(shared), stream.row_fields[0]: self.keys, **self.fields}
        scores = event.get("scores")
        if isinstance(scores, Mapping) and any(map(is_column, scores.values())):
            event["scores"] = _dicts(scores, len(self))
        return event


def is_column(value: object) -> bool:
    """Whether a field's value is a column, not one value for all rows."""
    return isinstance(value, list | tuple | np.ndarray)


def _changed(name: str, value: Any, change: Any) -> Any:
    if name in _NESTED and isinstance(value, Mapping):
        return {inner: change(column) if is_column(column) else column for inner, column in value.items()}
    return change(value) if is_column(value) else value


def _dicts(columns: Mapping[str, Any], n: int) -> list[dict[str, Any]]:
    """{name: column} as n dicts: in a record, ``scores`` stand row by row."""
    values = zip(*(_listed(column, n) for column in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in values]


def columns_of_rows(group: Group, rows: Sequence[Row]) -> Columns:
    """Turn rows of one group into columns; a field that no row has is left out.

    Args:
        group: the group of every row.
        rows: n rows, at least one; their keys are texts and their features and segments dicts or None.
    """
    stream: Stream = group[0]
    _, keys, *columns = zip(*rows, strict=True)
    fields: dict[str, Any] = {}
    for name, column in zip(stream.row_fields[1:], columns, strict=True):
        if name not in _REQUIRED and set(map(type, column)) == {NoneType}:
            continue
        fields[name] = _spread(column) if name in SPREAD else column
    if "segments" in fields:
        fields["segments"] = {name: _collapsed(column) for name, column in fields["segments"].items()}
    return Columns(group, keys, fields)


def columns_of_event(stream: Stream, event: Mapping[str, Any]) -> Columns:
    """Take a record of the columnar layout apart again.

    Args:
        stream: what the record holds.
        event: what ``Columns.event`` made, through JSON and back, ``n`` included.
    """
    key, *names = stream.row_fields
    group = (stream, *(event[name] for name in stream.group_fields))
    return Columns(group, event[key], {name: event[name] for name in names if name in event})


def _collapsed(column: Sequence[Any]) -> Any:
    first = column[0]
    return first if set(map(type, column)) == {type(first)} and column.count(first) == len(column) else column


def _spread(rows: Sequence[Mapping[str, Any] | None]) -> dict[str, Sequence[Any]]:
    """Many dicts as {name: n values}; a name that a row lacks is None there."""
    first = rows[0]
    if first and set(map(type, rows)) == {dict} and set(map(len, rows)) == {len(first)}:  # type: ignore[arg-type]
        names = tuple(first)
        try:
            # As many names as the first has, and all of the first's: the same names.
            pick: Any = itemgetter(*names)
            picked = map(pick, rows)
            return dict(zip(names, zip(*picked, strict=True), strict=True)) if names[1:] else {names[0]: tuple(picked)}
        except KeyError:
            pass
    names = tuple(dict.fromkeys(chain.from_iterable(row for row in rows if row)))
    return {name: tuple(row.get(name) if row else None for row in rows) for name in names}


def joined(parts: Sequence[Columns]) -> Columns:
    """Put columns of one shape one after the other.

    Args:
        parts: at least one; all of the same ``shape``.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    lengths = [len(part) for part in parts]
    fields: dict[str, Any] = {}
    for name, value in first.fields.items():
        if name in _NESTED and isinstance(value, Mapping):
            fields[name] = {inner: _joined([part.fields[name][inner] for part in parts], lengths) for inner in value}
        else:
            fields[name] = _joined([part.fields[name] for part in parts], lengths)
    return Columns(first.group, list(chain.from_iterable(part.keys for part in parts)), fields)


def _joined(values: Sequence[Any], lengths: Sequence[int]) -> Any:
    if all(isinstance(value, np.ndarray) for value in values) and len({value.shape[1:] for value in values}) == 1:
        return np.concatenate(values)
    if not any(is_column(value) for value in values) and all(value == values[0] for value in values):
        return values[0]
    return list(chain.from_iterable(map(_listed, values, lengths)))


def _listed(value: Any, n: int) -> Iterable[Any]:
    if isinstance(value, np.ndarray):
        return list(value) if value.ndim > 1 else value.tolist()
    return value if is_column(value) else [value] * n


def taken_column(name: str, value: Any, n: int) -> Any:
    """Take a caller's column over: what the caller does with it afterwards changes nothing.

    Args:
        name: the field, for the error.
        value: an array, list, tuple or anything numpy can read (a pandas or polars series, a tensor in main memory) of
            length n; or one value for all rows: a number, text, mapping or None.
        n: the number of rows.

    Returns:
        An array of numbers, or a list, of length n; or the one value.

    Raises:
        ValueError: the column has another length.
        TypeError: it is neither a column nor a value.
    """
    if value is None or isinstance(value, str | bytes | int | float | Mapping):
        return value
    if isinstance(value, list | tuple):
        column: Any = list(value)
    else:
        column = np.array(value)
        if column.ndim == 0:
            return column.item()
        if column.dtype.kind not in "biuf":
            column = column.tolist()
    if len(column) != n:
        raise ValueError(f"{name} has {len(column)} values for {n} rows: give one a row, or one value for all")
    return column


def taken_fields(fields: Mapping[str, Any], n: int) -> dict[str, Any]:
    """Take a caller's fields over, see ``taken_column``; fields that are None are left out.

    Args:
        fields: field to column or value; ``features``, ``segments`` and ``scores`` to {name: column or value}.
        n: the number of rows.

    Returns:
        The fields of ``Columns``.

    Raises:
        ValueError: a column has another length.
    """
    taken: dict[str, Any] = {}
    for name, value in fields.items():
        if name in _NESTED and isinstance(value, Mapping):
            taken[name] = {inner: taken_column(f"{name}.{inner}", column, n) for inner, column in value.items()}
        elif value is not None:
            taken[name] = taken_column(name, value, n)
    return taken


def taken_keys(keys: Any, n: int) -> list[Any]:
    """Take a caller's n keys over.

    Args:
        keys: a list, array or series of n texts.
        n: the number of rows.

    Raises:
        ValueError: there are more or fewer.
        TypeError: it is one text, or no sequence.
    """
    if isinstance(keys, str):
        raise TypeError("prediction_id must be a sequence of texts, not one text")
    tolist = getattr(keys, "tolist", None)
    taken = list(keys) if tolist is None else list(tolist())
    if len(taken) != n:
        raise ValueError(f"prediction_id has {len(taken)} values for {n} rows: give one a row")
    return taken
