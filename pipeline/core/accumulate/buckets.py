"""What the buckets of the quantile sketches stand for.

Both sketches are DDSketches (Masson, Rim, Lee: "DDSketch", VLDB 2019) with a linearly interpolated mapping: a bucket is
1/64 of an octave, so a quantile is off by at most 1/129 = 0.78 % of the true value. The mapping reads the bits of the
double and calls no logarithm, so every machine counts alike; buckets are fixed and never collapse.
"""

import numpy as np

from pipeline.core.kernels.latency import BUCKET_SHIFT

RELATIVE_ERROR = 1 / 129
"""The most that the value for a bucket differs from a value in it, as a share of that."""


def bucket_value(prefix: int) -> float:
    """The value with the least relative error for a bucket: the harmonic mean of its ends.

    Args:
        prefix: the leading bits that the bucket's doubles have in common, above 0 and of finite doubles.

    Returns:
        The value.
    """
    ends = np.array([prefix << BUCKET_SHIFT, (prefix + 1) << BUCKET_SHIFT], np.int64)
    low, high = ends.view(np.float64).tolist()
    return float(2.0 * low * high / (low + high))


def nearest_edge(value: float) -> int:
    """The bucket that begins nearest to a value: what counts before it is below the value, within ``RELATIVE_ERROR``.

    Args:
        value: a finite double of 2^-1022 or more.

    Returns:
        The leading bits that the bucket's doubles have in common.
    """
    prefix = int(np.array([value]).view(np.int64)[0]) >> BUCKET_SHIFT
    low, high = (np.array([prefix, prefix + 1], np.int64) << BUCKET_SHIFT).view(np.float64).tolist()
    return prefix if value - low <= high - value else prefix + 1
