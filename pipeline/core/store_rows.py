"""Rows of the join store on their way to the changelog and back."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pipeline.core.kernels.join_rows import EMPTY, ROW, STATED

_HEAD = struct.Struct("<B3xIII")
_VERSION = 2
_SCORELESS = 1
"""What the release wrote that kept no scores: its rows read as rows without one."""


@dataclass(frozen=True, slots=True)
class StoreRows:
    """Rows and, apart from them, the labels of those that have one.

    Encoded: a byte for the version and three of nothing, uint32 numbers of rows and of labels, four bytes of nothing,
    then the rows and the labels as they lie in memory (little-endian): 64 bytes a row, 32 a label.

    Attributes:
        rows: ROW[n]; ``label`` is a place in ``stated``, rising from row to row, or ``EMPTY``.
        stated: STATED[m], their labels.
    """

    rows: NDArray[np.void]
    stated: NDArray[np.void]

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.rows)

    def split(self, most: int) -> Iterator[Self]:
        """Cut into parts.

        Args:
            most: rows of a part.

        Yields:
            The parts in order.
        """
        for start in range(0, len(self.rows), most):
            rows = self.rows[start : start + most].copy()
            labelled = rows["label"] != EMPTY
            first = int(rows["label"][labelled].min(initial=len(self.stated)))
            count = int(labelled.sum())
            rows["label"][labelled] -= first
            yield type(self)(rows, self.stated[first : first + count])

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Put parts one behind the other.

        Args:
            parts: at least one.
        """
        if len(parts) == 1:
            return parts[0]
        rows = np.concatenate([part.rows for part in parts])
        ends = np.cumsum([len(part) for part in parts])
        labels = np.cumsum([len(part.stated) for part in parts])
        for start, stop, before in zip(ends[:-1], ends[1:], labels[:-1], strict=True):
            own = rows["label"][start:stop]
            own[own != EMPTY] += before
        return cls(rows, np.concatenate([part.stated for part in parts]))

    def encode(self) -> bytes:
        """The rows as bytes."""
        head = _HEAD.pack(_VERSION, len(self.rows), len(self.stated), 0)
        return b"".join((head, self.rows.view(np.uint8).data, self.stated.view(np.uint8).data))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Take bytes for rows, without a copy.

        Args:
            data: from ``encode``.

        Raises:
            ValueError: another version, or not whole.
        """
        version, rows, stated, _ = _HEAD.unpack_from(data)
        if version not in (_VERSION, _SCORELESS):
            raise ValueError(f"rows of version {version}; this release reads {_VERSION}")
        if len(data) != _HEAD.size + rows * ROW.itemsize + stated * STATED.itemsize:
            raise ValueError(f"{len(data)} bytes cannot be {rows} rows with {stated} labels")
        at = _HEAD.size + rows * ROW.itemsize
        return cls(np.frombuffer(data, ROW, rows, _HEAD.size), np.frombuffer(data, STATED, stated, at))
