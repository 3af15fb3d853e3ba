"""One name for a class, however it was written, and one hash for a set of labels or a ranking."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import orjson

from pipeline.core.codec.limits import MAX_CLASS_NUMBER, MAX_NAME_CHARS
from pipeline.core.errors import BadEventError
from pipeline.core.events import Int64s
from pipeline.core.kernels.hashing import hash_ids


def class_name(value: object) -> str:
    """The name of a class label.

    ``True``, ``1`` and ``1.0`` are the same class, as in Python, numpy and scikit-learn: ``"1"``, like that text.

    Args:
        value: a string, an integer, a boolean, or a number without a fraction.

    Returns:
        The string as it is, or the integer's decimal digits.

    Raises:
        BadEventError: not a class label, or one beyond the limits.
    """
    if isinstance(value, str):
        if not value:
            raise BadEventError("empty", "a class label is an empty string: give it a name")
        if len(value) > MAX_NAME_CHARS:
            raise BadEventError("too_long", f"a class label has {len(value)} characters, at most {MAX_NAME_CHARS} go")
        return value
    if isinstance(value, float):
        if not np.isfinite(value):
            raise BadEventError("not_finite", "a class label is not a finite number")
        if not value.is_integer():
            raise BadEventError("wrong_type", f"the class label {value!r} has a fraction: send an integer or a string")
    elif not isinstance(value, int):
        raise BadEventError("wrong_type", "a class label must be a string, an integer or a boolean")
    if abs(value) > MAX_CLASS_NUMBER:
        raise BadEventError("out_of_range", "an integer class label must fit in 64 bits: send it as a string")
    return str(int(value))


def item_name(value: object) -> str:
    """The name of an item of a ranking.

    Args:
        value: a string, or a number without a fraction.

    Returns:
        The name, as ``class_name`` gives it.

    Raises:
        BadEventError: not an item id, or one beyond the limits.
    """
    if isinstance(value, bool):
        raise BadEventError("wrong_type", "an item of a ranking must be a string or an integer, not a boolean")
    return class_name(value)


def label_set(values: Iterable[object]) -> list[str]:
    """The canonical form of a multilabel value: its distinct class names, sorted.

    Args:
        values: class labels in any order.

    Returns:
        The names.

    Raises:
        BadEventError: one of them is no class label.
    """
    return sorted(set(map(class_name, values)))


def ranking(values: Iterable[object]) -> list[str]:
    """The canonical form of a ranking: its items' names, best first.

    Args:
        values: item ids, best first.

    Returns:
        The names.

    Raises:
        BadEventError: one of them is no item id.
    """
    return list(map(item_name, values))


def gain_list(gains: Mapping[str, float]) -> list[tuple[str, float]]:
    """The canonical form of a ranking's label: its items' names, sorted, and what each is worth.

    Args:
        gains: item to gain.

    Returns:
        Items and gains; a negative zero is a zero.
    """
    return sorted((item, gain + 0.0) for item, gain in gains.items())


def hash_members(rows: Sequence[Sequence[object]]) -> Int64s:
    """Hash canonical forms, so that equal ones can be told by one number.

    Args:
        rows: n canonical forms.

    Returns:
        int64[n]: the first half of the 128-bit murmur3 of each form, written as a JSON array.
    """
    return _hash_texts([orjson.dumps(members) for members in rows])


def hash_names(names: Sequence[str]) -> Int64s:
    """Hash the names of items: there may be too many different ones to number them.

    Args:
        names: m names.

    Returns:
        int64[m]: the first half of the 128-bit murmur3 of each.
    """
    return _hash_texts([name.encode() for name in names])


def _hash_texts(encoded: Sequence[bytes]) -> Int64s:
    ends = np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)))
    buffer = np.frombuffer(b"".join(encoded), np.uint8)
    keys = hash_ids(buffer, ends, np.zeros(len(encoded), np.int32), np.zeros((1, 2), np.uint64))
    return np.ascontiguousarray(keys[:, 0]).view(np.int64)
