"""Kernels for the errors of a regression: the terms that its metrics sum, and the buckets of its residuals.

The logarithm is computed here, from sums, products and quotients alone: libraries and processors differ in its last
bit, and a label's contribution must be the same wherever it is added and wherever it is taken back.
"""

import math

import numpy as np

from pipeline.core.events import Float64s, Int32s, Int64s
from pipeline.core.kernels.jit import inline_kernel, kernel

BEYOND = 1
"""Flag: the error is beyond the doubles."""
BEYOND_SQUARE = 2
"""Flag: its square is."""
BEYOND_RATIO = 4
"""Flag: its share of the label is."""
BEYOND_LOG = 8
"""Flag: prediction or label is -1 or less, so that there is no logarithm of one more than it."""
FLAGS = 4

LEAST_LABEL = 2.0**-52
"""What an error is divided by where the label is nearer to zero: as scikit-learn has it."""

BUCKET_SHIFT = 46
"""A bucket is what shares a double's exponent and first 6 fraction bits: 64 to an octave."""
BELOW_FIRST = ((1023 - 64) << 6) - 1
"""What is below 2^-64 on either side of zero, and zero, has bucket 0."""
LAST_BUCKET = ((1023 + 64) << 6) - BELOW_FIRST
"""Everything from 2^64 on counts here; negative residuals have the same buckets below zero."""

_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10
_HALF_ROOT = 0.7071067811865476


@inline_kernel
def log_of_one_more(x: float) -> float:
    """The natural logarithm of 1 + x, as FreeBSD's msun (``s_log1p.c``) computes it.

    Args:
        x: above -1, finite.

    Returns:
        Within one unit in the last place or so.
    """
    if abs(x) < 2.0**-29:
        return x - x * x * 0.5
    whole = 1.0 + x
    lost = (1.0 - (whole - x) if x >= 1.0 else x - (whole - 1.0)) / whole
    mantissa, exponent = math.frexp(whole)
    if mantissa < _HALF_ROOT:
        mantissa *= 2.0
        exponent -= 1
    f = mantissa - 1.0
    s = f / (2.0 + f)
    z = s * s
    r = 1.531383769920937332e-01 + z * 1.479819860511658591e-01
    r = 2.222219843214978396e-01 + z * (1.818357216161805012e-01 + z * r)
    r = z * (6.666666666666735130e-01 + z * (3.999999999940941908e-01 + z * (2.857142874366239149e-01 + z * r)))
    half = 0.5 * f * f
    return exponent * _LN2_HIGH - ((half - (s * (half + r) + (exponent * _LN2_LOW + lost))) - f)


@kernel
def error_terms(predicted: Float64s, label: Float64s, terms: Float64s, flags: Int64s) -> None:
    """What the metrics of a regression sum of each row.

    Args:
        predicted: float64[k], finite.
        label: float64[k], finite.
        terms: float64[6, k], overwritten: the error (prediction less label), its size, its square rounded, its size as
            a share of the label's, its size as a share of the mean of both sizes, the difference of the logarithms of
            one more than each; not finite where a flag says so.
        flags: int64[k], overwritten.
    """
    for i in range(len(label)):
        guess, truth = predicted[i], label[i]
        error = guess - truth
        size = abs(error)
        square = error * error
        ratio = size / max(abs(truth), LEAST_LABEL)
        greater, lesser = max(abs(guess), abs(truth)), min(abs(guess), abs(truth))
        # Divided first, so that no sum of sizes can be beyond the doubles.
        symmetric = 2.0 * (size / greater) / (1.0 + lesser / greater) if greater > 0.0 else 0.0
        flag = 0
        logs = np.nan
        if guess > -1.0 and truth > -1.0:
            logs = log_of_one_more(guess) - log_of_one_more(truth)
        else:
            flag |= BEYOND_LOG
        if not size < np.inf:
            flag |= BEYOND
        if not square < np.inf:
            flag |= BEYOND_SQUARE
        if not ratio < np.inf:
            flag |= BEYOND_RATIO
        terms[0, i], terms[1, i], terms[2, i] = error, size, square
        terms[3, i], terms[4, i], terms[5, i] = ratio, symmetric, logs
        flags[i] = flag


@kernel
def count_flags(flags: Int64s, sign: Int64s, at: Int32s, cell: Int32s, counts: Int64s) -> None:
    """Count rows and their flags by cell.

    Args:
        flags: int64[k].
        sign: int64[k], +1 or -1.
        at: int32[m], each pair's row.
        cell: int32[m], each pair's cell.
        counts: int64[cells, 1 + FLAGS], added to in place: rows, and rows with each flag.
    """
    for i in range(len(at)):
        row = at[i]
        target = cell[i]
        counts[target, 0] += sign[row]
        if flags[row] != 0:
            for flag in range(FLAGS):
                counts[target, 1 + flag] += sign[row] * ((flags[row] >> flag) & 1)


@kernel
def count_residuals(bits: Int64s, sign: Int64s, at: Int32s, cell: Int32s) -> tuple[Int32s, Int32s, Int64s]:
    """Count the buckets of residuals by cell, in an open-addressing table.

    Args:
        bits: int64[k], bit patterns of the residuals.
        sign: int64[k], +1 or -1.
        at: int32[m], each pair's residual.
        cell: int32[m], each pair's cell.

    Returns:
        int32[u] the cell, int32[u] the bucket of each distinct pair of both in order of appearance, int64[u] its signed
        count.
    """
    capacity = 16
    while capacity < 2 * len(at):
        capacity *= 2
    mask = capacity - 1
    table = np.full(capacity, -1, np.int32)
    cells = np.empty(len(at), np.int32)
    buckets = np.empty(len(at), np.int32)
    counts = np.zeros(len(at), np.int64)
    used = 0
    for i in range(len(at)):
        pattern = bits[at[i]]
        bucket = min(max(((pattern & 0x7FFFFFFFFFFFFFFF) >> BUCKET_SHIFT) - BELOW_FIRST, 0), LAST_BUCKET)
        if pattern < 0:
            bucket = -bucket
        # Fibonacci hashing: neighbours in the key spread over the table.
        key = np.int64(cell[i]) * (2 * LAST_BUCKET + 1) + bucket + LAST_BUCKET
        slot = ((key & 0x7FFFFFFF) * 0x9E3779B1 >> 16) & mask
        while table[slot] >= 0 and (buckets[table[slot]] != bucket or cells[table[slot]] != cell[i]):
            slot = (slot + 1) & mask
        if table[slot] < 0:
            table[slot] = used
            cells[used] = cell[i]
            buckets[used] = bucket
            used += 1
        counts[table[slot]] += sign[at[i]]
    return cells[:used], buckets[:used], counts[:used]
