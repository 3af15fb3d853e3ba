"""Columnar ``predictions`` records as typed lists: the way of those that a scan leaves."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from pipeline.core.codec import limits
from pipeline.core.codec.columns import optional_floats
from pipeline.core.codec.shapes import (
    Digest,
    Embedding,
    FeatureValue,
    Latency,
    Name,
    PredictionEvent,
    Principal,
    Probability,
    SegmentName,
    SegmentValue,
    TaskName,
    Timestamp,
    Version,
)
from pipeline.core.events import Float64s, Task

_BEYOND = 2.0**63
_CLASS_TYPES = frozenset({str, int, bool})
TYPES = {
    Task.BINARY: _CLASS_TYPES,
    Task.MULTICLASS: _CLASS_TYPES,
    Task.MULTILABEL: frozenset({list}),
    Task.REGRESSION: frozenset({int, float}),
    Task.RANKING: frozenset({list}),
}
"""Which Python types a task's prediction may have."""


class PredictionColumns(msgspec.Struct, gc=False):
    """A ``prediction.v1`` record in the columnar layout, as the publisher writes it; other forms go row by row."""

    n: Annotated[int, Meta(ge=1, le=limits.MAX_BATCH_ROWS)]
    prediction_id: list[Name]
    model: Name | list[Name]
    model_version: Version | list[Version]
    timestamp_ms: Timestamp | list[Timestamp]
    task: TaskName
    prediction: Any
    score: Probability | list[Probability | None] | None = None
    latency_ms: Latency | list[Latency | None] | None = None
    features: Annotated[dict[Name, FeatureValue | list[FeatureValue]], Meta(max_length=limits.MAX_FEATURES)] | None = (
        None
    )
    segments: (
        Annotated[dict[SegmentName, SegmentValue | list[SegmentValue]], Meta(max_length=limits.MAX_SEGMENTS)] | None
    ) = None
    scores: (
        Annotated[dict[Name, Probability | list[Probability | None] | None], Meta(max_length=limits.MAX_SCORES)] | None
    ) = None
    embedding: list[Embedding | None] | None = None
    principal: Principal | list[Principal | None] | None = None
    input_digest: Digest | list[Digest | None] | None = None


decode_columns = msgspec.json.Decoder(PredictionColumns).decode
"""Read a record; raises one of ``records.REFUSALS``."""


def per_row(column: Any, n: int) -> list[Any]:
    """A column of one value a row, or one value for all n rows, as n values."""
    return column if isinstance(column, list) else [column] * n


def lengths_fit(columns: PredictionColumns, n: int) -> bool:
    """Whether every column has n values."""
    for field in PredictionEvent.__struct_fields__:
        column = getattr(columns, field)
        parts = column.values() if isinstance(column, dict) else (column,)
        if any(isinstance(part, list) and len(part) != n for part in parts):
            return False
    return True


def suit(task: Task, predictions: list[Any]) -> bool:
    """Whether a column's values are plainly what the task asks for; those of classes are checked as they get codes."""
    if task.is_classes:
        return True
    if not set(map(type, predictions)) <= TYPES[task]:
        return False
    if task is Task.REGRESSION:
        # The one integer at the limit is 2^63 as a float64, which lies beyond: the checks tell them apart.
        return bool((np.abs(np.array(predictions, np.float64)) < _BEYOND).all())
    return max(map(len, predictions)) <= limits.MAX_MEMBERS


def optional_column(column: Sequence[float | None] | float | None, n: int) -> Float64s:
    """A column of optional numbers as float64[n], NaN where absent."""
    if isinstance(column, list):
        return optional_floats(column)
    return np.full(n, np.nan if column is None else column, np.float64)
