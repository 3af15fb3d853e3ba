"""Dictionary codes: each distinct value gets a small number, once, and the changelog gets it once."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Generic, TypeVar

import numpy as np

from pipeline.core.events import Int32s

T = TypeVar("T", bound=Hashable)

NO_CODE = -1


class Dictionary(Generic[T]):
    """Values by code, codes by value, at most ``limit`` of them."""

    def __init__(self, limit: int) -> None:
        self.values: list[T] = []
        self._codes: dict[T, int] = {}
        self._limit = limit
        self._written = 0

    def code(self, value: T) -> int:
        """The value's code.

        Args:
            value: known or new.

        Returns:
            Its code; ``NO_CODE`` for a new value when the dictionary is full.
        """
        code = self._codes.get(value)
        if code is None:
            if len(self.values) >= self._limit:
                return NO_CODE
            code = self._codes[value] = len(self.values)
            self.values.append(value)
        return code

    def encode(self, values: Iterable[T]) -> Int32s:
        """The codes of some values.

        Args:
            values: k values.

        Returns:
            int32[k], with ``NO_CODE`` where the dictionary is full.
        """
        return np.array([self.code(value) for value in values], np.int32)

    def take_new(self) -> tuple[int, Sequence[T]]:
        """The values added since the last call, and the first one's code."""
        first, self._written = self._written, len(self.values)
        return first, self.values[first:]

    def restore(self, first: int, values: Iterable[T]) -> None:
        """Put back what ``take_new`` gave; calls come in the order of the codes.

        Args:
            first: the first value's code.
            values: the values that follow each other from there.
        """
        for value in self.values[first:]:
            del self._codes[value]
        del self.values[first:]
        for value in values:
            self._codes[value] = len(self.values)
            self.values.append(value)
        self._written = len(self.values)
