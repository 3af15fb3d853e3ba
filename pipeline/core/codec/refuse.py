"""Dead letters for rows that were read well and are refused later, by what they say: too late, too far ahead."""

import json
from bisect import bisect_left
from collections.abc import Mapping
from itertools import groupby
from operator import itemgetter

from pipeline.core.codec.headers import is_columnar
from pipeline.core.codec.labels import LABEL_LAYOUT
from pipeline.core.codec.parse import BatchLayout, batch_rows, parse_object
from pipeline.core.codec.predictions import PREDICTION_LAYOUT
from pipeline.core.codec.resources import RESOURCE_LAYOUT
from pipeline.core.events import DeadLetter, Int32s, Int64s, RecordBatch

_LAYOUTS: Mapping[str, tuple[str, BatchLayout]] = {
    "predictions": ("prediction.v1", PREDICTION_LAYOUT),
    "labels": ("label.v1", LABEL_LAYOUT),
    "resources": ("resource.v1", RESOURCE_LAYOUT),
}


def refused_rows(batch: RecordBatch, offset: Int64s, row: Int32s, reason: str, detail: str) -> list[DeadLetter]:
    """The dead letters of rows of ``predictions``, ``labels`` or ``resources``.

    Args:
        batch: the records they came in.
        offset: int64[k], the record of each row, in log order.
        row: int32[k], the place in the record; the readings of one resource event share theirs.
        reason: the fixed code.
        detail: one sentence for a person.

    Returns:
        One dead letter an event; of a columnar record it holds that event alone.
    """
    event, layout = _LAYOUTS[batch.topic]
    letters = []
    refused = dict.fromkeys(zip(offset.tolist(), row.tolist(), strict=True))
    for record, places in groupby(refused, key=itemgetter(0)):
        index = bisect_left(batch.offsets, record)
        value = batch.values[index] or b""
        if is_columnar(batch.headers[index], event):
            rows = list(batch_rows(parse_object(value), layout))
            letters += [
                # Python's writer: a good row may hold an integer beyond 64 bits, as a feature.
                DeadLetter(
                    batch.topic, batch.partition, record, place, reason, detail, json.dumps(rows[place]).encode()
                )
                for _, place in places
            ]
        else:
            letters.append(DeadLetter(batch.topic, batch.partition, record, None, reason, detail, value))
    return letters
