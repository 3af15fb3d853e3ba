"""Kernels for the scores of binary models: the fine bins they fall into, what their metrics sum, counts as bytes.

A bin is what shares a 32-bit float's exponent and first 10 fraction bits, of the score below 0.5 and of 1 less the
score from there on: 1,024 to an octave on both sides, as fine where scores crowd near 1 as where they crowd near 0. A
bin that holds a multiple of a thousandth is cut in three, below it, at it and above it: rounded scores and edges of
wider bins stand for themselves. A *key* is three times the bin, and 0, 1 or 2 for the part.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.events import Float64s, Int32s, Int64s, UInt8s
from pipeline.core.kernels.jit import inline_kernel, kernel
from pipeline.core.kernels.regression import log_of_one_more

BIN_SHIFT = 13
"""The fraction bits of a 32-bit float that a bin leaves open."""
BELOW_FIRST = ((127 - 32) << 10) - 1
"""What is below 2^-32, on either side, has the outermost bin."""
HALF_BIN = (126 << 10) - BELOW_FIRST
"""The bin of 0.5 itself."""
LAST_BIN = 2 * HALF_BIN
KEYS = 3 * (LAST_BIN + 1)
"""How many keys there are."""
AT = 1
"""The part of a bin that is a multiple of a thousandth."""

PARTS = 20
"""Scores are summed by twentieths, (0, 0.05] and so on; 0 is in the first."""
UNIT_BITS = 40
"""These sums are in units of 2^-40."""

LEAST_CHANCE = 2.0**-23
"""Scores nearer to 0 or 1 count as this near in the log loss, as scikit-learn has it for 32-bit floats."""

_STEP = 1000 // PARTS
_GAP_BITS = 2
_DIGIT_BITS = 11
_DIGIT = (1 << _DIGIT_BITS) - 1


@inline_kernel
def _key_of(s: float, bits: int, rest: int, atoms: Float64s, atom_bins: Int32s) -> int:
    """The key of a score, with the bit patterns of it and of 1 less it as 32-bit floats."""
    if s < 0.5:
        place = max((bits >> BIN_SHIFT) - BELOW_FIRST, 0)
    else:
        place = LAST_BIN - max((rest >> BIN_SHIFT) - BELOW_FIRST, 0)
    near = int(s * 1000.0 + 0.5)
    side = 0
    if atom_bins[near] == place:
        side = AT if s == atoms[near] else 2 if s > atoms[near] else 0
    return 3 * place + side


@kernel
def score_keys(
    score: Float64s, bits: Int32s, rest: Int32s, atoms: Float64s, atom_bins: Int32s, key: Int32s
) -> None:  # fmt: skip
    """The key of each score.

    Args:
        score: float64[k], 32-bit floats from 0 to 1.
        bits: int32[k], the bit patterns of these floats.
        rest: int32[k], those of 1 less the scores.
        atoms: float64[1001], the thousandths as 32-bit floats.
        atom_bins: int32[1001], their bins.
        key: int32[k], overwritten.
    """
    for i in range(len(score)):
        key[i] = _key_of(score[i], bits[i], rest[i], atoms, atom_bins)


@kernel
def score_terms(
    score: Float64s, bits: Int32s, rest: Int32s, atoms: Float64s, atom_bins: Int32s,
    key: Int32s, part: Int32s, units: Int64s, logs: Float64s,
) -> None:  # fmt: skip
    """What is counted and summed of each score.

    Args:
        score: float64[k], 32-bit floats from 0 to 1.
        bits: int32[k], the bit patterns of these floats.
        rest: int32[k], those of 1 less the scores.
        atoms: float64[1001], the thousandths as 32-bit floats.
        atom_bins: int32[1001], their bins.
        key: int32[k], overwritten.
        part: int32[k], overwritten: the twentieth.
        units: int64[k], overwritten: the score in units of 2^-40.
        logs: float64[2, k], overwritten: what the log loss has for a row of the positive class, and of the other.
    """
    for i in range(len(score)):
        s = score[i]
        key[i] = _key_of(s, bits[i], rest[i], atoms, atom_bins)
        twentieth = min(int(s * PARTS), PARTS - 1)
        if s <= atoms[_STEP * twentieth]:
            twentieth = max(twentieth - 1, 0)
        elif s > atoms[_STEP * (twentieth + 1)]:
            twentieth += 1
        part[i] = twentieth
        units[i] = int(s * 2.0**UNIT_BITS + 0.5)
        clipped = min(max(s, LEAST_CHANCE), 1.0 - LEAST_CHANCE)
        logs[0, i] = -log_of_one_more(clipped - 1.0)
        logs[1, i] = -log_of_one_more(-clipped)


@kernel
def add_units(units: Int64s, part: Int32s, sign: Int64s, at: Int32s, slot: Int32s, sums: Int64s) -> None:
    """Sum scores by twentieths.

    Args:
        units: int64[k], in units of 2^-40.
        part: int32[k], their twentieths.
        sign: int64[k], +1 or -1.
        at: int32[m], each pair's score.
        slot: int32[m], where each pair is summed.
        sums: int64[slots, PARTS], added to in place.
    """
    for i in range(len(at)):
        row = at[i]
        sums[slot[i], part[row]] += sign[row] * units[row]


@kernel
def place_pairs(
    at: Int32s, cell: Int32s, label: Int32s, guess: Int32s, sign: Int64s, labels: int, slot: Int32s, guessed: Int64s
) -> None:
    """Number the pairs by cell and true class, and count predicted classes by cell.

    Args:
        at: int32[m], each pair's row.
        cell: int32[m], each pair's cell.
        label: int32[k], the true class of each row.
        guess: int32[k], the predicted class of each row.
        sign: int64[k], +1 or -1.
        labels: the number of true classes.
        slot: int32[m], overwritten: cell times ``labels``, and the true class.
        guessed: int64[cells, predicted classes], added to in place.
    """
    for i in range(len(at)):
        row = at[i]
        slot[i] = cell[i] * labels + label[row]
        guessed[cell[i], guess[row]] += sign[row]


@kernel
def count_keys(key: Int32s, sign: Int64s, at: Int32s, slot: Int32s, slots: int) -> tuple[Int64s, Int64s]:
    """Count keys by slot, in order: sorted by 11 bits at a time, from the lowest.

    Args:
        key: int32[k], each below ``KEYS``.
        sign: int64[k], +1 or -1.
        at: int32[m], each pair's row.
        slot: int32[m], each pair's slot.
        slots: how many there are.

    Returns:
        int64[u] the distinct ``slot * KEYS + key``, rising, that are not as often taken back as added; int64[u] their
        signed counts.
    """
    codes = np.empty(len(at), np.int64)
    for i in range(len(at)):
        codes[i] = (np.int64(slot[i]) * KEYS + key[at[i]]) << 1 | (sign[at[i]] < 0)
    other = np.empty(len(at), np.int64)
    shift = 0
    while np.int64(slots) * KEYS << 1 >> shift > 0:
        starts = np.zeros((1 << _DIGIT_BITS) + 1, np.int64)
        for i in range(len(codes)):
            starts[((codes[i] >> shift) & _DIGIT) + 1] += 1
        for digit in range(1 << _DIGIT_BITS):
            starts[digit + 1] += starts[digit]
        for i in range(len(codes)):
            digit = (codes[i] >> shift) & _DIGIT
            other[starts[digit]] = codes[i]
            starts[digit] += 1
        codes, other = other, codes
        shift += _DIGIT_BITS
    counts = np.empty(len(at), np.int64)
    used = 0
    i = 0
    while i < len(codes):
        code = codes[i] >> 1
        count = 0
        while i < len(codes) and codes[i] >> 1 == code:
            count += 1 - 2 * (codes[i] & 1)
            i += 1
        if count != 0:
            codes[used] = code
            counts[used] = count
            used += 1
    return codes[:used], counts[:used]


@kernel
def merge_counts(keys: Int32s, counts: Int64s, more_keys: Int32s, more_counts: Int64s) -> tuple[Int32s, Int64s]:
    """Add sparse counts.

    Args:
        keys: int32[a], strictly rising.
        counts: int64[a].
        more_keys: int32[b], strictly rising.
        more_counts: int64[b].

    Returns:
        int32[u] the keys of both, strictly rising; int64[u] their counts, none of them zero.
    """
    size = len(keys) + len(more_keys)
    merged = np.empty(size, np.int32)
    totals = np.empty(size, np.int64)
    used = 0
    i = 0
    j = 0
    while i < len(keys) or j < len(more_keys):
        total = 0
        key = KEYS
        if i < len(keys):
            key = keys[i]
        if j < len(more_keys):
            key = min(key, more_keys[j])
        if i < len(keys) and keys[i] == key:
            total += counts[i]
            i += 1
        if j < len(more_keys) and more_keys[j] == key:
            total += more_counts[j]
            j += 1
        if total != 0:
            merged[used] = key
            totals[used] = total
            used += 1
    return merged[:used].copy(), totals[:used].copy()


@inline_kernel
def _put(data: UInt8s, place: int, number: int) -> int:
    """Write a number, seven bits a byte, the least first; every byte but the last has its upper bit set."""
    while number >= 128:
        data[place] = (number & 127) | 128
        number >>= 7
        place += 1
    data[place] = number
    return place + 1


@kernel
def encode_counts(keys: Int32s, counts: Int64s) -> UInt8s:
    """Sparse counts as bytes: four times the gap to the key before, and the count where it is 1 to 3; else it follows.

    Args:
        keys: int32[b], strictly rising, not negative.
        counts: int64[b], within 2^62 of zero.

    Returns:
        uint8[...].
    """
    data = np.empty(14 * len(keys), np.uint8)
    place = 0
    before = -1
    for i in range(len(keys)):
        gap = int(keys[i]) - before
        count = counts[i]
        if 0 < count < 1 << _GAP_BITS:
            place = _put(data, place, gap << _GAP_BITS | count)
        else:
            place = _put(data, place, gap << _GAP_BITS)
            place = _put(data, place, (count << 1) ^ (count >> 63))
        before = keys[i]
    return data[:place].copy()


@kernel
def decode_counts(data: UInt8s) -> tuple[Int32s, Int64s]:
    """Read what ``encode_counts`` wrote.

    Args:
        data: uint8[...].

    Returns:
        int32[b] keys, int64[b] counts.

    Raises:
        ValueError: it wrote no such bytes.
    """
    keys = np.empty(len(data), np.int32)
    counts = np.empty(len(data), np.int64)
    used = 0
    before = np.int64(-1)
    waits = False
    number = np.int64(0)
    shift = 0
    for i in range(len(data)):
        number |= np.int64(data[i] & 127) << shift
        shift += 7
        if data[i] >= 128:
            if shift > 56:
                raise ValueError("a number of more than nine bytes")
            continue
        if waits:
            counts[used] = (number >> 1) ^ -(number & 1)
            used += 1
            waits = False
        else:
            gap = number >> _GAP_BITS
            before += gap
            if gap < 1 or before >= KEYS:
                raise ValueError("a key that is none")
            keys[used] = before
            counts[used] = number & ((1 << _GAP_BITS) - 1)
            waits = counts[used] == 0
            used += not waits
        number = np.int64(0)
        shift = 0
    if waits or shift > 0:
        raise ValueError("cut off")
    return keys[:used].copy(), counts[:used].copy()


@kernel
def weighted_sum(weights: Any, values: Float64s) -> float:
    """The sum of products, within an unit or two of its last place: what one addition loses the next one makes up for.

    Neumaier's sum, in the order of the arrays: numpy's differs from machine to machine.

    Args:
        weights: int64 or float64[b].
        values: float64[b], finite.

    Returns:
        The sum.
    """
    total = 0.0
    lost = 0.0
    for i in range(len(values)):
        term = weights[i] * values[i]
        more = total + term
        if abs(total) >= abs(term):
            lost += (total - more) + term
        else:
            lost += (term - more) + total
        total = more
    return total + lost


@kernel
def precision_sums(positive: Int64s, negative: Int64s, single: NDArray[np.bool_]) -> tuple[float, float]:
    """Bounds of the sum, over the positive rows, of the precision at each one's score.

    Whatever the order inside a bin, the i-th of its p positive rows has i of them at its score or above, at least, and
    all n negative rows of the bin at worst; at best all p and no negative one.

    Args:
        positive: int64[b], rows of the positive class by bin, in the order of falling scores.
        negative: int64[b], rows of the other.
        single: bool[b], whether all rows of the bin have one score.

    Returns:
        The lower and the upper bound.
    """
    above = 0
    rows = 0
    low = 0.0
    high = 0.0
    for i in range(len(positive)):
        found = positive[i]
        whole = rows + found + negative[i]
        if found == 1 or (single[i] and found > 0):
            low += found * ((above + found) / whole)
            high += found * ((above + found) / (whole if single[i] else rows + found))
        elif found > 0:
            high += found * ((above + found) / (rows + found))
            for j in range(1, found + 1):
                low += (above + j) / (rows + j + negative[i])
        above += found
        rows = whole
    return low, high
