"""Quality of set predictions."""

from pipeline.core.accumulate.sets import Sets
from pipeline.core.events import Json, Task
from pipeline.core.family import Context, Report
from pipeline.core.metrics.intervals import as_section, normal_deviate, wilson_interval


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
        quality: dict[str, Json] = {"subset_accuracy": None, "intervals": {}}
        return Report({"quality": quality}, {f"quality.{name}": "no_labels" for name in quality})
    interval = wilson_interval(state.exact, state.count, normal_deviate(context.quality.interval_level))
    section, _ = as_section({"subset_accuracy": interval})
    return Report({"quality": {"subset_accuracy": state.exact / state.count, "intervals": section}})
