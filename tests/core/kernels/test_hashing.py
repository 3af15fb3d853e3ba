from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.core.kernels.hashing import hash_ids, hash_key, murmur3_128

Kernel = Callable[..., NDArray[np.uint64]]
COMPILED: Kernel = hash_ids
PLAIN: Kernel = hash_ids.py_func  # type: ignore[attr-defined]  # what the compiler was given

FOX = b"The quick brown fox jumps over the lazy dog"


def run(kernel: Kernel, ids: list[bytes], model: list[int], seeds: list[tuple[int, int]]) -> list[tuple[int, int]]:
    buffer = np.frombuffer(b"".join(ids), np.uint8)
    ends = np.cumsum([len(one) for one in ids], dtype=np.int64)
    with np.errstate(over="ignore"):
        keys = kernel(buffer, ends, np.array(model, np.int32), np.array(seeds, np.uint64).reshape(-1, 2))
    return [(int(high), int(low)) for high, low in keys]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        # Vectors of the reference implementation (Austin Appleby's MurmurHash3_x64_128), seed 0.
        (b"", "00000000000000000000000000000000"),
        (FOX, "e34bbc7bbc071b6c7a433ca9c49a9347"),
        (FOX.replace(b"dog", b"cog"), "658ca970ff85269a43fee3eaa68e5c3e"),
        (b"hello", "cbd8a7b341bd9b025b1e906a48ae1d19"),
        (b"hello, world", "342fac623a5ebc8e4cdcbc079642414d"),
        (b"19 Jan 2038 at 3:14:07 AM", "b89e5988b737affc664fc2950231b2cb"),
    ],
)
def test_the_hash_is_the_published_murmur3(data: bytes, expected: str) -> None:
    high, low = murmur3_128(data)
    assert f"{high:016x}{low:016x}" == expected
    assert run(COMPILED, [data], [0], [(0, 0)]) == [(high, low)]


@pytest.mark.parametrize("kernel", [COMPILED, PLAIN], ids=["compiled", "plain"])
def test_every_length_around_the_blocks_equals_the_oracle(kernel: Kernel) -> None:
    # 0 to 48 bytes cross three block borders and every tail; bytes above 127 catch a sign extension.
    ids = [bytes((7 * index + 200) % 256 for index in range(length)) for length in range(49)]
    seeds = [murmur3_128(b"one"), murmur3_128(b"two")]
    model = [index % 2 for index in range(len(ids))]
    expected = [murmur3_128(data, seeds[code]) for data, code in zip(ids, model, strict=True)]
    assert run(kernel, ids, model, seeds) == expected


@given(ids=st.lists(st.text(max_size=40), max_size=20), models=st.lists(st.text(max_size=10), min_size=1, max_size=3))
@settings(max_examples=100, deadline=None)
def test_keys_equal_the_plain_oracle(ids: list[str], models: list[str]) -> None:
    model = [index % len(models) for index in range(len(ids))]
    seeds = [murmur3_128(name.encode()) for name in models]
    expected = [hash_key(models[code], one) for one, code in zip(ids, model, strict=True)]
    assert run(COMPILED, [one.encode() for one in ids], model, seeds) == expected


def test_the_model_and_the_id_are_told_apart() -> None:
    assert len({hash_key("a", "bc"), hash_key("ab", "c"), hash_key("abc", ""), hash_key("", "abc")}) == 4


def test_no_rows_give_no_keys() -> None:
    assert run(COMPILED, [], [], [(0, 0)]) == []
