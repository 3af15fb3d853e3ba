"""The cold tier of the join: rows that wait for their labels outside of memory, in segments that expire as a whole.

A row lies in one tier at a time. Before anything is done with a key, all of its rows are taken back to memory, so the
join itself knows nothing of tiers and gives the same results wherever a row lay. In memory stay an index of four bytes
a key, which says for almost every key that is not here that it is not, and a bit a row for those taken back.

A label that waits for its prediction must be reported when it expires. Such labels come here last, in segments of
their own, and a segment of them is taken back whole when the first of them expires. Every other row expires without a
trace, a matched label's included: what is past its time when it is taken back is dropped or reduced as a sweep would
have done, and what nobody asks for goes with its segment, unread, once the last of its rows is past use.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import LimitError
from pipeline.core.events import Int32s, Int64s, UInt64s
from pipeline.core.kernels import join_cold as kernels
from pipeline.core.kernels import join_index as index_kernels
from pipeline.core.kernels.join_rows import Hot

MEMORY_BYTES = 5.2
"""In memory for a row on disk: 4.2 of the index, which cannot be filled to the last slot, 0.2 for its bit and its share
of where its block begins, and 0.8 of RocksDB, which keeps where its blocks lie."""

DISK_BYTES = 47
"""On disk for a row with its label, compressed; without one 32. Measured with random ids."""

_INDEX_SHARE = 0.8  # of the memory; see MEMORY_BYTES
_BLOCK_ROWS = 48  # 4 KiB
_FEWEST_SLOTS = 1 << 12
_HOME_BITS = np.uint64(32)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class StoreFullError(LimitError):
    """The store holds as many rows as its limits allow."""


class ColdBlocks(Protocol):
    """Where the blocks of segments are kept. Nothing needs to outlast the process: the changelog is the truth."""

    def write(self, segment: int, data: memoryview, bounds: Int64s) -> None:
        """Keep a segment.

        Args:
            segment: its number, not in use.
            data: its blocks one behind the other.
            bounds: int64[blocks + 1], where each begins, in bytes, and the end.

        Raises:
            DriftlineError: they cannot be kept; the message names the mend.
        """

    def read(self, segment: int, blocks: Int64s) -> bytes:
        """Blocks of a segment, one behind the other.

        Args:
            segment: its number.
            blocks: int64[b], which; rising.

        Raises:
            DriftlineError: they cannot be read; the message names the mend.
        """

    def drop(self, segment: int) -> None:
        """Forget a segment.

        Args:
            segment: its number; it may be used again.
        """

    def size_bytes(self) -> int:
        """The disk space that is taken."""


@dataclass(slots=True)
class _Segment:
    bounds: NDArray[np.int32]  # where blocks begin, in rows
    gone: NDArray[np.uint8]  # a bit a row
    rows: int  # not gone
    waiting: bool  # labels that wait for their prediction, all of them
    due_ms: int  # when the last row is past use; of labels that wait, the first


class ColdTier:
    """The segments of one store.

    Args:
        blocks: keeps them.
        memory_bytes: for the index and all else that stays in memory.
        limits_ms: int64[2], the label horizon and the early-label horizon.
    """

    def __init__(self, blocks: ColdBlocks, memory_bytes: int, limits_ms: Int64s) -> None:
        self._blocks = blocks
        self._limits_ms = limits_ms
        slots = int(memory_bytes * _INDEX_SHARE) // index_kernels.SLOT_BYTES
        self._index = index_kernels.make_index(max(slots, _FEWEST_SLOTS))
        self._segments: dict[int, _Segment] = {}
        self._last = 0
        self._rows = 0

    def __len__(self) -> int:
        """The rows on disk, those that expired in a segment that has not counted."""
        return self._rows

    @property
    def size_bytes(self) -> int:
        """The disk space that is taken."""
        return self._blocks.size_bytes() if self._segments else 0

    def find(self, key: UInt64s, start: int, stop: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Which keys may have rows here.

        Args:
            key: uint64[n, 2].
            start: the first key to look for.
            stop: the end of those to look for.

        Returns:
            int32[m] numbers of keys, and int32[m] a segment that may have rows of each.
        """
        if not self._segments:
            return np.zeros(0, np.int32), np.zeros(0, np.int32)
        room = stop - start + 64
        while True:
            which, segment = np.empty(room, np.int32), np.empty(room, np.int32)
            found = index_kernels.find_entries(self._index, key, start, stop, which, segment)
            if found <= room:
                return which[:found], segment[:found]
            room = found

    def take_back(
        self, hot: Hot, key: UInt64s, which: NDArray[np.int32], segment: NDArray[np.int32], final_ms: int
    ) -> bool:
        """Move the rows of some keys to memory.

        Args:
            hot: the rows in memory.
            key: uint64[n, 2].
            which: int32[m], numbers of keys, as ``find`` gave them.
            segment: int32[m], where they may have rows.
            final_ms: the joint watermark of the last sweep.

        Returns:
            Whether all were moved: there may be no room. Those that were stay.
        """
        if not len(which):
            return True
        order = np.argsort(segment, kind="stable")
        which, segment = which[order], segment[order]
        ends = np.flatnonzero(np.diff(segment)) + 1
        for keys, number in zip(np.split(which, ends), segment[np.r_[0, ends]].tolist(), strict=True):
            if not self._take_from(number, hot, key, keys, final_ms):
                return False
        return True

    def _take_from(self, number: int, hot: Hot, key: UInt64s, keys: NDArray[np.int32], final_ms: int) -> bool:
        segment = self._segments[number]
        homes = (key[keys, 0] * _GOLDEN) >> _HOME_BITS
        blocks = ((homes * np.uint64(len(segment.bounds) - 1)) >> _HOME_BITS).astype(np.int64)
        wanted, place = np.unique(blocks, return_inverse=True)
        origins = segment.bounds[wanted].astype(np.int64)
        starts = np.concatenate(([0], np.cumsum(segment.bounds[wanted + 1] - origins)))
        found = np.frombuffer(self._blocks.read(number, wanted), kernels.COLD_ROW)
        taken, is_all = kernels.move_in(
            hot, key, keys, place, starts, origins, found, segment.gone, self._index, number, final_ms, self._limits_ms
        )
        segment.rows -= taken
        self._rows -= taken
        if not segment.rows:
            self._drop([number])
        return bool(is_all)

    def put_away(self, hot: Hot, chosen: NDArray[np.int32], *, waiting: bool) -> None:
        """Move rows from memory to a new segment.

        Args:
            hot: the rows in memory.
            chosen: int32[n], those to move, as ``choose`` gave them.
            waiting: whether they are labels that wait for their prediction.

        Raises:
            StoreFullError: the index is full, or there are too many segments.
        """
        number = self._next_number()
        ends = np.zeros(max(1, len(chosen) // _BLOCK_ROWS) + 1, np.int64)
        kernels.count_blocks(hot, chosen, ends)
        bounds = np.cumsum(ends)
        rows = np.zeros(len(chosen), kernels.COLD_ROW)
        moved, first_ms, last_ms = kernels.move_out(
            hot, chosen, bounds[:-1].copy(), rows, self._index, number, self._limits_ms
        )
        if not moved:
            raise self._full()
        self._blocks.write(number, rows.view(np.uint8).data, bounds * rows.itemsize)
        self._rows += len(rows)
        gone = np.zeros(len(rows) // 8 + 1, np.uint8)
        due_ms = first_ms if waiting else last_ms
        self._segments[number] = _Segment(bounds.astype(np.int32), gone, len(rows), waiting, due_ms)

    def sweep(self, final_ms: int) -> None:
        """Drop the segments that nothing can join any more.

        Args:
            final_ms: the joint watermark.
        """
        self._forget([number for number, one in self._segments.items() if one.due_ms < final_ms and not one.waiting])

    def waiting_due(self, final_ms: int) -> list[tuple[int, int]]:
        """The segments with labels that have waited in vain: number and rows of each, to be recalled.

        Args:
            final_ms: the joint watermark.
        """
        segments = self._segments.items()
        return [(number, one.rows) for number, one in segments if one.waiting and one.due_ms < final_ms]

    def recall(self, hot: Hot, number: int, final_ms: int) -> tuple[Int32s, Int64s]:
        """Take a segment of labels back to memory, which must have room for them.

        Args:
            hot: the rows in memory.
            number: the segment's.
            final_ms: the joint watermark.

        Returns:
            The labels that have waited in vain, and are not taken back: int32[n] models and int64[n] effective times.
        """
        segment = self._segments[number]
        data = self._blocks.read(number, np.arange(len(segment.bounds) - 1))
        found = np.frombuffer(data, kernels.COLD_ROW)
        model, effective_ms = np.empty(len(found), np.int32), np.empty(len(found), np.int64)
        count = kernels.recall(hot, found, segment.gone, final_ms, self._limits_ms, model, effective_ms)
        self._forget([number])
        return model[:count], effective_ms[:count]

    def _forget(self, numbers: list[int]) -> None:
        """Drop segments and their entries in the index."""
        if numbers:
            dropped: NDArray[Any] = np.zeros(index_kernels.MAX_SEGMENT + 1, np.bool_)
            dropped[numbers] = True
            index_kernels.drop_segments(self._index, dropped)
            self._drop(numbers)

    def _drop(self, numbers: list[int]) -> None:
        for number in numbers:
            self._rows -= self._segments.pop(number).rows
            self._blocks.drop(number)

    def _next_number(self) -> int:
        if len(self._segments) >= index_kernels.MAX_SEGMENT:
            raise self._full()
        while True:
            self._last = self._last % index_kernels.MAX_SEGMENT + 1
            if self._last not in self._segments:
                return self._last

    def _full(self) -> StoreFullError:
        return StoreFullError(
            f"{len(self):,} open rows on disk fill the memory for their index: raise joiner.memory_mb, or shorten"
            " windows.label_horizon; the state in Kafka is intact"
        )
