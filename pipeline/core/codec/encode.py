"""Columns and dead letters to the bytes of a record."""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from pipeline.core.events import DeadLetter

DEAD_LETTER_VALUE_BYTES = 65_536
"""How much of the original value a dead letter carries; the rest is cut off and ``truncated`` says so."""

DEAD_LETTER_DETAIL_CHARS = 1_000
"""The longest ``detail`` of a dead letter."""


def _plain(value: object) -> object:
    """What orjson does not write itself: arrays of texts, of objects, or with gaps between their elements."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(
        f"a {type(value).__name__} has no JSON form: give numbers, strings, booleans, lists or numpy arrays"
    )


def encode_columns(fields: Mapping[str, Any], n: int) -> bytes:
    """Build the value of a record in the columnar batch layout; send it with the header ``layout: columns``.

    Args:
        fields: field name to one value for all rows, or to a list or numpy array of n values; ``features`` and
            ``segments`` are {name: column}. NaN and infinities are written as null: absent, or a missing feature.
        n: the number of rows, at least 1 and at most ``MAX_BATCH_ROWS``.

    Returns:
        The UTF-8 JSON of one object.

    Raises:
        TypeError: a value has no JSON form, is an integer beyond 64 bits, or a string that has no UTF-8 form.
    """
    return orjson.dumps({"n": n, **fields}, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY)


def encode_prediction_batch(
    *,
    model: object,
    model_version: object,
    task: object,
    prediction_id: object,
    timestamp_ms: object,
    prediction: object,
    **optional: object,
) -> bytes:
    """Build the value of a ``prediction.v1`` record in the columnar batch layout.

    Args:
        model: one name for all rows, or n names.
        model_version: one version for all rows, or n versions.
        task: one task name for all rows, or n of them.
        prediction_id: n ids.
        timestamp_ms: one time for all rows, or n times.
        prediction: one value for all rows, or n values.
        optional: the optional fields; those that are None are left out.

    Returns:
        The record's value; see ``encode_columns``.

    Raises:
        TypeError: as ``encode_columns``, or when ``prediction_id`` has no length.
    """
    fields = {
        "model": model,
        "model_version": model_version,
        "task": task,
        "prediction_id": prediction_id,
        "timestamp_ms": timestamp_ms,
        "prediction": prediction,
    }
    fields.update((name, value) for name, value in optional.items() if value is not None)
    return encode_columns(fields, len(prediction_id))  # type: ignore[arg-type]  # no length: TypeError, as documented


def encode_label_batch(*, model: object, prediction_id: object, timestamp_ms: object, label: object) -> bytes:
    """Build the value of a ``label.v1`` record in the columnar batch layout.

    Args:
        model: one name for all rows, or n names.
        prediction_id: n ids.
        timestamp_ms: one time for all rows, or n times.
        label: one label for all rows, or n labels.

    Returns:
        The record's value; see ``encode_columns``.

    Raises:
        TypeError: as ``encode_columns``, or when ``prediction_id`` has no length.
    """
    fields = {"model": model, "prediction_id": prediction_id, "timestamp_ms": timestamp_ms, "label": label}
    return encode_columns(fields, len(prediction_id))  # type: ignore[arg-type]  # no length: TypeError, as documented


def encode_dead_letter(letter: DeadLetter) -> bytes:
    """Build the value of a ``dead_letter.v1`` record.

    Args:
        letter: what could not be used, and why.

    Returns:
        UTF-8 JSON; of a value longer than ``DEAD_LETTER_VALUE_BYTES`` only the beginning, with ``truncated`` true.
        ``value_bytes`` is the length of the whole value.
    """
    event: dict[str, Any] = {
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "row": letter.row,
        "reason": letter.reason,
        # A detail may quote the bad text: whatever has no UTF-8 form is shown escaped.
        "detail": letter.detail[:DEAD_LETTER_DETAIL_CHARS].encode("utf-8", "backslashreplace").decode(),
        "value": base64.b64encode(letter.value[:DEAD_LETTER_VALUE_BYTES]).decode(),
        "value_bytes": len(letter.value),
        "truncated": len(letter.value) > DEAD_LETTER_VALUE_BYTES,
    }
    return orjson.dumps(event)
