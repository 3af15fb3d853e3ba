"""Checks of single values, one reason code a kind of fault; ``schemas/`` states the same rules.

An optional field that is null counts as left out, so that rows of a batch can lack it.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pipeline.core.codec.limits import MAX_NAME_CHARS, MAX_NUMBER, MAX_TIMESTAMP_MS
from pipeline.core.errors import BadEventError

Row = Mapping[str, Any]
ValueT = TypeVar("ValueT")

_JSON_TYPES = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
}


def wrong_type(name: str, wanted: str, value: object) -> BadEventError:
    """The error for a value of the wrong JSON type.

    Args:
        name: where it stands.
        wanted: what belongs there, with its article.
        value: what stands there.

    Returns:
        The error, to be raised.
    """
    return BadEventError("wrong_type", f"{name[:200]} must be {wanted}, not {_JSON_TYPES[type(value)]}")


def required(row: Row, name: str) -> Any:
    """The value of a field that must be there.

    Args:
        row: the event.
        name: the field.

    Returns:
        The value, of any type.

    Raises:
        BadEventError: ``missing_field``.
    """
    if name not in row:
        raise BadEventError("missing_field", f"{name} is missing")
    return row[name]


def optional(row: Row, name: str, check: Callable[[str, Any], ValueT]) -> ValueT | None:
    """The checked value of a field that may be left out.

    Args:
        row: the event.
        name: the field.
        check: called with the name and the value when there is one.

    Returns:
        What the check gives; None when the field is absent or null.

    Raises:
        BadEventError: what the check raises.
    """
    value = row.get(name)
    return None if value is None else check(name, value)


def text(name: str, value: object, longest: int = MAX_NAME_CHARS, shortest: int = 1) -> str:
    """Check a string.

    Args:
        name: where it stands.
        value: what stands there.
        longest: the most characters it may have.
        shortest: the fewest.

    Returns:
        The string.

    Raises:
        BadEventError: ``wrong_type``, ``empty`` or ``too_long``.
    """
    if not isinstance(value, str):
        raise wrong_type(name, "a string", value)
    if len(value) < shortest:
        raise BadEventError("empty", f"{name[:200]} is an empty string")
    if len(value) > longest:
        raise BadEventError("too_long", f"{name[:200]} has {len(value)} characters, at most {longest} go")
    return value


def number(name: str, value: object, least: float = -MAX_NUMBER, most: float = MAX_NUMBER) -> float:
    """Check a number.

    Args:
        name: where it stands.
        value: what stands there.
        least: the smallest it may be.
        most: the largest.

    Returns:
        The number, an integer where the event has one.

    Raises:
        BadEventError: ``wrong_type``, ``not_finite`` or ``out_of_range``.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong_type(name, "a number", value)
    if isinstance(value, float) and not math.isfinite(value):
        raise BadEventError("not_finite", f"{name[:200]} is {value}, not a finite number")
    if not least <= value <= most:
        raise BadEventError("out_of_range", f"{name[:200]} is {value!r:.40}, outside {least} to {most}")
    return value


def integer(name: str, value: object, least: int, most: int) -> int:
    """Check an integer; a number without a fraction, like 1.0, is one.

    Args:
        name: where it stands.
        value: what stands there.
        least: the smallest it may be.
        most: the largest.

    Returns:
        The integer.

    Raises:
        BadEventError: as ``number``.
    """
    checked = number(name, value, least, most)
    if isinstance(checked, float) and not checked.is_integer():
        raise BadEventError("wrong_type", f"{name[:200]} must be an integer, not {checked!r}")
    return int(checked)


def timestamp(row: Row) -> int:
    """Check ``timestamp_ms``.

    Args:
        row: the event.

    Returns:
        Epoch milliseconds, up to the end of the year 9999.

    Raises:
        BadEventError: ``missing_field`` or as ``integer``.
    """
    return integer("timestamp_ms", required(row, "timestamp_ms"), 0, MAX_TIMESTAMP_MS)


def array(name: str, value: object, most: int) -> list[Any]:
    """Check an array's length.

    Args:
        name: where it stands.
        value: what stands there.
        most: the most elements it may have.

    Returns:
        The array, its elements unchecked.

    Raises:
        BadEventError: ``wrong_type`` or ``too_many``.
    """
    if not isinstance(value, list):
        raise wrong_type(name, "an array", value)
    if len(value) > most:
        raise BadEventError("too_many", f"{name} has {len(value)} elements, at most {most} go")
    return value


def mapping(name: str, value: object, most: int, check: Callable[[str, Any], ValueT]) -> dict[str, ValueT]:
    """Check an object: the number and length of its names, and each value.

    Args:
        name: where it stands.
        value: what stands there.
        most: the most names it may have.
        check: called with ``name.key`` and the value.

    Returns:
        The names with what the check gives for them.

    Raises:
        BadEventError: ``wrong_type``, ``too_many``, ``empty``, ``too_long`` or what the check raises.
    """
    if not isinstance(value, dict):
        raise wrong_type(name, "an object", value)
    if len(value) > most:
        raise BadEventError("too_many", f"{name} has {len(value)} names, at most {most} go")
    return {text(f"a name in {name}", key): check(f"{name}.{key}", element) for key, element in value.items()}
