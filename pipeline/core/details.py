"""Details: what sets, rankings and gains hold, by the 64-bit hash that stands for them in the rows of the join.

Rows have a fixed size; their members lie here, once however many rows have them. A detail is kept in the *segment* of
event time in which the last row that needs it expires; when it is needed for longer it is written once more, to a later
segment, and found there. So nothing is ever searched for what has expired: a segment's chunks are given up together.

Each commit writes the words that are new, chunk by chunk, as a numbered part of the changelog, which is deleted with
its segment. What the store gives for an id depends on nothing but the id, so neither the order of insertion nor when a
segment is dropped changes any result.
"""

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline.core.distinct import distinct_codes
from pipeline.core.errors import LimitError
from pipeline.core.events import Int64s, Ragged
from pipeline.core.join_hot import SharedMemory
from pipeline.core.kernels import details as kernels
from pipeline.core.kernels.details import CHUNK_WORDS, EMPTY, FREE, Arena

SEGMENTS = 8
"""Of event time in a label horizon: a detail is kept for up to an eighth longer than it is needed."""

_WORD_BYTES = 8
_FIRST_SLOTS = 1 << 10
_LEAST_SLOTS = 1 << 17  # a megabyte: for the rows of one batch, however little memory there is
_HEAD = struct.Struct("<B7xq")
_VERSION = 1


class DetailsFullError(LimitError):
    """The memory for details is in use."""


def hash_lists(lists: Ragged) -> Int64s:
    """Ids of lists that have none yet, from their codes and weights.

    Args:
        lists: k lists.

    Returns:
        int64[k], all negative.
    """
    return kernels.hash_members(lists.starts, lists.codes, lists.weights)


