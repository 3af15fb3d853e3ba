"""Kafka's key hash: murmur2 as the Java client computes it, over many keys at once."""

from collections.abc import Sequence

import numpy as np

from pipeline.core.events import Int32s, Int64s, UInt8s
from pipeline.core.kernels.jit import kernel

_SEED = 0x9747B28C
_MIX = 0x5BD1E995
_WORD = 0xFFFFFFFF  # the arithmetic is 32 bits wide; numba would widen it silently


@kernel
def murmur2(data: UInt8s, offsets: Int64s) -> Int32s:
    """Hash n keys that stand one after the other.

    Args:
        data: the keys' bytes, joined.
        offsets: int64[n + 1]; key i is ``data[offsets[i]:offsets[i + 1]]``.

    Returns:
        n hashes, the signed numbers that Java's ``Utils.murmur2`` returns.
    """
    n = len(offsets) - 1
    hashes = np.empty(n, np.int32)
    mix = np.uint64(_MIX)
    word = np.uint64(_WORD)
    for i in range(n):
        start = offsets[i]
        end = offsets[i + 1]
        h = np.uint64(_SEED) ^ np.uint64(end - start)
        at = start
        while at + 4 <= end:
            k = (
                np.uint64(data[at])
                | np.uint64(data[at + 1]) << np.uint64(8)
                | np.uint64(data[at + 2]) << np.uint64(16)
                | np.uint64(data[at + 3]) << np.uint64(24)
            )
            k = (k * mix) & word
            k ^= k >> np.uint64(24)
            k = (k * mix) & word
            h = ((h * mix) & word) ^ k
            at += 4
        left = end - at
        if left >= 3:
            h ^= np.uint64(data[at + 2]) << np.uint64(16)
        if left >= 2:
            h ^= np.uint64(data[at + 1]) << np.uint64(8)
        if left >= 1:
            h ^= np.uint64(data[at])
            h = (h * mix) & word
        h ^= h >> np.uint64(13)
        h = (h * mix) & word
        h ^= h >> np.uint64(15)
        hashes[i] = np.int32(np.uint32(h))
    return hashes


def partitions_of(keys: Sequence[str], count: int) -> Int32s:
    """Choose each key's partition as Java clients and librdkafka's ``murmur2_random`` do.

    Args:
        keys: n texts; their UTF-8 bytes are hashed.
        count: how many partitions the topic has.

    Returns:
        n partition numbers.

    Raises:
        TypeError: a key is no text.
        UnicodeEncodeError: a key has no UTF-8 form.
    """
    joined = "".join(keys)
    if joined.isascii():
        data = joined.encode("ascii")
        lengths = np.fromiter(map(len, keys), np.int64, len(keys))
    else:
        parts = [key.encode() for key in keys]
        data = b"".join(parts)
        lengths = np.fromiter(map(len, parts), np.int64, len(parts))
    offsets = np.zeros(len(keys) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    hashes = murmur2(np.frombuffer(data, np.uint8), offsets)
    # Java's toPositive clears the sign bit; it does not negate.
    return ((hashes & np.int32(0x7FFFFFFF)) % np.int32(count)).astype(np.int32)
