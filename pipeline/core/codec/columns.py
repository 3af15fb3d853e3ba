"""Growing columns: dictionary codes for texts, arrays in parts, and the join keys of all rows at once."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Generic, TypeVar

import numpy as np

from pipeline.core.codec.names import class_name
from pipeline.core.events import Float64s, Int32s, Int64s, UInt64s
from pipeline.core.kernels.hashing import gather_texts, hash_ids, murmur3_128

KeyT = TypeVar("KeyT", bound=Hashable)
NameT = TypeVar("NameT", bound=Hashable)


class Codes(Generic[KeyT, NameT]):
    """Gives each distinct name a small number; several keys may mean the same name.

    Args:
        name_of: the name that a key means; called once a distinct key, what it raises passes through.
    """

    def __init__(self, name_of: Callable[[KeyT], NameT]) -> None:
        self._name_of = name_of
        self._of_key: dict[KeyT, int] = {}
        self._of_name: dict[NameT, int] = {}

    @property
    def names(self) -> list[NameT]:
        """The distinct names; a name's code is its place."""
        return list(self._of_name)

    def __len__(self) -> int:
        return len(self._of_name)

    def code(self, key: KeyT) -> int:
        """The code of one key.

        Args:
            key: a key, known or new.

        Returns:
            The code of the name it means.
        """
        known = self._of_key.get(key)
        if known is None:
            known = self._of_key[key] = self._of_name.setdefault(self._name_of(key), len(self._of_name))
        return known

    def encode(self, keys: Sequence[KeyT]) -> Int64s:
        """The codes of n keys.

        Args:
            keys: n keys.

        Returns:
            int64[n].
        """
        try:
            return np.fromiter(map(self._of_key.__getitem__, keys), np.int64, len(keys))
        except KeyError:
            # All distinct names are found before any gets a code: a bad one leaves no trace.
            fresh = {key: self._name_of(key) for key in dict.fromkeys(keys) if key not in self._of_key}
            for key, name in fresh.items():
                self._of_key[key] = self._of_name.setdefault(name, len(self._of_name))
            return np.fromiter(map(self._of_key.__getitem__, keys), np.int64, len(keys))


def class_codes() -> Codes[object, str]:
    """Codes for class labels.

    Returns:
        Codes that take raw labels (``True``, ``1``, ``"1"``) and know their names.
    """
    return Codes(class_name)


def optional_floats(values: Sequence[float | None]) -> Float64s:
    """A column of numbers, some of them absent.

    Args:
        values: n numbers or None.

    Returns:
        float64[n], NaN where there is None.
    """
    return np.array(values, np.float64)


def joined(parts: Sequence[np.ndarray], dtype: type) -> np.ndarray:
    """The parts of a column as one array.

    Args:
        parts: arrays, in order.
        dtype: the element type, also when there is no part.

    Returns:
        The column.
    """
    if not parts:
        return np.empty(0, dtype)
    return np.concatenate(parts).astype(dtype, copy=False)


class JoinKeys:
    """Collects prediction ids as bytes, to hash them all at once."""

    def __init__(self) -> None:
        self._bytes: list[bytes] = []
        self._sizes: list[Int64s] = []

    def add(self, ids: Sequence[str]) -> None:
        """Append ids.

        Args:
            ids: n prediction ids.
        """
        text = "".join(ids)
        # One character is one byte in ASCII; otherwise each id is measured in bytes.
        sizes = map(len, ids) if text.isascii() else (len(one.encode()) for one in ids)
        self._bytes.append(text.encode())
        self._sizes.append(np.fromiter(sizes, np.int64, len(ids)))

    def add_spans(self, buffer: bytes, spans: Int64s) -> None:
        """Append ids that stand in a buffer.

        Args:
            buffer: UTF-8.
            spans: int64[n, 2], where each id begins and ends.
        """
        gathered, sizes = gather_texts(np.frombuffer(buffer, np.uint8), spans)
        self._bytes.append(gathered.tobytes())
        self._sizes.append(sizes)

    def hashed(self, model: Int32s, models: Iterable[str]) -> UInt64s:
        """The join keys of all n rows.

        Args:
            model: int32[n], each row's index into ``models``.
            models: the distinct models.

        Returns:
            uint64[n, 2].
        """
        seeds = np.array([murmur3_128(name.encode()) for name in models], np.uint64).reshape(-1, 2)
        ends = np.cumsum(joined(self._sizes, np.int64))
        return hash_ids(np.frombuffer(b"".join(self._bytes), np.uint8), ends, model, seeds)
