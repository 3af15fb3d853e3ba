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
        code_of: gives the code of a pair; called once a distinct pair, in rising order.

    Returns:
        int64[n].
    """
    distinct, place = distinct_codes(major * minors + minor)
    return np.array([code_of(*divmod(pair, minors)) for pair in distinct.tolist()], np.int64)[place]
