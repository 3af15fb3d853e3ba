"""``resources`` and ``models`` records: few a second, so each goes through the checks."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.core.codec import limits
from pipeline.core.codec.columns import Codes
from pipeline.core.codec.parse import BatchLayout, parse_object
from pipeline.core.codec.records import checked_rows, dead_letter, record_runs
from pipeline.core.codec.rows import model_event, resource_event
from pipeline.core.errors import BadEventError
from pipeline.core.events import DeadLetter, Decoded, RecordBatch, Resources

RESOURCE_LAYOUT = BatchLayout(
    fields=("host", "timestamp_ms", "metrics", "model", "model_version"),
    maps={"metrics": limits.MAX_METRICS},
    array="timestamp_ms",
)
"""How resource events lie in a columnar record."""


class _ResourceRows:
    """The checks of resource events; see ``records.RowChecker``."""

    layout = RESOURCE_LAYOUT
    check = staticmethod(resource_event)


def decode_resources(batch: RecordBatch) -> Decoded:
    """Decode the records of one partition of ``resources``.

    Args:
        batch: the records.

    Returns:
        ``Resources`` with one row a metric in log order, and a dead letter for each bad event or record.
    """
    dead: list[DeadLetter] = []
    events: list[tuple[int, int, tuple[str, int, dict[str, float]]]] = []
    for columnar, indexes in record_runs(batch, "resource.v1", dead):
        for index in indexes:
            value, offset = batch.values[index] or b"", batch.offsets[index]
            if columnar:
                rows = checked_rows(batch, value, offset, _ResourceRows, dead)
                events += ((offset, place, event) for place, event in rows)
                continue
            try:
                events.append((offset, 0, resource_event(parse_object(value))))
            except BadEventError as error:
                dead.append(dead_letter(batch, offset, error, value))
    dead.sort(key=lambda letter: (letter.offset, letter.row or 0))
    hosts: Codes[str, str] = Codes(str)
    metrics: Codes[str, str] = Codes(str)
    readings = [
        (offset, place, *event[:2], *reading) for offset, place, event in events for reading in event[2].items()
    ]
    return Decoded(
        Resources(
            offset=np.array([reading[0] for reading in readings], np.int64),
            row=np.array([reading[1] for reading in readings], np.int32),
            host=np.array([hosts.code(reading[2]) for reading in readings], np.int32),
            timestamp_ms=np.array([reading[3] for reading in readings], np.int64),
            metric=np.array([metrics.code(reading[4]) for reading in readings], np.int32),
            value=np.array([reading[5] for reading in readings], np.float64),
            hosts=hosts.names,
            metrics=metrics.names,
            events=len(events),
        ),
        dead,
    )


def decode_models(batch: RecordBatch) -> tuple[list[tuple[int, Mapping[str, Any]]], list[DeadLetter]]:
    """Decode the records of ``models``, which are single events only: the topic keeps one a key.

    Args:
        batch: the records.

    Returns:
        Offset and event of each good record, and a dead letter for each bad one.
    """
    dead: list[DeadLetter] = []
    events: list[tuple[int, Mapping[str, Any]]] = []
    for columnar, indexes in record_runs(batch, "model.v1", dead):
        for index in indexes:
            value, offset = batch.values[index] or b"", batch.offsets[index]
            if columnar:
                error = BadEventError("unknown_layout", "model events come one a record, not in columns")
                dead.append(dead_letter(batch, offset, error, value))
                continue
            try:
                events.append((offset, model_event(parse_object(value))))
            except BadEventError as fault:
                dead.append(dead_letter(batch, offset, fault, value))
    dead.sort(key=lambda letter: letter.offset)
    return events, dead
