"""Quality of number predictions; an error is the prediction minus the label, so a positive bias predicts too much."""

from collections.abc import Callable

from pipeline.core.accumulate.errors import Errors
from pipeline.core.events import Task
from pipeline.core.family import Context, Report


def report_errors(state: Errors, context: Context) -> Report:
    """Report the errors of a regression.

    Args:
        state: the sums of the window.
        context: what the window is of.

    Returns:
        The section ``quality``; empty for other tasks. ``overflow`` is the reason for a number beyond the doubles.
    """
    if context.task is not Task.REGRESSION:
        return Report()
    numbers: dict[str, Callable[[int], float]] = {
        "mse": state.squares.divided_by,
        "rmse": state.squares.root_divided_by,
        "mae": state.sizes.divided_by,
        "bias": state.total.divided_by,
    }
    quality: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for name, compute in numbers.items():
        quality[name] = None
        if not state.count or state.beyond:
            reasons[f"quality.{name}"] = "overflow" if state.beyond else "no_labels"
            continue
        try:
            quality[name] = compute(state.count)
        except OverflowError:
            reasons[f"quality.{name}"] = "overflow"
    return Report({"quality": quality}, reasons)
