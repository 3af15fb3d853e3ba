"""Quality of set predictions."""

from pipeline.core.accumulate.sets import Sets
from pipeline.core.events import Task
from pipeline.core.family import Context, Report


def report_sets(state: Sets, context: Context) -> Report:
    """Report how often a model predicted exactly the right set.

    Args:
        state: the counts of the window.
        context: what the window is of.

    Returns:
        The section ``quality``; empty for tasks other than multilabel.
    """
    if context.task is not Task.MULTILABEL:
        return Report()
    if not state.count:
        return Report({"quality": {"subset_accuracy": None}}, {"quality.subset_accuracy": "no_labels"})
    return Report({"quality": {"subset_accuracy": state.exact / state.count}})
