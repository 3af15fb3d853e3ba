"""Kernel that numbers distinct values of a narrow range without sorting."""

import numpy as np

from pipeline.core.events import Int64s
from pipeline.core.kernels.jit import kernel


@kernel
def number_values(values: Int64s, least: int, span: int) -> tuple[Int64s, Int64s]:
    """Number the distinct values, rising; what ``np.unique`` with its inverse gives.

    Args:
        values: int64[n], from ``least`` to ``least + span - 1``.
        least: the least value.
        span: how many values the range has.

    Returns:
        int64[u] the distinct values, int64[n] each value's index into them.
    """
    number = np.zeros(span, np.int64)
    for i in range(len(values)):
        number[values[i] - least] = 1
    found = 0
    for offset in range(span):
        if number[offset]:
            number[offset] = found
            found += 1
        else:
            number[offset] = -1
    distinct = np.empty(found, np.int64)
    for offset in range(span):
        if number[offset] >= 0:
            distinct[number[offset]] = least + offset
    codes = np.empty(len(values), np.int64)
    for i in range(len(values)):
        codes[i] = number[values[i] - least]
    return distinct, codes
