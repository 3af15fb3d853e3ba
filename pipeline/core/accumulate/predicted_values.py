"""The numbers that a regression predicts, with or without a label: counts in coarse bins.

Errors are estimated from them before there are labels.
"""

import numpy as np

from pipeline.core.accumulate.key_counts import KeyCounts
from pipeline.core.accumulate.pairs import task_pairs
from pipeline.core.accumulate.value_bins import BinnedPairs
from pipeline.core.events import Cells, Predictions, Task
from pipeline.core.family import References

TASKS = frozenset({Task.REGRESSION})
"""The tasks that it speaks of."""


def fold_predicted_values(predictions: Predictions, cells: Cells, references: References) -> dict[int, KeyCounts]:  # noqa: ARG001 - every fold of predictions is called alike
    """Fold the predicted numbers of a batch.

    Args:
        predictions: the batch.
        cells: its pairs.
        references: not needed here.

    Returns:
        Counts by bin for each cell with a row of a regression.
    """
    pairs = task_pairs(cells, TASKS)
    if not len(pairs.at):
        return {}
    binned = BinnedPairs.of(predictions.value, pairs)
    counts = binned.counts(np.ones(len(predictions), np.int64), pairs.at)
    return {place: KeyCounts((binned.bins[own].copy(), counts[own].copy())) for place, own in binned.places()}
