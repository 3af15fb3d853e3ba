"""Many exact sums side by side, as rows of limbs: merged, written and read all at once."""

from base64 import b64decode, b64encode
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pipeline.core.accumulate.exact_sum import ExactSum, sums_of_words
from pipeline.core.events import Int32s, Int64s, Json
from pipeline.core.kernels.exact_sum import carry

_MOST_PARTS = 1 << 29
"""Additions of 32 bits that a limb of 64 has room for, with some to spare."""


class ExactSums:
    """n exact sums; sum i is that of ``limbs[i, j]`` times 2 to the 32 (low + j), in units that its owner knows.

    Args:
        low: the place of the first limb.
        limbs: int64[n, w], in 32 bits each but for the additions; the object keeps the array.
        parts: how many additions of 32 bits a limb may have seen.
    """

    __slots__ = ("limbs", "low", "parts")

    def __init__(self, low: int, limbs: Int64s, parts: int = 1) -> None:
        self.low = low
        self.limbs = limbs
        self.parts = parts

    @classmethod
    def zero(cls, count: int) -> Self:
        """Sums of nothing.

        Args:
            count: how many.
        """
        return cls(0, np.zeros((count, 0), np.int64))

    def taken(self, rows: Int64s) -> "ExactSums":
        """Some of the sums, as an object of their own.

        Args:
            rows: int64[k], which.
        """
        return ExactSums(self.low, self.limbs[rows], self.parts)

    def spread(self, rows: Int64s, count: int) -> "ExactSums":
        """The sums as some of more sums, of which the others are zero.

        Args:
            rows: int64[n], where each sum goes.
            count: how many there are then.
        """
        limbs = np.zeros((count, self.limbs.shape[1]), np.int64)
        limbs[rows] = self.limbs
        return ExactSums(self.low, limbs, self.parts)

    def merge(self, other: "ExactSums") -> None:
        """Add to each sum another one.

        Args:
            other: as many sums; left as they are.
        """
        if not other.limbs.shape[1]:
            return
        self.parts += other.parts
        if self.parts > _MOST_PARTS:
            self._carry()
            self.parts += other.parts
        low, high = min(self.low, other.low), max(self.high, other.high)
        if not self.limbs.shape[1]:
            low, high = other.low, other.high
        if (low, high) != (self.low, self.high):
            limbs = np.zeros((len(self.limbs), high - low), np.int64)
            limbs[:, self.low - low : self.high - low] = self.limbs
            self.low, self.limbs = low, limbs
        self.limbs[:, other.low - low : other.high - low] += other.limbs

    def used(self) -> NDArray[np.bool_]:
        """Which of the sums are not zero, bool[n]."""
        return np.asarray(self._words().any(axis=1))

    @property
    def high(self) -> int:
        """The place behind the last limb."""
        return self.low + int(self.limbs.shape[1])

    def _carry(self) -> None:
        words = self._words()
        self.limbs = _limbs_of(words)
        self.parts = 1

    def _words(self) -> Int32s:
        """int32[n, w + 1], each row a little-endian integer in two's complement."""
        count, width = self.limbs.shape
        limbs = np.zeros((count, width + 1), np.int64)
        limbs[:, :-1] = self.limbs
        words: Int32s = carry(limbs)
        return words

    def sums(self, unit: int) -> list[ExactSum]:
        """The sums one by one.

        Args:
            unit: the power of two that they count.
        """
        return sums_of_words(self._words(), unit + 32 * self.low)

    def to_wire(self) -> Json:
        """``[low, words, text]``: base64 of so many 32-bit words a sum; equal sums give equal values."""
        words = self._words()
        used = np.flatnonzero(words.any(axis=0))
        if not len(used):
            return [0, 0, ""]
        # A last word that only repeats the sign of the one before says nothing.
        needed = np.flatnonzero((words[:, 1:] != words[:, :-1] >> 31).any(axis=0))
        first, last = int(used[0]), max(int(used[0]), int(needed[-1]) + 1 if len(needed) else 0)
        data = words[:, first : last + 1].astype("<i4")
        return [self.low + first, last + 1 - first, b64encode(data.tobytes()).decode()]

    @classmethod
    def from_wire(cls, wire: Json, count: int) -> Self:
        """Read what ``to_wire`` wrote.

        Args:
            wire: the JSON value.
            count: how many sums they are.
        """
        low, width, text = wire
        return cls(low, _limbs_of(np.frombuffer(b64decode(text), "<i4").reshape(count, width)))


def _limbs_of(words: Int32s) -> Int64s:
    """Words as limbs: all but the last without a sign."""
    limbs = words.astype(np.int64)
    limbs[:, :-1] &= 0xFFFFFFFF
    return limbs
