"""Codes of pairs: looked up once a distinct pair of a batch, spread over its rows by arrays."""

from collections.abc import Callable

import numpy as np

from pipeline.core.distinct import distinct_codes
from pipeline.core.events import Int64s


def encode_pairs(major: Int64s, minor: Int64s, minors: int, code_of: Callable[[int, int], int]) -> Int64s:
    """The code of each row's pair.

    Args:
        major: int64[n], not negative.
        minor: int64[n], each below ``minors``.
        minors: bound of the second.
        code_of: gives the code of a pair; called once a distinct pair, in the order of the rows they first appear in:
            which are first decides what a limit leaves out, and must not depend on where batches end.

    Returns:
        int64[n].
    """
    distinct, place = distinct_codes(major * minors + minor)
    if len(distinct) == 1:
        return np.full(len(place), code_of(*divmod(int(distinct[0]), minors)), np.int64)
    first = np.empty(len(distinct), np.int64)
    first[place[::-1]] = np.arange(len(place) - 1, -1, -1)  # the last one written stays
    codes = np.empty(len(distinct), np.int64)
    for index in np.argsort(first).tolist():
        codes[index] = code_of(*divmod(int(distinct[index]), minors))
    return codes[place]
