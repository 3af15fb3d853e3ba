"""Kernel that counts what a feature's rows hold, and its extremes."""

from pipeline.core.events import Float64s, Int32s, Int64s
from pipeline.core.kernels.jit import kernel


@kernel
def count_kinds(numbers: Float64s, codes: Int32s, at: Int32s, cell: Int32s, counts: Int64s, extremes: Float64s) -> None:
    """Count numbers and texts by cell and keep the least and the greatest number.

    Args:
        numbers: float64[k], NaN where the row holds no number.
        codes: int32[k], -1 where the row holds no text; empty when no row holds one.
        at: int32[m], each pair's row.
        cell: int32[m], each pair's cell.
        counts: int64[cells, 2], numbers and texts, added to in place.
        extremes: float64[cells, 2], least and greatest, lowered and raised in place.
    """
    has_codes = len(codes) > 0
    for i in range(len(at)):
        number = numbers[at[i]]
        target = cell[i]
        if number == number:  # noqa: PLR0124 - false for NaN alone
            counts[target, 0] += 1
            extremes[target, 0] = min(extremes[target, 0], number)
            extremes[target, 1] = max(extremes[target, 1], number)
        elif has_codes and codes[at[i]] >= 0:
            counts[target, 1] += 1
