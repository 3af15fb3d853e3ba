"""Bytes to columns and back: single JSON events and the columnar batch layout, validated as ``schemas/`` says.

What is plain, nearly everything, is read by our own kernels (``scan``): they go over the bytes of a whole run once and
write into columns, without a Python object a row. ``bench/decoders.py`` repeats the figures (one of two busy cores; CPU
µs a row, predictions of 251 bytes, labels of 91):

=============================================================  =====
parsing alone: orjson, one by one (not validated)               1.22
parsing alone: msgspec untyped, one by one                      1.07
parsing alone: msgspec typed structs, one by one (validated)    0.75
parsing alone: polars ``read_ndjson``                           0.80
parsing alone: pyarrow ``read_json``                            1.23
the whole way to columns, validated, keys hashed                0.66
the same with ten features (510 bytes)                          1.16
the same, labels                                                0.37
the same in records of 1,000: predictions                       0.18
the same in records of 1,000: predictions with ten features     0.51
the same in records of 1,000: labels                            0.10
=============================================================  =====

What a scan leaves (escapes in strings, sets of labels, rankings, whatever is wrong) is read by msgspec's typed structs,
which check types, lengths and bounds while they parse: about 1.7 µs a prediction, 6 with ten features, the fastest of
the libraries that validate and that let no broken record touch its neighbours. What the types refuse is read again with
orjson and checked by hand, to accept what JSON Schema accepts (``1.0`` as an integer) and to name the fault.
"""

from pipeline.core.codec.encode import (
    encode_columns,
    encode_dead_letter,
    encode_label_batch,
    encode_prediction_batch,
)
from pipeline.core.codec.labels import decode_labels
from pipeline.core.codec.limits import MAX_BATCH_ROWS
from pipeline.core.codec.names import class_name, gain_list, hash_members, label_set, ranking
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
    "gain_list",
    "hash_key",
    "hash_members",
    "label_set",
    "ranking",
    "refused_rows",
]
