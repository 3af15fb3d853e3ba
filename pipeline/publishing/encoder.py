"""Entries to records: rows are gathered by group and partition, checked, and written as columns."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from types import NoneType
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import orjson

from pipeline.core.codec import encode_columns
from pipeline.core.events import Task
from pipeline.core.kernels.murmur2 import partitions_of
from pipeline.publishing.columns import SPREAD, Columns, Group, Row, Stream, columns_of_event, columns_of_rows, joined

Entry: TypeAlias = Row | Columns
"""What waits in the buffer: one row, or the rows of one ``log_predictions`` or ``log_labels`` call."""

Reject: TypeAlias = Callable[[int, str], None]
"""Told how many rows cannot be sent, and why."""

_KEY_CHARS_MAX = 128
_GROUP_CHARS_MAX = {"model": 128, "model_version": 64}
_TASKS = frozenset(task.name.lower() for task in Task)
_FILL = 0.8  # of the longest record: the rows of the next one may be longer than those of the last


class Place(NamedTuple):
    """Where the rows of a record belong.

    Attributes:
        partition: the partition.
        partitions: of how many; with another number the rows belong elsewhere.
    """

    partition: int
    partitions: int


@dataclass(frozen=True, slots=True)
class Record:
    """A record to produce.

    Attributes:
        stream: where it goes.
        place: the partition that all its rows belong to.
        key: the key of its first row; it alone would lead to the same partition.
        value: the encoded event.
        rows: how many rows it carries.
    """

    stream: Stream
    place: Place
    key: bytes
    value: bytes
    rows: int

    @property
    def headers(self) -> list[tuple[str, str | bytes | None]]:
        """What tells a reader how to read the value."""
        layout: list[tuple[str, str | bytes | None]] = [("layout", "columns")] if self.stream.columnar else []
        return [("schema", self.stream.schema), *layout]


class Encoder:
    """Makes records from entries. A row that has no place in a record is rejected alone; the rows beside it go.

    Args:
        batch_rows: rows of one record at most.
        record_bytes_max: the longest value of a record.
        reject: told of what cannot be sent.
    """

    def __init__(self, batch_rows: int, record_bytes_max: int, reject: Reject) -> None:
        self._batch_rows = batch_rows
        self._record_bytes_max = record_bytes_max
        self._reject = reject
        self._rejected_rows = 0
        # How many rows of a stream fill a record, learned from the last one: long rows are not encoded twice.
        self._fitting_rows: dict[Stream, int] = {}

    def records(
        self, entries: Iterable[Entry], partitions: Mapping[str, int], parked: dict[str, list[Entry]]
    ) -> Iterator[Record]:
        """Turn entries into records; every row ends up in a record, in ``parked`` or rejected.

        Args:
            entries: what to send, in the order of arrival.
            partitions: topic's name in the contract to its number of partitions, as far as known.
            parked: topic to entries; gets those whose topic is not among ``partitions``.
        """
        rows, batches = self._gathered(entries)
        for group, members in rows.items():
            stream: Stream = group[0]
            count = partitions.get(stream.topic)
            if count is None:
                parked.setdefault(stream.topic, []).extend(members)
            else:
                yield from self._guarded(len(members), self._row_records(group, members, count))
        for parts in batches.values():
            stream = parts[0].stream
            count = partitions.get(stream.topic)
            if count is None:
                parked.setdefault(stream.topic, []).extend(parts)
            else:
                yield from self._guarded(sum(map(len, parts)), self._column_records(parts, count))

    def placed_anew(self, record: Record, count: int) -> list[Record]:
        """Turn a record into those that its rows belong to now that the topic has another number of partitions.

        Args:
            record: what this class made when the topic had, or was taken to have, another number.
            count: the number of partitions.

        Returns:
            One record or more, of the same rows in the same order a partition.
        """
        if not record.stream.columnar:
            [partition] = partitions_of([record.key.decode()], count).tolist()
            return [replace(record, place=Place(partition, count))]
        columns = columns_of_event(record.stream, orjson.loads(record.value))
        return list(self._column_records([columns], count))

    def _guarded(self, rows: int, records: Iterator[Record]) -> Iterator[Record]:
        """Reject what is left of a group when something in it breaks the encoder in a way nobody thought of."""
        left = rows + self._rejected_rows
        try:
            for record in records:
                left -= record.rows
                yield record
        except Exception as error:  # noqa: BLE001 - values of any type come in here; the other groups must go on
            self._refuse(left - self._rejected_rows, f"{type(error).__name__}: {error}")

    def _refuse(self, rows: int, why: str) -> None:
        self._rejected_rows += rows
        self._reject(rows, why)

    def _gathered(self, entries: Iterable[Entry]) -> tuple[dict[Group, list[Row]], dict[Any, list[Columns]]]:
        rows: dict[Group, list[Row]] = {}
        batches: dict[Any, list[Columns]] = {}
        for entry in entries:
            try:
                if isinstance(entry, tuple):
                    rows.setdefault(entry[0], []).append(entry)
                else:
                    batches.setdefault(entry.shape, []).append(entry)
            except TypeError:  # not hashable: no text
                self._refuse(1 if isinstance(entry, tuple) else len(entry), "model and model_version must be texts")
        return rows, batches

    def _group_is_good(self, group: Group, rows: int) -> bool:
        for name, value in zip(group[0].group_fields, group[1:], strict=True):
            fault = _group_fault(name, value)
            if fault:
                self._refuse(rows, fault)
                return False
        return True

    def _row_records(self, group: Group, rows: list[Row], count: int) -> Iterator[Record]:
        if not self._group_is_good(group, len(rows)):
            return
        rows = self._good_rows(rows)
        buckets: dict[int, list[Row]] = {}
        for row, partition in zip(rows, partitions_of([row[1] for row in rows], count).tolist(), strict=True):
            buckets.setdefault(partition, []).append(row)
        stream: Stream = group[0]
        for partition, members in buckets.items():
            place = Place(partition, count)
            if not stream.columnar:
                yield from self._single_records(stream, members, place)
                continue
            for start in range(0, len(members), self._batch_rows):
                columns = columns_of_rows(group, members[start : start + self._batch_rows])
                yield from self._fitted(columns, place)

    def _single_records(self, stream: Stream, rows: Iterable[Row], place: Place) -> Iterator[Record]:
        for _, key, event in rows:
            try:
                value = orjson.dumps(event, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY)
            except TypeError as error:
                self._refuse(1, _why(error))
                continue
            if len(value) > self._record_bytes_max:
                self._refuse(1, self._too_long(len(value)))
                continue
            yield Record(stream, place, key.encode(), value, 1)

    def _column_records(self, parts: Sequence[Columns], count: int) -> Iterator[Record]:
        columns = joined(parts)
        if not self._group_is_good(columns.group, len(columns)):
            return
        if not _are_good_keys(columns.keys):
            faults = [_key_fault(key) for key in columns.keys]
            for fault in filter(None, faults):
                self._refuse(1, fault)
            good = np.flatnonzero([fault is None for fault in faults])
            if len(good) == 0:
                return
            columns = columns.rows(good)
        partitions = partitions_of(columns.keys, count)
        order = np.argsort(partitions, kind="stable")
        ends = np.cumsum(np.bincount(partitions, minlength=count))
        columns = columns if count == 1 else columns.rows(order)
        start = 0
        for partition, end in enumerate(ends.tolist()):
            for first in range(start, end, self._batch_rows):
                part = columns.part(first, min(first + self._batch_rows, end))
                yield from self._fitted(part, Place(partition, count))
            start = end

    def _fitted(self, columns: Columns, place: Place) -> Iterator[Record]:
        """The record of these rows, or several where it would be too long or a row in it cannot be written."""
        stream = columns.stream
        rows = min(len(columns), self._fitting_rows.get(stream, len(columns)))
        if rows < len(columns):
            yield from self._split(columns, rows, place)
            return
        try:
            value = _encoded(columns)
        except (TypeError, ValueError, RecursionError) as error:
            if len(columns) == 1:
                self._refuse(1, _why(error))
            else:
                yield from self._split(columns, (len(columns) + 1) // 2, place)
            return
        row_bytes = len(value) / len(columns)
        self._fitting_rows[stream] = max(1, int(_FILL * self._record_bytes_max / row_bytes))
        if len(value) <= self._record_bytes_max:
            yield Record(stream, place, columns.keys[0].encode(), value, len(columns))
        elif len(columns) == 1:
            self._refuse(1, self._too_long(len(value)))
        else:
            fitting = min(self._fitting_rows[stream], (len(columns) + 1) // 2)
            yield from self._split(columns, fitting, place)

    def _split(self, columns: Columns, rows: int, place: Place) -> Iterator[Record]:
        for start in range(0, len(columns), rows):
            yield from self._fitted(columns.part(start, min(start + rows, len(columns))), place)

    def _good_rows(self, rows: list[Row]) -> list[Row]:
        """The rows whose key and nested fields have the right types; the others are rejected."""
        stream: Stream = rows[0][0][0]
        nested = [1 + at for at, name in enumerate(stream.row_fields) if name in SPREAD]
        if _are_good_keys([row[1] for row in rows]) and all(
            set(map(type, map(itemgetter(at), rows))) <= {dict, NoneType} for at in nested
        ):
            return rows
        good = []
        for row in rows:
            fault = _key_fault(row[1]) or next(filter(None, (_nested_fault(row[at]) for at in nested)), None)
            if fault:
                self._refuse(1, fault)
            else:
                good.append(row)
        return good

    def _too_long(self, length: int) -> str:
        return (
            f"a row takes {length} bytes, a record at most {self._record_bytes_max}: "
            "send less in it, or raise message.max.bytes here and on the topic"
        )


def _encoded(columns: Columns) -> bytes:
    event = columns.event()
    try:
        return encode_columns(event, len(columns))
    except TypeError:
        # numpy's strings and numbers as names, e.g. a classifier's ``classes_``, have no JSON form.
        return encode_columns(_with_text_names(event), len(columns))


def _with_text_names(event: Mapping[str, Any]) -> dict[str, Any]:
    plain = dict(event)
    for name in SPREAD:
        if isinstance(plain.get(name), Mapping):
            plain[name] = _named(plain[name])
    scores = plain.get("scores")
    if isinstance(scores, list | tuple):
        plain["scores"] = [_named(row) if isinstance(row, Mapping) else row for row in scores]
    elif isinstance(scores, Mapping):
        plain["scores"] = _named(scores)
    return plain


def _named(values: Mapping[Any, Any]) -> dict[Any, Any]:
    return {_text_name(name): value for name, value in values.items()}


def _text_name(name: object) -> object:
    if isinstance(name, str):
        return str(name)
    # Booleans too: a class that is true is the class "1".
    return str(int(name)) if isinstance(name, int | np.integer | np.bool_) else name


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} has no JSON form: give numbers, texts, booleans, lists or numpy arrays")


def _why(error: Exception) -> str:
    return str(error.__cause__ or error)


def _key_fault(key: object) -> str | None:
    if not isinstance(key, str):
        return f"prediction_id, host or model must be a text, not {type(key).__name__}"
    if not 0 < len(key) <= _KEY_CHARS_MAX:
        return f"prediction_id, host or model must have 1 to {_KEY_CHARS_MAX} characters, not {len(key)}"
    # Only a surrogate has no UTF-8 form, and most keys are ASCII.
    if not key.isascii() and any("\ud800" <= char <= "\udfff" for char in key):
        return "prediction_id, host or model has a character without a UTF-8 form"
    return None


def _are_good_keys(keys: Sequence[object]) -> bool:
    """Whether the keys are good at a glance: nearly always; else each must be looked at alone."""
    return set(map(type, keys)) == {str} and _lengths_are_good(keys) and "".join(keys).isascii()  # type: ignore[arg-type]  # all are str


def _lengths_are_good(keys: Iterable[Any]) -> bool:
    lengths = set(map(len, keys))
    return min(lengths) > 0 and max(lengths) <= _KEY_CHARS_MAX


def _nested_fault(value: object) -> str | None:
    if value is None or isinstance(value, dict):
        return None
    return f"features and segments must be dicts, not {type(value).__name__}"


def _group_fault(name: str, value: object) -> str | None:
    if not isinstance(value, str):
        return f"{name} must be a text, not {type(value).__name__}"
    if name == "task":
        return None if value in _TASKS else f"task {value!r} is unknown: give one of {', '.join(sorted(_TASKS))}"
    if not 0 < len(value) <= _GROUP_CHARS_MAX[name]:
        return f"{name} must have 1 to {_GROUP_CHARS_MAX[name]} characters, not {len(value)}"
    return None