class Details:
    """The details of one partition.

    Args:
        memory: shared with other partitions.
        horizon_ms: how long most details are needed.
    """

    def __init__(self, memory: SharedMemory, horizon_ms: int) -> None:
        self._memory = memory
        self._memory.join(self)
        self._span_ms = max(1, horizon_ms // SEGMENTS)
        self._arrays: Arena | None = None  # made when first used: most models have no details
        self._written = np.zeros(0, np.int64)  # of each chunk, the words that are in the changelog
        self._free: list[int] = []
        self._open: dict[int, int] = {}  # segment to the chunk that is being filled
        self._parts: dict[int, int] = {}  # of the changelog, each one's segment
        self._next_part = 0
        self._swept = FREE  # segments below are given up

    def __len__(self) -> int:
        """The number of details."""
        return int(self._arrays.entries[0]) if self._arrays else 0

    @property
    def size_bytes(self) -> int:
        """The memory in use."""
        if self._arrays is None:
            return 0
        chunks = len(self._arrays.used) - len(self._free)
        return _WORD_BYTES * (chunks * CHUNK_WORDS + len(self._arrays.table))

    def insert(self, ids: Int64s, expiry_ms: Int64s, lists: Ragged) -> None:
        """Take details in; those that are there are kept for as long as is asked for now, or as it was before.

        Args:
            ids: int64[k].
            expiry_ms: int64[k], the last joint watermark at which a row may need the detail.
            lists: k lists, each the same whenever its id is.

        Raises:
            DetailsFullError: the memory is in use.
        """
        if len(ids):
            segments, part = distinct_codes(expiry_ms // self._span_ms)
            self._put(*kernels.write_entries(ids, lists.starts, lists.codes, lists.weights), part, segments)

    def read(self, ids: Int64s, wanted: NDArray[np.bool_]) -> tuple[Ragged, NDArray[np.bool_]]:
        """The members behind ids.

        Args:
            ids: int64[n].
            wanted: bool[n], which of them are ids.

        Returns:
            n lists, empty where none is wanted or there; bool[n], where one is.
        """
        places, starts = np.empty(len(ids), np.int64), np.empty(len(ids) + 1, np.int64)
        members = kernels.read_sizes(self._arena, ids, wanted, places, starts)
        codes, weights = np.empty(members, np.int64), np.ones(members)
        kernels.read_members(self._arena, places, starts, codes, weights)
        return Ragged(starts, codes, weights), places != EMPTY

    def sweep(self, final_ms: int) -> None:
        """Give up what no row needs any more.

        Args:
            final_ms: the joint watermark.
        """
        swept = final_ms // self._span_ms
        if swept <= self._swept or self._arrays is None:
            return
        self._swept = swept
        arena = self._arrays
        gone = np.flatnonzero((arena.segment < swept) & (arena.segment != FREE))
        if not len(gone):
            return
        arena.segment[gone] = FREE
        arena.used[gone] = self._written[gone] = 0
        self._free += gone.tolist()
        self._open = {segment: chunk for segment, chunk in self._open.items() if segment >= swept}
        self._relist(len(arena.table))

    # --- changelog -----------------------------------------------------------------------------------------------

    def changelog(self) -> Iterator[tuple[int, bytes | None]]:
        """The parts that are new since the last call, and those to be deleted, by number; all of them must be taken."""
        if self._arrays is not None:
            arena = self._arrays
            for chunk in np.flatnonzero(arena.used > self._written).tolist():
                begin, segment = chunk * CHUNK_WORDS, int(arena.segment[chunk])
                words = arena.words[begin + self._written[chunk] : begin + arena.used[chunk]]
                yield self._next_part, _HEAD.pack(_VERSION, segment) + words.tobytes()
                self._parts[self._next_part] = segment
                self._next_part += 1
                self._written[chunk] = arena.used[chunk]
        for old in [number for number, segment in self._parts.items() if segment < self._swept]:
            del self._parts[old]
            yield old, None

    def restore(self, number: int, value: bytes | None) -> None:
        """Apply an entry of the changelog, in any order of the numbers.

        Args:
            number: of the part.
            value: from ``changelog``.

        Raises:
            ValueError: the part is of another version or damaged.
            DetailsFullError: the memory is in use.
        """
        self._next_part = max(self._next_part, number + 1)
        if value is None:
            self._parts.pop(number, None)
            return
        version, segment = _HEAD.unpack_from(value)
        if version != _VERSION:
            raise ValueError(f"details of version {version}; this release reads {_VERSION}")
        words = np.array(np.frombuffer(value, "<i8", offset=_HEAD.size), np.int64)
        begins = kernels.find_entries(words)
        if len(begins) and begins[-1] < 0:
            raise ValueError(f"{len(value)} bytes are no whole number of details")
        touched = self._put(words, begins, np.zeros(len(begins), np.int64), np.array([segment], np.int64))
        self._written[touched] = self._arena.used[touched]
        self._parts[number] = segment

    # --- memory --------------------------------------------------------------------------------------------------

    @property
    def _arena(self) -> Arena:
        if self._arrays is None:
            # A quarter is for the table: an entry has five words or so, and two slots.
            chunks = max(2, self._memory.share_bytes * 3 // 4 // (_WORD_BYTES * CHUNK_WORDS))
            self._arrays = Arena(
                words=np.empty(chunks * CHUNK_WORDS, np.int64),  # given by the system page by page as it is used
                table=np.full(_FIRST_SLOTS, EMPTY, np.int64),
                segment=np.full(chunks, FREE, np.int64),
                used=np.zeros(chunks, np.int64),
                entries=np.zeros(1, np.int64),
            )
            self._written = np.zeros(chunks, np.int64)
            self._free = list(range(chunks - 1, -1, -1))
        return self._arrays

    def _put(self, words: Int64s, begins: Int64s, part: Int64s, segments: Int64s) -> list[int]:
        """Take entries in; the chunks that may have changed."""
        self._grow_table(len(begins))
        chunks = np.array([self._open.get(segment, EMPTY) for segment in segments.tolist()], np.int64)
        touched = [chunk for chunk in chunks.tolist() if chunk != EMPTY]
        first = 0
        while True:
            first, needed = kernels.put_entries(self._arena, words, begins, part, segments, chunks, first)
            if first == len(begins):
                return touched
            chunks[needed] = self._take_chunk(int(segments[needed]))
            touched.append(int(chunks[needed]))

    def _take_chunk(self, segment: int) -> int:
        if not self._free:
            raise self._full()
        chunk = self._open[segment] = self._free.pop()
        self._arena.segment[chunk] = segment
        return chunk

    def _grow_table(self, more: int) -> None:
        slots = len(self._arena.table)
        while slots < 2 * (len(self) + more):
            slots *= 2
        if slots > len(self._arena.table):
            if slots > max(_LEAST_SLOTS, self._memory.share_bytes // 4 // _WORD_BYTES):
                raise self._full()
            self._relist(slots)

    def _relist(self, slots: int) -> None:
        arena = self._arena._replace(table=np.full(slots, EMPTY, np.int64))
        self._arrays = arena
        by_segment = np.argsort(arena.segment, kind="stable")
        kernels.list_entries(arena, by_segment[arena.segment[by_segment] != FREE])

    def _full(self) -> DetailsFullError:
        return DetailsFullError(
            f"{len(self):,} sets, rankings and gains fill the memory for them: raise joiner.details_mb; the state in"
            " Kafka is intact"
        )
