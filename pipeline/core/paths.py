"""Dotted paths into events; ``*`` stands for any key, and keys may hold dots themselves (``drift.a.b.psi``).

The keys of a list are its places, from 0: ``worst_segments.0.value``.
"""

from collections.abc import Iterator, Mapping

from pipeline.core.events import Json


def find(value: Json, path: str) -> Iterator[tuple[str, Json]]:
    """Everything a path leads to.

    Args:
        value: an event, or a part of one.
        path: keys with dots between them.

    Returns:
        Pairs of the path with its stars filled in, and what stands there. A path that leads nowhere gives none.
    """
    if not path:
        yield "", value
        return
    if isinstance(value, list):
        value = {str(place): inner for place, inner in enumerate(value)}
    if not isinstance(value, Mapping):
        return
    head, _, rest = path.partition(".")
    for key, inner in value.items():
        remainders = [rest] if head == "*" else []
        if f"{path}.".startswith(f"{key}."):
            remainders.append(path[len(key) + 1 :])
        for remainder in dict.fromkeys(remainders):  # two only for a key that begins with a star itself
            for found, leaf in find(inner, remainder):
                yield (f"{key}.{found}" if found else key), leaf
