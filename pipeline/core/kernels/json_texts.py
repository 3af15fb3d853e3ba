"""JSON's blanks, strings and keys in bytes, without a Python object each.

All kernels here read a buffer in which a zero byte stands behind every record: no JSON goes on with it, so no place
needs to be compared with an end.
"""

from typing import Any

import numpy as np

from pipeline.core.kernels.jit import inline_kernel as kernel
from pipeline.core.kernels.json_numbers import BAD

QUOTE = ord('"')
COMMA = ord(",")
COLON = ord(":")
_BACKSLASH = ord("\\")
_SPACE = ord(" ")
_BLANKS = (ord("\t"), ord("\n"), ord("\r"))
_CONTINUES = 0x80  # of a byte's two highest bits: it goes on with a character of UTF-8
_TOP_BITS = 0xC0


@kernel
def skip_blanks(buffer: Any, at: Any) -> Any:
    """Where the next byte that is no blank stands."""
    while buffer[at] <= _SPACE and (buffer[at] == _SPACE or buffer[at] in _BLANKS):
        at += 1
    return at


@kernel
def string_end(buffer: Any, at: Any) -> Any:
    """Where the string ends whose first byte stands at ``at``: its closing quote, or ``BAD``.

    An escape is not plain: the bytes would not be the text. Neither is a control character, which no JSON string holds.
    """
    while buffer[at] != QUOTE:
        if buffer[at] < _SPACE or buffer[at] == _BACKSLASH:
            return BAD
        at += 1
    return at


@kernel
def has_length(buffer: Any, start: Any, end: Any, least: Any, most: Any) -> Any:
    """Whether a UTF-8 text of these bytes has ``least`` to ``most`` characters."""
    if end - start <= most:
        return end - start >= least  # a text of some bytes has some characters
    characters = 0
    for at in range(start, end):
        characters += (buffer[at] & _TOP_BITS) != _CONTINUES
    return least <= characters <= most


@kernel
def same_bytes(buffer: Any, start: Any, end: Any, other: Any, first: Any, last: Any) -> Any:
    """Whether ``buffer[start:end]`` and ``other[first:last]`` are the same."""
    if end - start != last - first:
        return False
    for place in range(end - start):
        if buffer[start + place] != other[first + place]:
            return False
    return True


@kernel
def is_word(buffer: Any, at: Any, word: Any) -> Any:
    """Whether a literal (``null``, ``true``, ``false``) stands at ``at``; ``word`` is uint8[k]."""
    for place in range(len(word)):
        if buffer[at + place] != word[place]:
            return False
    return True


NULL = np.frombuffer(b"null", np.uint8)
TRUE = np.frombuffer(b"true", np.uint8)
FALSE = np.frombuffer(b"false", np.uint8)


@kernel
def after_comma(buffer: Any, at: Any, close: Any) -> Any:
    """Go on behind an element of an array or object.

    Args:
        buffer: uint8[b].
        at: behind the element.
        close: the closing bracket.

    Returns:
        (the next element's place and False, or the place behind the closing bracket and True); ``BAD`` and True when
        neither a comma nor the bracket stands there.
    """
    at = skip_blanks(buffer, at)
    if buffer[at] == close:
        return at + 1, True
    if buffer[at] != COMMA:
        return BAD, True
    return skip_blanks(buffer, at + 1), False


@kernel
def key_end(buffer: Any, at: Any) -> Any:
    """Read an object's key and the colon behind it.

    Args:
        buffer: uint8[b].
        at: where the key's opening quote should stand.

    Returns:
        (where the key's text ends or ``BAD``, where its value begins).
    """
    if buffer[at] != QUOTE:
        return BAD, at
    end = string_end(buffer, at + 1)
    if end < 0:
        return BAD, at
    at = skip_blanks(buffer, end + 1)
    if buffer[at] != COLON:
        return BAD, at
    return end, skip_blanks(buffer, at + 1)
