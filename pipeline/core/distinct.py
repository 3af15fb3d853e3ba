"""The distinct values of a column and each row's index into them."""

import numpy as np

from pipeline.core.events import Int64s
from pipeline.core.kernels.distinct import number_values


def distinct_codes(values: Int64s) -> tuple[Int64s, Int64s]:
    """Give equal values equal numbers, as ``np.unique`` with its inverse does.

    Measured, 20,000 rows of a few values: 30 µs, 6 where all are equal; a sort takes 100 to 300.

    Args:
        values: int64[n].

    Returns:
        int64[u] the distinct values, rising; int64[n] each row's index into them.
    """
    if not len(values):
        return values, np.empty(0, np.int64)
    # One model and one pane a batch is the common case, and a comparison is far cheaper than a sort.
    if (values == values[0]).all():
        return values[:1], np.zeros(len(values), np.int64)
    least = int(values.min())
    span = int(values.max()) - least + 1
    if span <= 2 * len(values) + 1024:
        return number_values(values, least, span)
    distinct, codes = np.unique(values, return_inverse=True)
    return distinct, codes.astype(np.int64, copy=False)
