"""Rows by the key of a fine bin of scores, sparse, and small while nothing is done with them."""

from binascii import a2b_base64, b2a_base64
from typing import Self

import numpy as np

from pipeline.core.events import Int32s, Int64s
from pipeline.core.kernels.scores import decode_counts, encode_counts, merge_counts

Arrays = tuple[Int32s, Int64s]
"""int32[b] keys, strictly rising; int64[b] counts, none of them zero."""

_NONE: Arrays = np.empty(0, np.int32), np.empty(0, np.int64)


class KeyCounts:
    """Counts by key.

    Many panes wait for their labels at once, and each is written to a changelog before it waits: from then on the text
    that was written stands for the arrays, which take five times as much. Arrays are replaced, never changed.

    Args:
        arrays: keys and counts.
    """

    __slots__ = ("_arrays", "_text")

    def __init__(self, arrays: Arrays = _NONE) -> None:
        self._arrays: Arrays | None = arrays
        self._text = ""

    @property
    def arrays(self) -> Arrays:
        """Keys and counts."""
        return self._arrays or _decoded(self._text)

    def merge(self, other: Self) -> None:
        """Add the counts of another.

        Args:
            other: the other.
        """
        if other.is_zero():
            return
        self._arrays = other.arrays if self.is_zero() else merge_counts(*self.arrays, *other.arrays)

    def is_zero(self) -> bool:
        """Whether there is no count."""
        return not (self._text if self._arrays is None else len(self._arrays[0]))

    def halve(self) -> tuple["KeyCounts", "KeyCounts"]:
        """The lesser half of the keys, and the others."""
        keys, counts = self.arrays
        half = len(keys) // 2
        return KeyCounts((keys[:half], counts[:half])), KeyCounts((keys[half:], counts[half:]))

    def to_wire(self) -> str:
        """The counts in base64."""
        if self._arrays is not None:
            self._text = b2a_base64(encode_counts(*self._arrays).tobytes(), newline=False).decode()
            self._arrays = None
        return self._text

    @classmethod
    def from_wire(cls, wire: str) -> Self:
        """Read what ``to_wire`` wrote.

        Args:
            wire: the text.

        Returns:
            The counts.

        Raises:
            ValueError: it wrote no such text.
        """
        return cls(_decoded(wire))


def _decoded(text: str) -> Arrays:
    return decode_counts(np.frombuffer(a2b_base64(text, strict_mode=True), np.uint8))
