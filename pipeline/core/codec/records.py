"""The way of a record batch: fast where everything is plain, strict and slow where something is not.

A run of records is scanned by kernels, which read what is plain (nearly everything) and leave the rest. Single events
that they leave, with those around them, are read by a typed decoder; a record that it refuses is read again by the
checks, which accept or name the fault. A columnar record that they leave is read whole by a typed decoder; when that
refuses, row by row through the same checks. So every row's fate is decided by itself, never by its neighbours.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from typing import Any, Generic, Protocol, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.core.codec.headers import is_columnar
from pipeline.core.codec.parse import BatchLayout, batch_rows, parse_object
from pipeline.core.codec.scan import Scan
from pipeline.core.errors import BadEventError
from pipeline.core.events import DeadLetter, RecordBatch

EventT = TypeVar("EventT")
CheckedT_co = TypeVar("CheckedT_co", covariant=True)

_CHUNK = 128
"""Single events are read so many at a time: their objects stay in the processor's cache and below what makes Python
look for cycles. Measured: 2 µs a prediction with five features, against 7 in runs of 20,000."""

REFUSALS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What a typed decoder raises for what it does not read."""


class Sink(Protocol[EventT]):
    """Collects the good rows of one batch into columns.

    Attributes:
        event: the event's name, e.g. ``prediction.v1``.
        layout: how its rows lie in a columnar record.
    """

    event: str
    layout: BatchLayout

    def scan(self, values: Sequence[bytes], /, *, columnar: bool) -> Scan:
        """Read what is plain of a run of records."""

    def add_scanned(self, scan: Scan, first: int, last: int, offsets: Sequence[int]) -> None:
        """Append the rows of records ``first`` to ``last - 1``, all of them good."""

    def read(self, value: bytes, /) -> EventT:
        """Read one event by its types; raises one of ``REFUSALS`` when in doubt."""

    def check(self, row: Mapping[str, Any], /) -> EventT:
        """Check one event; raises ``BadEventError``."""

    def add_events(self, events: Sequence[EventT], offsets: Sequence[int], rows: Sequence[int]) -> Sequence[int]:
        """Append rows; or append nothing and return the indexes of those that only ``check`` can judge."""

    def add_columns(self, value: bytes, offset: int) -> bool:
        """Append a columnar record; or append nothing and return False when in doubt."""


class RecordReader(Generic[EventT]):
    """Takes the records of a batch apart and hands their rows to a sink, in log order.

    Args:
        batch: the records.
        sink: takes the good rows.
    """

    def __init__(self, batch: RecordBatch, sink: Sink[EventT]) -> None:
        self._batch = batch
        self._sink = sink
        self._dead: list[DeadLetter] = []

    def read(self) -> list[DeadLetter]:
        """Hand every good row to the sink.

        Returns:
            The bad rows, in log order.
        """
        batch = self._batch
        for columnar, indexes in record_runs(batch, self._sink.event, self._dead):
            whole = len(indexes) == len(batch)
            values: Sequence[bytes] = batch.values if whole else [batch.values[index] for index in indexes]  # type: ignore[assignment,misc]  # none is null
            offsets = batch.offsets if whole else [batch.offsets[index] for index in indexes]
            self._read_run(values, offsets, columnar=columnar)
        self._dead.sort(key=lambda letter: (letter.offset, letter.row or 0))
        return self._dead

    def _read_run(self, values: Sequence[bytes], offsets: Sequence[int], *, columnar: bool) -> None:
        scan = self._sink.scan(values, columnar=columnar)
        for first, last, plain in _stretches(scan.good, 1 if columnar else _CHUNK):
            if plain:
                self._sink.add_scanned(scan, first, last, offsets[first:last])
            elif columnar:
                for value, offset in zip(values[first:last], offsets[first:last], strict=True):
                    self._read_columns(value, offset)
            else:
                for start in range(first, last, _CHUNK):
                    stop = min(start + _CHUNK, last)
                    self._read_singles(values[start:stop], offsets[start:stop])

    def _read_singles(self, values: Sequence[bytes], offsets: Sequence[int]) -> None:
        sink = self._sink
        try:
            _refuse_bad_utf8(values)
            events = list(map(sink.read, values))
        except REFUSALS:
            values, offsets, events = self._read_one_by_one(values, offsets)
        doubtful = sink.add_events(events, offsets, [0] * len(events))
        if not len(doubtful):
            return
        again = set(doubtful)
        fates = {index: self._checked(values[index], offsets[index]) for index in sorted(again)}
        kept = [index for index in range(len(events)) if index not in again or fates[index] is not None]
        chosen = [fates.get(index) or events[index] for index in kept]
        if sink.add_events(chosen, [offsets[index] for index in kept], [0] * len(kept)):
            raise AssertionError("a checked event is never in doubt")

    def _read_one_by_one(
        self, values: Sequence[bytes], offsets: Sequence[int]
    ) -> tuple[list[bytes], list[int], list[EventT]]:
        good = [
            (value, offset, event)
            for value, offset in zip(values, offsets, strict=True)
            if (event := self._read_or_check(value, offset)) is not None
        ]
        return [row[0] for row in good], [row[1] for row in good], [row[2] for row in good]

    def _read_or_check(self, value: bytes, offset: int) -> EventT | None:
        try:
            _refuse_bad_utf8((value,))
            return self._sink.read(value)
        except REFUSALS:
            return self._checked(value, offset)

    def _checked(self, value: bytes, offset: int) -> EventT | None:
        try:
            return self._sink.check(parse_object(value))
        except BadEventError as error:
            self._dead.append(dead_letter(self._batch, offset, error, value))
            return None

    def _read_columns(self, value: bytes, offset: int) -> None:
        sink = self._sink
        try:
            _refuse_bad_utf8((value,))
            if sink.add_columns(value, offset):
                return
        except REFUSALS:
            pass
        events, places = [], []
        for place, event in checked_rows(self._batch, value, offset, sink, self._dead):
            events.append(event)
            places.append(place)
        sink.add_events(events, [offset] * len(events), places)


class RowChecker(Protocol[CheckedT_co]):
    """What is needed to take a columnar record apart row by row; see ``Sink``."""

    layout: BatchLayout

    def check(self, row: Mapping[str, Any], /) -> CheckedT_co:
        """Check one event; raises ``BadEventError``."""


def checked_rows(
    batch: RecordBatch, value: bytes, offset: int, sink: RowChecker[EventT], dead: list[DeadLetter]
) -> Iterator[tuple[int, EventT]]:
    """Read a columnar record row by row.

    Args:
        batch: where the record comes from.
        value: the record's value.
        offset: its offset.
        sink: says how rows lie and checks each.
        dead: bad rows are appended here.

    Yields:
        The good rows: the place in the record, and what the check gave.
    """
    try:
        rows = batch_rows(parse_object(value), sink.layout)
    except BadEventError as error:
        dead.append(dead_letter(batch, offset, error, value))
        return
    for place, row in enumerate(rows):
        try:
            yield place, sink.check(row)
        except BadEventError as error:
            # NaN stays NaN in the row's bytes, so that they show the fault.
            dead.append(dead_letter(batch, offset, error, json.dumps(row).encode(), place))


def record_runs(batch: RecordBatch, event: str, dead: list[DeadLetter]) -> Iterator[tuple[bool, Sequence[int]]]:
    """Split a batch into runs of single events and runs of columnar records; null records and unknown ones go.

    Args:
        batch: the records.
        event: the event that the topic carries.
        dead: the records that go are appended here.

    Yields:
        Whether the run is columnar, and the indexes of its records.
    """
    if not any(batch.headers) and None not in batch.values:
        if len(batch):
            yield False, range(len(batch))
        return
    layouts: list[bool | None] = []
    last_headers, last_layout = None, False
    for index, (headers, value) in enumerate(zip(batch.headers, batch.values, strict=True)):
        layout: bool | None = None
        try:
            # Neighbours mostly have equal headers.
            layout = last_layout if headers == last_headers else is_columnar(headers, event)
            last_headers, last_layout = headers, layout
        except BadEventError as error:
            dead.append(dead_letter(batch, batch.offsets[index], error, value or b""))
        if value is None and layout is not None:
            layout, fault = None, BadEventError("null_record", "the record has no value")
            dead.append(dead_letter(batch, batch.offsets[index], fault, b""))
        layouts.append(layout)
    for known, indexes in groupby(range(len(layouts)), key=layouts.__getitem__):
        if known is not None:
            yield known, list(indexes)


def dead_letter(
    batch: RecordBatch, offset: int, error: BadEventError, value: bytes, row: int | None = None
) -> DeadLetter:
    """The dead letter of a row or record.

    Args:
        batch: where it comes from.
        offset: the record's offset.
        error: what is wrong.
        value: the record's bytes, or the row's when ``row`` is given.
        row: the row in a columnar record.

    Returns:
        The dead letter.
    """
    return DeadLetter(batch.topic, batch.partition, offset, row, error.reason, error.detail, value)


def _stretches(good: NDArray[np.bool_], chunk: int) -> Iterator[tuple[int, int, bool]]:
    """Cut n records into stretches that go the same way, each a multiple of ``chunk`` long.

    A doubtful record takes its chunk with it: rows handed on one by one would cost more than the typed decoder's.
    """
    plain = np.logical_and.reduceat(good, np.arange(0, len(good), chunk))
    edges = np.flatnonzero(np.diff(plain)) + 1
    bounds = [0, *(edges * chunk).tolist(), len(good)]
    for first, last in pairwise(bounds):
        yield first, last, bool(plain[first // chunk])


def _refuse_bad_utf8(values: Sequence[bytes]) -> None:
    # msgspec does not look into the strings of fields it skips.
    if not all(map(bytes.isascii, values)):
        for value in values:
            value.decode()
