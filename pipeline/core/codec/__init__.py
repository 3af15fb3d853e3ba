"""Bytes to columns and back: single JSON events and the columnar batch layout, validated as ``schemas/`` says."""

from pipeline.core.codec.encode import (
    encode_columns,
    encode_dead_letter,
    encode_label_batch,
    encode_prediction_batch,
)
from pipeline.core.codec.limits import MAX_BATCH_ROWS

__all__ = [
    "MAX_BATCH_ROWS",
    "encode_columns",
    "encode_dead_letter",
    "encode_label_batch",
    "encode_prediction_batch",
]
