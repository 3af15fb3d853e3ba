"""``labels`` records to columns."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from pipeline.core.codec import limits
from pipeline.core.codec.columns import Codes, JoinKeys, class_codes, joined
from pipeline.core.codec.members import MemberLists
from pipeline.core.codec.names import gain_list, hash_members, label_set
from pipeline.core.codec.parse import BatchLayout
from pipeline.core.codec.records import RecordReader
from pipeline.core.codec.rows import label_event
from pipeline.core.codec.scan import Field, Kind, Scan, make_fields, scan_records
from pipeline.core.codec.scanned import code_names, mixed_values
from pipeline.core.codec.shapes import LabelEvent, Name, Timestamp
from pipeline.core.distinct import distinct_codes
from pipeline.core.errors import BadEventError
from pipeline.core.events import Decoded, Int32s, Int64s, LabelKind, Labels, RecordBatch, UInt8s
from pipeline.core.kernels.scan_cells import FLOAT, INTEGER, TEXT

_EVENT_DECODER = msgspec.json.Decoder(LabelEvent)
_NUMBERS = frozenset({int, float, bool})
_TEXTS = frozenset({str})

_FIELDS = make_fields(
    [
        Field("prediction_id", Kind.ID, 1, limits.MAX_NAME_CHARS, required=True),
        Field("model", Kind.CODE, 1, limits.MAX_NAME_CHARS, required=True),
        Field("timestamp_ms", Kind.TIME, 0, limits.MAX_TIMESTAMP_MS, required=True),
        Field("label", Kind.TOKEN, required=True),
    ]
)


class _LabelColumns(msgspec.Struct, gc=False):
    """A ``label.v1`` record in the columnar layout, as the publisher writes it; other forms go row by row."""

    n: Annotated[int, Meta(ge=1, le=limits.MAX_BATCH_ROWS)]
    prediction_id: list[Name]
    model: Name | list[Name]
    timestamp_ms: Timestamp | list[Timestamp]
    label: Any


_COLUMNS_DECODER = msgspec.json.Decoder(_LabelColumns)


LABEL_LAYOUT = BatchLayout(fields=LabelEvent.__struct_fields__, maps={}, array="prediction_id")
"""How labels lie in a columnar record."""


def decode_labels(batch: RecordBatch) -> Decoded:
    """Decode the records of one partition of ``labels``.

    Args:
        batch: the records.

    Returns:
        ``Labels`` with the good rows in log order, and a dead letter for each bad row or record.
    """
    sink = _LabelSink()
    dead = RecordReader(batch, sink).read()
    return Decoded(sink.finish(), dead)


def scan_labels(values: Sequence[bytes], *, columnar: bool) -> Scan:
    """Read what is plain of a run of records.

    Args:
        values: the records.
        columnar: whether each holds many rows.

    Returns:
        The scan; records with numbers that a float64 may not hold are not good.
    """
    scan = scan_records(_FIELDS, 0, values, columnar=columnar, most_rows=limits.MAX_BATCH_ROWS)
    kinds, tokens = scan.cells.kinds, scan.cells.tokens
    size = np.where(kinds == FLOAT, np.abs(tokens.view(np.float64)), np.abs(tokens))
    return scan.without(((kinds == INTEGER) | (kinds == FLOAT)) & ~(size < limits.MAX_EXACT_INTEGER))


class _LabelSink:
    """Collects labels; see ``records.Sink``."""

    event = "label.v1"
    layout = LABEL_LAYOUT
    read = staticmethod(_EVENT_DECODER.decode)
    check = staticmethod(label_event)

    def __init__(self) -> None:
        self._models: Codes[str, str] = Codes(str)
        self._classes = class_codes()
        self._members = MemberLists(self._classes)
        self._size = 0
        self._keys = JoinKeys()
        self._offset: list[Int64s] = []
        self._row: list[Int32s] = []
        self._timestamp_ms: list[Int64s] = []
        self._model: list[Int64s] = []
        self._kind: list[UInt8s] = []
        self._value: list[Int64s] = []

    scan = staticmethod(scan_labels)

    def add_scanned(self, scan: Scan, first: int, last: int, offsets: Sequence[int]) -> None:
        """Append the rows of good records."""
        rows, offset, row = scan.rows(first, last, offsets)
        is_text = scan.cells.kinds[rows] == TEXT
        value = mixed_values(scan, rows, is_text, self._classes)
        used, model = distinct_codes(scan.cells.codes[0, rows].astype(np.int64))
        names = code_names(scan, 0)
        self._keys.add_spans(scan.buffer, scan.cells.ids[rows])
        self._extend(
            offset=offset,
            row=row,
            timestamp_ms=scan.cells.times[rows],
            model=self._models.encode([names[code] for code in used.tolist()])[model],
            kind=np.where(is_text, np.uint8(LabelKind.TEXT), np.uint8(LabelKind.NUMBER)),
            value=value,
        )

    def add_events(self, events: Sequence[LabelEvent], offsets: Sequence[int], rows: Sequence[int]) -> list[int]:
        """Append rows; the types judge a label on its own."""
        if not events:
            return []
        kind, value = self._coded([event.label for event in events])
        self._keys.add([event.prediction_id for event in events])
        self._extend(
            offset=np.array(offsets, np.int64),
            row=np.array(rows, np.int32),
            timestamp_ms=np.array([event.timestamp_ms for event in events], np.int64),
            model=self._models.encode([event.model for event in events]),
            kind=kind,
            value=value,
        )
        return []

    def add_columns(self, value: bytes, offset: int) -> bool:
        """Append a columnar record whose labels are all numbers or all texts."""
        columns = _COLUMNS_DECODER.decode(value)
        n = columns.n
        fields = (columns.prediction_id, columns.model, columns.timestamp_ms, columns.label)
        if any(isinstance(column, list) and len(column) != n for column in fields):
            return False
        labels = columns.label if isinstance(columns.label, list) else [columns.label] * n
        try:
            coded = self._plainly_coded(labels)
        except (BadEventError, OverflowError):
            return False
        if coded is None:
            return False
        kind, values = coded
        one_model, one_time = columns.model, columns.timestamp_ms
        self._keys.add(columns.prediction_id)
        self._extend(
            offset=np.full(n, offset, np.int64),
            row=np.arange(n, dtype=np.int32),
            timestamp_ms=np.array(one_time, np.int64) if isinstance(one_time, list) else np.full(n, one_time, np.int64),
            model=self._models.encode(one_model)
            if isinstance(one_model, list)
            else np.full(n, self._models.code(one_model), np.int64),
            kind=kind,
            value=values,
        )
        return True

    def finish(self) -> Labels:
        """The columns of everything that was added."""
        model = joined(self._model, np.int32)
        models = self._models.names
        return Labels(
            offset=joined(self._offset, np.int64),
            row=joined(self._row, np.int32),
            key=self._keys.hashed(model, models),
            timestamp_ms=joined(self._timestamp_ms, np.int64),
            model=model,
            kind=joined(self._kind, np.uint8),
            value=joined(self._value, np.int64),
            models=models,
            classes=self._classes.names,
            members=self._members.finish(),
        )

    def _extend(
        self, *, offset: Int64s, row: Int32s, timestamp_ms: Int64s, model: Int64s, kind: UInt8s, value: Int64s
    ) -> None:
        self._offset.append(offset)
        self._row.append(row)
        self._timestamp_ms.append(timestamp_ms)
        self._model.append(model)
        self._size += len(offset)
        self._kind.append(kind)
        self._value.append(value)

    def _plainly_coded(self, labels: list[Any]) -> tuple[UInt8s, Int64s] | None:
        """The coding of labels that are all exact numbers or all texts; None when they are neither."""
        types = set(map(type, labels))
        if types <= _NUMBERS:
            numbers = np.array(labels, np.float64)
            # Strictly below 2^53: from there on a float64 no longer tells one integer from the next.
            if bool((np.abs(numbers) < limits.MAX_EXACT_INTEGER).all()):
                return np.full(len(labels), LabelKind.NUMBER, np.uint8), numbers.view(np.int64)
        elif types == _TEXTS:
            return np.full(len(labels), LabelKind.TEXT, np.uint8), self._classes.encode(labels)
        return None

    def _coded(self, labels: list[Any]) -> tuple[UInt8s, Int64s]:
        plain = self._plainly_coded(labels)
        if plain is not None:
            return plain
        kind = np.fromiter(map(_kind_of, labels), np.uint8, len(labels))
        value = np.empty(len(labels), np.int64)
        for known, code in (
            (LabelKind.NUMBER, lambda some, _: np.array(some, np.float64).view(np.int64)),
            (LabelKind.TEXT, lambda some, _: self._classes.encode(some)),
            (LabelKind.SET, self._sets),
            (LabelKind.GAINS, self._gains),
        ):
            rows = np.flatnonzero(kind == known)
            if len(rows):
                value[rows] = code([labels[row] for row in rows], rows)
        return kind, value

    def _sets(self, labels: Sequence[Any], rows: Int64s) -> Int64s:
        canonical = list(map(label_set, labels))
        self._members.add_sets(rows + self._size, canonical)
        return hash_members(canonical)

    def _gains(self, labels: Sequence[Any], rows: Int64s) -> Int64s:
        canonical = list(map(gain_list, labels))
        self._members.add_gains(rows + self._size, canonical)
        return hash_members(canonical)


def _kind_of(label: object) -> LabelKind:
    if isinstance(label, str):
        return LabelKind.TEXT
    if isinstance(label, list):
        return LabelKind.SET
    if isinstance(label, dict):
        return LabelKind.GAINS
    # Beyond 2^53 the digits of an integer matter more than its size: it is an id of a class.
    if isinstance(label, int) and abs(label) > limits.MAX_EXACT_INTEGER:
        return LabelKind.TEXT
    return LabelKind.NUMBER
