"""Quality of class predictions, corrected for labels that come at different speeds for each true class.

Where fraud is confirmed weeks after the rest is known to be none, the labels of a young window have too few frauds, and
what is computed from them alone overstates the model. So each labelled row is weighted with the inverse of the share of
its true class's labels that has come by now (``maturity.py``): inverse-probability weighting (Horvitz, Thompson 1952,
"A Generalization of Sampling Without Replacement From a Finite Universe", JASA 47), each metric a ratio of weighted
counts (Hajek 1971). The window's confusion matrix is all that it needs.

It is right where a label's delay depends on the true class alone and classes take as long as they did in past windows.
A class with little of its labels there would be weighted so much that chance decides, or not be seen at all: when the
share of any class is below a floor, there is no correction yet. Where all shares are equal, as in a final window, the
weights cancel out, and each number is that of the section ``quality``.
"""

import numpy as np

from pipeline.core.accumulate.confusion import Confusion
from pipeline.core.events import Float64s, Json, Task
from pipeline.core.metrics.class_ratios import F1, PRECISION, RECALL, macro_average
from pipeline.core.metrics.class_table import ClassTable, class_table
from pipeline.core.metrics.maturity import NO_HISTORY, ClassShares
from pipeline.core.metrics.positive_class import positive_class, without_positive

_RATIOS = (PRECISION, RECALL, F1)
_OF_ALL = ("accuracy", *(f"{ratio.name}_macro" for ratio in _RATIOS))
_OF_POSITIVE = tuple(ratio.name for ratio in _RATIOS)


def report_corrected(
    state: Confusion, task: Task, shares: ClassShares | None, least_share: float
) -> tuple[dict[str, Json], dict[str, str]]:
    """Report the corrected quality of a model that predicts one class.

    Args:
        state: the confusion matrix of the window.
        task: what the model predicts.
        shares: the share of each true class's labels that has come; None where that is not known.
        least_share: below this share of any class, above 0, nothing is corrected.

    Returns:
        The values of ``quality.corrected``, and the reasons of what is null by their paths; nothing for other tasks.
    """
    if not task.is_classes:
        return {}, {}
    values: dict[str, Json] = dict.fromkeys(_OF_ALL + (_OF_POSITIVE if task is Task.BINARY else ()))
    if state.is_zero():
        why = "no_labels"
    elif shares is None:
        why = NO_HISTORY
    elif shares.least < least_share:
        why = "too_immature"
    else:
        table, why = class_table(state), "undefined"
        weighted = _weighted(table, np.array([1 / shares.of(name) for name in table.names]))
        values |= _of_all(weighted)
        if task is Task.BINARY:
            positive = positive_class(table.names)
            why = "undefined" if positive is not None else without_positive(table.names)
            if positive is not None:
                margins = weighted[:, table.names.index(positive)].tolist()
                values |= {ratio.name: ratio.of(*margins) for ratio in _RATIOS}
    return values, {f"quality.corrected.{name}": why for name, value in values.items() if value is None}


def _weighted(table: ClassTable, weight: Float64s) -> Float64s:
    """Hits, predicted rows and support of each class, float64[3, k], each row weighted by its true class."""
    order = np.lexsort((table.truth, table.guess))  # sums of doubles must not depend on the order of merging
    counts = table.count[order] * weight[table.truth[order]]
    predicted = np.bincount(table.guess[order], counts, minlength=len(weight))
    return np.stack((np.array(table.hits) * weight, predicted, np.array(table.support) * weight))


def _of_all(weighted: Float64s) -> dict[str, Json]:
    hits, _, support = weighted
    values: dict[str, Json] = {"accuracy": float(hits.sum() / support.sum())}
    for ratio in _RATIOS:
        values[f"{ratio.name}_macro"] = macro_average(ratio.of(*margins) for margins in weighted.T.tolist())
    return values
