"""Kernels that put latencies into logarithmic buckets, by their bits alone: the same on every machine."""

from pipeline.core.events import Float64s, Int32s, Int64s
from pipeline.core.kernels.jit import kernel

BUCKET_SHIFT = 46
"""A bucket is what shares a double's exponent and first 6 fraction bits: 64 to an octave."""
FIRST_BUCKET = ((1023 - 20) << 6) - 1
"""Everything below 2^-20 (a millionth of a millisecond), zero and below zero counts here."""
LAST_BUCKET = (1023 + 32) << 6
"""Everything from 2^32 on (50 days in milliseconds) counts here."""


@kernel
def bucket_rows(values: Float64s, bits: Int64s, buckets: Int32s) -> tuple[int, int, int]:
    """The bucket of each value.

    Args:
        values: float64[n]; NaN has no bucket.
        bits: int64[n], their bit patterns.
        buckets: int32[n], overwritten: the bucket, -1 for NaN.

    Returns:
        The number of values that have a bucket, the least and the greatest bucket.
    """
    found = 0
    least = LAST_BUCKET
    greatest = FIRST_BUCKET
    for i in range(len(values)):
        value = values[i]
        if value != value:  # noqa: PLR0124 - true for NaN alone
            buckets[i] = -1
            continue
        bucket = FIRST_BUCKET if value <= 0.0 else bits[i] >> BUCKET_SHIFT
        bucket = min(max(bucket, FIRST_BUCKET), LAST_BUCKET)
        least = min(least, bucket)
        greatest = max(greatest, bucket)
        buckets[i] = bucket
        found += 1
    return found, least, greatest


@kernel
def count_buckets(
    buckets: Int32s, values: Float64s, at: Int32s, cell: Int32s, least: int, counts: Int64s, highest: Float64s
) -> None:
    """Count buckets by cell and keep the greatest value.

    Args:
        buckets: int32[n], each row's bucket or -1.
        values: float64[n].
        at: int32[m], each pair's row.
        cell: int32[m], each pair's cell.
        least: the bucket of the first column of ``counts``.
        counts: int64[cells, buckets], added to in place.
        highest: float64[cells], raised in place.
    """
    for i in range(len(at)):
        row = at[i]
        if buckets[row] >= 0:
            counts[cell[i], buckets[row] - least] += 1
            highest[cell[i]] = max(highest[cell[i]], values[row])
