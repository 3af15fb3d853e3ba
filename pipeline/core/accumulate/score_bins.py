"""What the keys of the fine bins of scores stand for; ``kernels/scores.py`` says how they are laid."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.core.events import Float64s, Int32s, Int64s
from pipeline.core.kernels.scores import AT, BELOW_FIRST, BIN_SHIFT, HALF_BIN, LAST_BIN, PARTS, score_keys, score_terms

MIDDLE_ERROR = 2.0**-13
"""The most that the middle of a key's scores differs from one of them."""

_SINGLE_BELOW = ((127 - 13) << 10) - BELOW_FIRST
"""Bins this near to 1, within 2^-13, hold one 32-bit float each."""


@dataclass(frozen=True, slots=True)
class ScoreTerms:
    """What is counted and summed of k scores.

    Attributes:
        key: int32[k].
        part: int32[k], the twentieth that the score is in.
        units: int64[k], the score in units of 2^-40.
        logs: float64[2, k], the log loss of a row of the positive class, and of the other.
    """

    key: Int32s
    part: Int32s
    units: Int64s
    logs: Float64s


def terms_of(score: Float64s) -> ScoreTerms:
    """Key and terms of each score.

    Args:
        score: float64[k], 32-bit floats from 0 to 1.

    Returns:
        The terms.
    """
    count = len(score)
    found = ScoreTerms(
        np.empty(count, np.int32), np.empty(count, np.int32), np.empty(count, np.int64), np.empty((2, count))
    )
    score_terms(score, *_bits_of(score), ATOMS, ATOM_BINS, found.key, found.part, found.units, found.logs)
    return found


def keys_of(score: Float64s) -> Int32s:
    """The key of each score.

    Args:
        score: float64[k], 32-bit floats from 0 to 1.

    Returns:
        int32[k].
    """
    keys = np.empty(len(score), np.int32)
    score_keys(score, *_bits_of(score), ATOMS, ATOM_BINS, keys)
    return keys


def _bits_of(score: Float64s) -> tuple[Int32s, Int32s]:
    """The bit patterns of scores, and of 1 less them, as 32-bit floats."""
    return score.astype(np.float32).view(np.int32), (1.0 - score).astype(np.float32).view(np.int32)


def _bins_of(score: Float64s) -> Int32s:
    sides = [np.maximum((bits >> BIN_SHIFT) - BELOW_FIRST, 0) for bits in _bits_of(score)]
    bins: Int32s = np.where(score < 0.5, sides[0], LAST_BIN - sides[1]).astype(np.int32)
    return bins


ATOMS: Float64s = (np.arange(1001) / 1000).astype(np.float32).astype(np.float64)
"""The thousandths, as 32-bit floats."""
ATOM_BINS: Int32s = _bins_of(ATOMS)
"""Their bins, all different."""


def edge_keys(bins: int) -> Int32s:
    """The last key of each of some equal-width bins, (0, 1/n], (1/n, 2/n] and so on; 0 is in the first.

    Args:
        bins: how many, a divisor of 20.

    Returns:
        int32[bins], rising.
    """
    return np.asarray(3 * ATOM_BINS[1000 // bins :: 1000 // bins] + AT, np.int32)


def single_valued(keys: Int32s) -> NDArray[np.bool_]:
    """Which keys can hold one score only, so that rows that share one are tied.

    Args:
        keys: int32[b].

    Returns:
        bool[b].
    """
    return np.asarray((keys % 3 == AT) | (keys // 3 > LAST_BIN - _SINGLE_BELOW), np.bool_)


def middle_scores(keys: Int32s) -> Float64s:
    """The middle of the scores that a key stands for.

    Args:
        keys: int32[b].

    Returns:
        float64[b], within ``MIDDLE_ERROR`` of each of them.
    """
    place, side = np.divmod(keys, 3)
    upper = place >= HALF_BIN
    near = np.where(upper, LAST_BIN - place, place) + BELOW_FIRST
    ends = np.stack((near, near + 1)).astype(np.int32) << BIN_SHIFT
    low, high = ends.view(np.float32).astype(np.float64)
    low = np.where(near == BELOW_FIRST, 0.0, low)
    low, high = np.where(upper, 1.0 - high, low), np.where(upper, 1.0 - low, high)
    atom = ATOMS[np.clip(np.rint((low + high) * 500).astype(np.int64), 0, 1000)]
    cut = _bins_of(atom) == place
    low = np.where(cut & (side == 2), atom, low)
    high = np.where(cut & (side == 0), atom, high)
    return np.where(cut & (side == AT), atom, np.minimum((low + high) / 2, 1.0))


assert len(edge_keys(PARTS)) == PARTS  # noqa: S101 - the twentieths end at thousandths
