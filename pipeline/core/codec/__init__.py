"""Bytes to columns and back: single JSON events and the columnar batch layout, validated as ``schemas/`` says.

The decoder was chosen by measurement (``bench/decoders.py``; one of two busy cores; CPU µs a row, predictions of 251
bytes):

===================================================  =====
orjson, one by one (not validated)                    1.26
orjson, all records joined in one array               1.62
msgspec untyped, one by one                           1.14
msgspec typed structs, one by one (validated)         0.82
msgspec typed structs, joined by newlines             0.72
polars ``read_ndjson`` (0.3 more for Python strings)  0.89
pyarrow ``read_json``                                 1.25
===================================================  =====

msgspec's typed structs, one by one: they check types, lengths and bounds while they parse. Joining records saves little
and lets two broken records pass as a whole one; polars fails a batch for one bad line and turns numbers into texts.
What the types refuse is read again with orjson and checked by hand, to accept what JSON Schema accepts (``1.0`` as an
integer) and to name the fault.

The whole way to columns with keys hashed: 1.65 for single predictions (6.1 with ten features), 0.77 for single labels
of 91 bytes; in records of 1,000 rows 0.33 (1.18 with ten features) and 0.21 for labels; 5.5 a row for a record that
holds a bad row, since all its rows then go through the checks.
"""

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
from pipeline.core.codec.refuse import refused_rows
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
    "refused_rows",
]
