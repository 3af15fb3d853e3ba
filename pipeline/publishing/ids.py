"""Prediction ids: unique over processes, forks and hosts, at the price of a counter."""

import os
from itertools import count


def _new_prefix() -> None:
    """Begin a series: 96 random bits, so that no other process, fork or host has the same."""
    global _prefix, _numbers  # noqa: PLW0603 - reading a global is the cheapest way to an id
    _prefix = f"{os.urandom(12).hex()}-"
    _numbers = count()


_prefix = ""
_numbers = count()
_new_prefix()
os.register_at_fork(after_in_child=_new_prefix)


def new_id() -> str:
    """One id."""
    return _prefix + format(next(_numbers), "x")


def new_ids(n: int) -> list[str]:
    """Many ids.

    Args:
        n: how many.
    """
    first = new_id()
    return [f"{first}.{row:x}" for row in range(n)]
