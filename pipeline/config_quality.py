"""The table ``[quality]``: which numbers the quality section of a window has beside those it always has."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field

from pipeline.config_section import Conflict, Section

_MOST = 1e12
"""Gains are sums of money or the like: this leaves room for every count of rows in a double."""

Beta = Annotated[float, Field(gt=0, le=1_000, allow_inf_nan=False)]
Gain = Annotated[float, Field(ge=-_MOST, le=_MOST, allow_inf_nan=False)]


class GainsConfig(Section):
    """What a model's predictions are worth: predicted class to true class to gain; what is left out is worth 0."""

    model: str = Field(min_length=1, max_length=128)
    gains: dict[str, dict[str, Gain]] = Field(min_length=1)


class QualityConfig(Section):
    """The confidence of intervals, further F-measures, what predictions are worth."""

    interval_level: float = Field(0.95, ge=0.5, le=0.999999)
    betas: tuple[Beta, ...] = Field((), max_length=8)
    class_intervals: bool = False
    gains: tuple[GainsConfig, ...] = ()

    @classmethod
    def conflicts(cls, raw: Mapping[str, Any]) -> Iterator[Conflict]:
        """A model with two matrices, a beta that is there already."""
        tables = raw.get("gains")
        models = [one.get("model") if isinstance(one, Mapping) else None for one in _rows(tables)]
        for place, model in enumerate(models):
            if model is not None and model in models[:place]:
                yield Conflict(("gains", place, "model"), f"{model!r} has gains already", "give each model one table")
        names: list[str] = ["1"]
        for place, beta in enumerate(_rows(raw.get("betas"))):
            # Metrics are named by six digits of their beta.
            name = f"{beta:g}" if isinstance(beta, int | float) else ""
            if name in names:
                problem = "fbeta_1 is f1, which is always there" if name == "1" else f"fbeta_{name} is there already"
                yield Conflict(("betas", place), problem, "remove it")
            names += [name] if name else []


def _rows(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []
