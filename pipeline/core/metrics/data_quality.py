"""The data-quality section of a window: what each feature held."""

from pipeline.core.accumulate.moments import FeatureMoments, Moments
from pipeline.core.events import Json
from pipeline.core.family import Context, Report

_OF_NUMBERS = ("mean", "std", "min", "max")


def report_data_quality(state: Moments, context: Context) -> Report:  # noqa: ARG001 - every report is called alike
    """Report each feature's count, missing share and moments.

    ``count`` is the rows that hold a value; ``missing_ratio`` is of the rows that carry features at all; ``std`` is the
    population's. A feature without numbers has no moments.

    Args:
        state: the moments of the window.
        context: not needed here.

    Returns:
        The section ``data_quality``.
    """
    section: dict[str, Json] = {}
    reasons: dict[str, str] = {}
    for name, one in state.features().items():
        count = one.numbers + one.texts
        missing = state.rows - count
        section[name] = {"count": count, "missing": missing, "missing_ratio": missing / state.rows, **_moments(one)}
        if not one.numbers:
            reasons.update({f"data_quality.{name}.{moment}": "no_numbers" for moment in _OF_NUMBERS})
    if state.limited:
        reasons["data_quality"] = "too_many_features"
    elif not section:
        reasons["data_quality"] = "no_features"
    return Report({"data_quality": section}, reasons)


def _moments(one: FeatureMoments) -> dict[str, float | None]:
    if not one.numbers:
        return dict.fromkeys(_OF_NUMBERS)
    mean = one.total.divided_by(one.numbers)
    return {"mean": mean, "std": one.total.spread(one.squares, one.numbers), "min": one.least, "max": one.greatest}
