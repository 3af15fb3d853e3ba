"""Blocks of the cold tier in a dict, for tests without a disk."""

from itertools import pairwise

from pipeline.core.events import Int64s


class MemoryBlocks:
    """Holds callers to the protocol, and counts what they do."""

    def __init__(self) -> None:
        self.segments: dict[int, list[bytes]] = {}
        self.written = self.read_blocks = self.dropped = 0

    def write(self, segment: int, data: memoryview, bounds: Int64s) -> None:
        assert segment not in self.segments
        assert bounds[0] == 0
        assert bounds[-1] == len(data)
        self.segments[segment] = [bytes(data[start:end]) for start, end in pairwise(bounds.tolist())]
        self.written += 1

    def read(self, segment: int, blocks: Int64s) -> bytes:
        assert (blocks[1:] > blocks[:-1]).all()
        self.read_blocks += len(blocks)
        return b"".join(self.segments[segment][block] for block in blocks.tolist())

    def drop(self, segment: int) -> None:
        del self.segments[segment]
        self.dropped += 1

    def size_bytes(self) -> int:
        return sum(len(block) for blocks in self.segments.values() for block in blocks)
