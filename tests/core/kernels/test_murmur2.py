from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.events import Int32s
from pipeline.core.kernels.murmur2 import murmur2, partitions_of

# From Apache Kafka's own UtilsTest.testMurmur2.
KAFKA_VECTORS = [
    (b"21", -973932308),
    (b"foobar", -790332482),
    (bytes([12, 42, 56, 24, 109, 111]), 274204207),
    (b"a-little-bit-long-string", -985981536),
    (b"a-little-bit-longer-string", -1486304829),
    (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
    (b"abc", 479470107),
]


def hash_all(keys: Sequence[bytes]) -> Int32s:
    offsets = np.cumsum([0, *map(len, keys)], dtype=np.int64)
    return murmur2(np.frombuffer(b"".join(keys), np.uint8), offsets)


def oracle(key: bytes) -> int:
    """Murmur2 as it reads in the paper, on Python's unbounded integers."""
    word, mix = 0xFFFFFFFF, 0x5BD1E995
    h = 0x9747B28C ^ len(key)
    whole = len(key) // 4 * 4
    for at in range(0, whole, 4):
        k = int.from_bytes(key[at : at + 4], "little") * mix & word
        k = (k ^ k >> 24) * mix & word
        h = (h * mix & word) ^ k
    if key[whole:]:
        h = (h ^ int.from_bytes(key[whole:], "little")) * mix & word
    h = (h ^ h >> 13) * mix & word
    h ^= h >> 15
    return h - (1 << 32) if h >> 31 else h


@pytest.mark.parametrize(("key", "expected"), KAFKA_VECTORS)
def test_hashes_as_java_does(key: bytes, expected: int) -> None:
    assert hash_all([key]).tolist() == [expected]


def test_hashes_each_key_of_a_batch_alone() -> None:
    assert hash_all([key for key, _ in KAFKA_VECTORS]).tolist() == [expected for _, expected in KAFKA_VECTORS]


@settings(deadline=None)  # the first example compiles the kernel
@given(st.lists(st.binary(max_size=40), max_size=30))
def test_agrees_with_the_oracle(keys: list[bytes]) -> None:
    assert hash_all(keys).tolist() == [oracle(key) for key in keys]


@settings(deadline=None)  # the first example compiles the kernel
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=20), st.integers(1, 10_000))
def test_partition_is_the_positive_hash_modulo_the_count(keys: list[str], count: int) -> None:
    assert partitions_of(keys, count).tolist() == [(oracle(key.encode()) & 0x7FFFFFFF) % count for key in keys]


def test_a_key_without_a_utf8_form_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        partitions_of(["fine", "\ud800"], 4)


def test_a_key_that_is_no_text_is_refused() -> None:
    with pytest.raises(TypeError):
        partitions_of(["fine", 7], 4)  # type: ignore[list-item]  # what is tested
