"""A binary prediction's class and its score in one integer, as a row of the join keeps them.

The class code stands in the lower 32 bits, the score in the upper ones as a 32-bit float: what networks give; a double
is rounded to 24 bits. The upper bits are zero where there is no score, as in rows of a release that kept none: they are
those of the float, turned over where a quiet NaN has ones.
"""

import numpy as np

from pipeline.core.events import Float64s, Int64s

_NO_SCORE = np.int32(0x7FC00000)
_CODE_BITS = np.int64(0xFFFFFFFF)


def pack_scores(code: Int64s, score: Float64s) -> Int64s:
    """Put scores beside class codes.

    Args:
        code: int64[n], from 0 to 2^31 - 1.
        score: float64[n], from 0 to 1; NaN where absent.

    Returns:
        int64[n].
    """
    # Adding 0 turns -0 into 0: the two are one score.
    bits = (score.astype(np.float32) + np.float32(0)).view(np.int32)
    bits[np.isnan(score)] = _NO_SCORE
    return (bits ^ _NO_SCORE).astype(np.int64) << 32 | code


def unpack_scores(value: Int64s) -> tuple[Int64s, Float64s]:
    """Take apart what ``pack_scores`` made.

    Args:
        value: int64[n].

    Returns:
        int64[n] class codes; float64[n] scores, each a 32-bit float, NaN where absent.
    """
    bits = (value >> 32).astype(np.int32) ^ _NO_SCORE
    return value & _CODE_BITS, bits.view(np.float32).astype(np.float64)
