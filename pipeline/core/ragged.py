"""Lists of different lengths in flat arrays: made, chosen from, put in order."""

from collections.abc import Sequence

import numpy as np

from pipeline.core.events import NO_LISTS, Int64s, Ragged


def take_lists(lists: Ragged, at: Int64s) -> Ragged:
    """Some of the lists, in another order or more than once if need be.

    Args:
        lists: k lists.
        at: int64[n], which.

    Returns:
        n lists.
    """
    sizes = np.diff(lists.starts)[at]
    starts = np.concatenate((np.zeros(1, np.int64), np.cumsum(sizes)))
    source = np.repeat(lists.starts[at] - starts[:-1], sizes) + np.arange(starts[-1])
    return Ragged(starts, lists.codes[source], lists.weights[source])


def join_lists(parts: Sequence[Ragged]) -> Ragged:
    """Lists one behind the other.

    Args:
        parts: in order.

    Returns:
        The lists of all of them.
    """
    if not parts:
        return NO_LISTS
    ends = np.cumsum([0, *(len(part.codes) for part in parts)])
    starts = [part.starts[:-1] + end for part, end in zip(parts, ends, strict=False)]
    codes, weights = (np.concatenate([getattr(part, name) for part in parts]) for name in ("codes", "weights"))
    return Ragged(np.concatenate((*starts, ends[-1:])), codes, weights)


def list_of_members(lists: Ragged) -> Int64s:
    """The list that each member is in.

    Args:
        lists: k lists with m members.

    Returns:
        int64[m], rising.
    """
    return np.repeat(np.arange(len(lists)), np.diff(lists.starts))
