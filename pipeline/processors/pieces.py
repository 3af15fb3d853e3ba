"""States and readings as values that fit into a record: what is larger goes in pieces that merge to the same."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import orjson

from pipeline.core.events import Json
from pipeline.core.families import FAMILIES, State

PIECE_BYTES = 400_000
"""Pieces are about this large at most, well under Kafka's usual limit of a megabyte."""

_HALVE = {family.name: family.halve for family in FAMILIES}

Name = tuple[Json, ...]


def pack_states(states: Mapping[str, State]) -> list[bytes]:
    """States by family as JSON objects.

    Args:
        states: by family.

    Returns:
        One object where it fits into a record, else several; merging what they hold gives the states.
    """
    wires = {name: state.to_wire() for name, state in states.items()}
    whole = orjson.dumps(wires)
    if len(whole) <= PIECE_BYTES:
        return [whole]
    return pack(piece for name, wire in wires.items() for piece in _cut(name, wire))


def pack(members: Iterable[tuple[str, Json]]) -> list[bytes]:
    """Make JSON objects that fit into a record.

    Args:
        members: name and value of each member; a name that comes again begins another object.
    """
    pieces: list[bytes] = []
    group: dict[str, bytes] = {}
    size = 0
    for name, value in members:
        encoded = orjson.dumps(name) + b":" + orjson.dumps(value)
        if name in group or (group and size + len(encoded) > PIECE_BYTES):
            pieces.append(b"{" + b",".join(group.values()) + b"}")
            group, size = {}, 0
        group[name] = encoded
        size += len(encoded) + 1
    return [*pieces, b"{" + b",".join(group.values()) + b"}"]


def _cut(name: str, wire: Json) -> Iterator[tuple[str, Json]]:
    halve = _HALVE.get(name)
    halves = halve(wire) if halve is not None and len(orjson.dumps(wire)) > PIECE_BYTES // 2 else None
    if halves is None:
        yield name, wire
        return
    for half in halves:
        yield from _cut(name, half)


class PieceLog:
    """Values in pieces on a changelog: each under its name and its number, so that fewer pieces leave none behind."""

    def __init__(self) -> None:
        self._counts: dict[Name, int] = {}
        self._restored: dict[Name, dict[int, bytes]] = {}

    def write(self, name: Name, pieces: Sequence[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
        """The entries that replace what stands under a name.

        Args:
            name: the name.
            pieces: its value.
        """
        for number, piece in enumerate(pieces):
            yield _key(name, number), piece
        for number in range(len(pieces), self._counts.get(name, 0)):
            yield _key(name, number), None
        self._counts[name] = len(pieces)

    def drop(self, name: Name) -> Iterator[tuple[bytes, bytes | None]]:
        """The entries that delete what stands under a name, if anything does.

        Args:
            name: the name.
        """
        for number in range(self._counts.pop(name, 0)):
            yield _key(name, number), None

    def restore(self, name: Name, number: int, value: bytes | None) -> None:
        """Apply one changelog entry.

        Args:
            name: the name.
            number: the number of the piece.
            value: the piece, None where it was deleted.
        """
        if value is not None:
            self._restored.setdefault(name, {})[number] = value
            return
        pieces = self._restored.get(name, {})
        pieces.pop(number, None)
        if not pieces:
            self._restored.pop(name, None)

    def take_restored(self) -> Iterator[tuple[Name, list[bytes]]]:
        """What the changelog holds: each name with its pieces; called once, when all entries were applied."""
        restored, self._restored = self._restored, {}
        for name, pieces in restored.items():
            self._counts[name] = max(pieces) + 1
            yield name, [piece for _, piece in sorted(pieces.items())]


def _key(name: Name, number: int) -> bytes:
    return orjson.dumps([*name, number])
