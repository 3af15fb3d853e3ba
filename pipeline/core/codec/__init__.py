"""Bytes to columns and back: single JSON events and the columnar batch layout, validated as ``schemas/`` says."""

from pipeline.core.codec.encode import (
    encode_columns,
    encode_dead_letter,
    encode_label_batch,
    encode_prediction_batch,
)
from pipeline.core.codec.labels import decode_labels
from pipeline.core.codec.limits import MAX_BATCH_ROWS
from pipeline.core.codec.names import class_name, hash_members, ideal_ranking, label_set, ranking
from pipeline.core.codec.predictions import decode_predictions
from pipeline.core.codec.refuse import refused_records, refused_rows
from pipeline.core.codec.resources import decode_models, decode_resources
from pipeline.core.kernels.hashing import hash_key

__all__ = [
    "MAX_BATCH_ROWS",
    "class_name",
    "decode_labels",
    "decode_models",
    "decode_predictions",
    "decode_resources",
    "encode_columns",
    "encode_dead_letter",
    "encode_label_batch",
    "encode_prediction_batch",
    "hash_key",
    "hash_members",
    "ideal_ranking",
    "label_set",
    "ranking",
    "refused_records",
    "refused_rows",
]
