"""Dead letters for rows that were read well and are refused later, by what they say: too late, too far ahead."""

from bisect import bisect_left
from collections.abc import Mapping

import numpy as np
import orjson

from pipeline.core.codec.headers import is_columnar
from pipeline.core.codec.labels import LABEL_LAYOUT
from pipeline.core.codec.parse import BatchLayout, batch_rows, parse_object
from pipeline.core.codec.predictions import PREDICTION_LAYOUT
from pipeline.core.events import DeadLetter, Int32s, Int64s, RecordBatch

_LAYOUTS: Mapping[str, tuple[str, BatchLayout]] = {
    "predictions": ("prediction.v1", PREDICTION_LAYOUT),
    "labels": ("label.v1", LABEL_LAYOUT),
}


def refused_rows(batch: RecordBatch, offset: Int64s, row: Int32s, reason: str, detail: str) -> list[DeadLetter]:
    """The dead letters of rows of ``predictions`` or ``labels``.

    Args:
        batch: the records they came in.
        offset: int64[k], the record of each row, in log order.
        row: int32[k], the place in the record.
        reason: the fixed code.
        detail: one sentence for a person.

    Returns:
        One dead letter a row; of a columnar record it holds that row alone.
    """
    event, layout = _LAYOUTS[batch.topic]
    letters = []
    records, starts = np.unique(offset, return_index=True)  # rows of a record follow each other
    for record_offset, places in zip(records.tolist(), np.split(row, starts[1:]), strict=True):
        index = bisect_left(batch.offsets, record_offset)
        value = batch.values[index] or b""
        if is_columnar(batch.headers[index], event):
            rows = list(batch_rows(parse_object(value), layout))
            letters += [
                _letter(batch, record_offset, place, reason, detail, orjson.dumps(rows[place]))
                for place in places.tolist()
            ]
        else:
            letters.append(_letter(batch, record_offset, None, reason, detail, value))
    return letters


def refused_records(batch: RecordBatch, offset: Int64s, reason: str, detail: str) -> list[DeadLetter]:
    """The dead letters of whole records.

    Args:
        batch: the records.
        offset: int64[k], the records' offsets; one that comes twice gives one dead letter.
        reason: the fixed code.
        detail: one sentence for a person.

    Returns:
        One dead letter a record.
    """
    return [
        _letter(batch, record, None, reason, detail, batch.values[bisect_left(batch.offsets, record)] or b"")
        for record in dict.fromkeys(offset.tolist())
    ]


def _letter(batch: RecordBatch, offset: int, row: int | None, reason: str, detail: str, value: bytes) -> DeadLetter:
    return DeadLetter(batch.topic, batch.partition, offset, row, reason, detail, value)
