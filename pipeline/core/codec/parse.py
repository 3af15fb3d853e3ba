"""Bytes to a JSON object, strictly, and a columnar record to its rows. This is the slow path: it says what is wrong."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from pipeline.core.codec.limits import MAX_BATCH_ROWS
from pipeline.core.errors import BadEventError

_LONGEST_INTEGER_DIGITS = 400
"""Longer literals are beyond every float64."""


@dataclass(frozen=True, slots=True)
class BatchLayout:
    """How the rows of an event lie in the columnar batch layout.

    Attributes:
        fields: the event's fields; others are ignored.
        maps: those that are {name: column}, each with the most names it may have.
        array: the field that must be an array, so that a record cannot hold more rows than bytes.
    """

    fields: tuple[str, ...]
    maps: Mapping[str, int]
    array: str


def parse_object(value: bytes) -> dict[str, Any]:
    """Read one JSON object.

    A key that comes twice has its last value. NaN and Infinity are no JSON, yet some writers leave them: they are read
    as such here, so that the check of their field can name them and the rows beside them count.

    Args:
        value: the record's value.

    Returns:
        The object.

    Raises:
        BadEventError: ``not_json`` or ``not_an_object``.
    """
    try:
        parsed = orjson.loads(value)
    except (orjson.JSONDecodeError, RecursionError) as error:
        parsed = _parse_with_nan(value, str(error))
    if not isinstance(parsed, dict):
        raise BadEventError("not_an_object", "the record is JSON, but not an object")
    return parsed


def _parse_with_nan(value: bytes, problem: str) -> Any:
    try:
        parsed = json.loads(value.decode(), parse_int=_integer)
        # Python reads lone surrogates, which no UTF-8 text can hold: writing it all out finds them.
        json.dumps(parsed, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise BadEventError("not_json", f"the record is not JSON: {problem[:200]}") from None
    return parsed


def _integer(digits: str) -> float:
    if len(digits) <= _LONGEST_INTEGER_DIGITS:
        return int(digits)
    return -math.inf if digits.startswith("-") else math.inf


def batch_rows(batch: Mapping[str, Any], layout: BatchLayout) -> Iterator[dict[str, Any]]:
    """The rows of a columnar record, each as the single event it stands for.

    Args:
        batch: the record's object.
        layout: the event's fields.

    Returns:
        An iterator over n objects; the checks of the whole record are done when this returns.

    Raises:
        BadEventError: the record as a whole is wrong: ``missing_field``, ``wrong_type``, ``out_of_range``, ``too_many``
            or ``length_mismatch``.
    """
    n = _row_count(batch)
    if layout.array not in batch:
        raise BadEventError("missing_field", f"{layout.array} is missing")
    if not isinstance(batch[layout.array], list):
        raise BadEventError("wrong_type", f"{layout.array} must be an array of {n} values in the columnar layout")
    for name in layout.fields:
        value = batch.get(name)
        if name in layout.maps and isinstance(value, dict):
            if len(value) > layout.maps[name]:
                raise BadEventError("too_many", f"{name} has {len(value)} names, at most {layout.maps[name]} go")
            for key, column in value.items():
                _check_length(f"{name}.{key[:64]}", column, n)
        else:
            _check_length(name, value, n)
    return (_row(batch, layout, index) for index in range(n))


def _row_count(batch: Mapping[str, Any]) -> int:
    if "n" not in batch:
        raise BadEventError("missing_field", "n is missing: a columnar record says how many rows it has")
    n = batch["n"]
    if isinstance(n, bool) or not isinstance(n, int | float) or not (math.isinf(n) or n == n // 1):
        raise BadEventError("wrong_type", "n must be an integer")
    if not 1 <= n <= MAX_BATCH_ROWS:
        raise BadEventError("out_of_range", f"n must be 1 to {MAX_BATCH_ROWS}: send fewer rows a record")
    return int(n)


def _check_length(name: str, column: object, n: int) -> None:
    if isinstance(column, list) and len(column) != n:
        raise BadEventError("length_mismatch", f"{name} has {len(column)} values, n is {n}")


def _row(batch: Mapping[str, Any], layout: BatchLayout, index: int) -> dict[str, Any]:
    row = {}
    for name in layout.fields:
        if name in batch:
            value = batch[name]
            if name in layout.maps and isinstance(value, dict):
                row[name] = {key: _at(column, index) for key, column in value.items()}
            else:
                row[name] = _at(value, index)
    return row


def _at(column: Any, index: int) -> Any:
    return column[index] if isinstance(column, list) else column
