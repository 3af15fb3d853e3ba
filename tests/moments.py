"""States of moments from a few numbers a feature."""

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.core.accumulate.moments import Moments, fold_moments
from pipeline.core.events import Cells, FeatureColumn, FeatureTable, Group, Predictions, Task

GROUP = Group("m", "1", Task.BINARY)


def moments_of(values: Mapping[str, Sequence[float | str | None]], rows: int) -> Moments:
    """What folding gives.

    Args:
        values: each feature's values, a row each; what is left out is missing.
        rows: how many rows there are.
    """
    columns = {}
    for name, mine in values.items():
        full = [*mine, *[None] * (rows - len(mine))]
        numbers = np.array([value if isinstance(value, int | float) else np.nan for value in full], np.float64)
        texts = sorted({value for value in full if isinstance(value, str)})
        codes = np.array([texts.index(value) if isinstance(value, str) else -1 for value in full], np.int32)
        columns[name] = FeatureColumn(numbers, codes, texts)
    every, zeros, times = np.arange(rows, dtype=np.int32), np.zeros(rows, np.int32), np.zeros(rows, np.int64)
    nothing = np.full(rows, np.nan)
    table = FeatureTable(0, every, columns)
    keys = np.zeros((rows, 2), np.uint64)
    batch = Predictions(times, zeros, keys, times, zeros, times, nothing, nothing, zeros, [GROUP], [], [()], [table])
    return fold_moments(batch, Cells(every, zeros, zeros[:1], [""], times[:1], [GROUP]), {})[0]
