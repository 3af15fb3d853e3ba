"""Over- and underfitting: the errors of a version in training and on its test data against its live ones.

An error is the metric itself for a loss and 1 minus the metric for a score (``direction.py``). With E the errors:

- ``overfit_gap`` E(test) - E(train): what the model lost between the rows it was fitted to and others like them.
- ``live_gap`` E(live) - E(train): the generalisation gap as the stream shows it (Goodfellow, Bengio, Courville 2016,
  "Deep Learning", ch. 5.2); more than ``overfit_gap`` by what the world has moved since.
- ``train_live_ratio`` E(train) / E(live): 1 where live rows are as easy as those of the training, towards 0 where the
  model knows little but these; above 1 where live rows are easier.
- ``complement`` 1 minus that ratio: the share of the live error that the training did not show.

A high training error with a ratio near 1 is underfitting; a low one with a ratio near 0 is overfitting.
"""

import math
from collections.abc import Mapping, Sequence

from pipeline.core.events import Json
from pipeline.core.family import Report
from pipeline.core.metrics.direction import error_of

SECTION = "generalisation"
NOT_MEASURED, LIVE_NULL = "not_measured", "live_null"


def report_generalisation(
    tracked: Sequence[str],
    quality: Mapping[str, Json],
    measured: Mapping[str, Mapping[str, Json]],
) -> Report:
    """Compare live metrics with those of the version's ``model.v1`` event.

    Args:
        tracked: the metrics to compare, names in the quality section.
        quality: the window's quality section.
        measured: ``train`` and ``test``, each metric to value; what is missing was not measured.

    Returns:
        The section ``generalisation``; it is empty, ``not_measured``, where the event has none of the metrics.
    """
    values: dict[str, dict[str, Json]] = {}
    why: dict[str, str] = {}
    for metric in tracked:
        train, test = (measured.get(name, {}).get(metric) for name in ("train", "test"))
        if metric not in quality or (train is None and test is None):
            continue
        found = _compared(metric, train, test, quality[metric])
        values[metric] = {name: None if isinstance(one, str) else one for name, one in found.items()}
        why |= {f"{SECTION}.{metric}.{name}": one for name, one in found.items() if isinstance(one, str)}
    if tracked and not values:
        why[SECTION] = NOT_MEASURED
    return Report({SECTION: values}, why)


def _compared(metric: str, train: float | None, test: float | None, live: float | None) -> dict[str, float | str]:
    """The numbers of one metric, or the code that says why one is null."""
    of_train, of_test, of_live = (None if one is None else error_of(metric, one) for one in (train, test, live))
    gap: float | str = NOT_MEASURED
    ratio: float | str = NOT_MEASURED
    if of_train is not None:
        gap = LIVE_NULL if of_live is None else of_live - of_train
        ratio = LIVE_NULL if of_live is None else of_train / of_live if of_live else "undefined"
    if isinstance(ratio, float) and not math.isfinite(ratio):
        ratio = "overflow"
    return {
        "train": NOT_MEASURED if train is None else train,
        "test": NOT_MEASURED if test is None else test,
        "overfit_gap": NOT_MEASURED if of_train is None or of_test is None else of_test - of_train,
        "live_gap": gap,
        "train_live_ratio": ratio,
        "complement": 1.0 - ratio if isinstance(ratio, float) else ratio,
    }
