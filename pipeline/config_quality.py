"""The table ``[quality]``: which numbers the quality section of a window has beside those it always has."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from pipeline.config_section import Conflict, Section
from pipeline.core.kernels.class_scores import MAX_RANK
from pipeline.core.metrics.direction import WITHOUT_DIRECTION
from pipeline.core.metrics.registry import metrics_at

_MOST = 1e12
"""Gains are sums of money or the like: this leaves room for every count of rows in a double."""

Beta = Annotated[float, Field(gt=0, le=1_000, allow_inf_nan=False)]
Gain = Annotated[float, Field(ge=-_MOST, le=_MOST, allow_inf_nan=False)]


def _rows(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _without_direction(raw: Mapping[str, Any], key: str) -> Iterator[Conflict]:
    names = _rows(raw.get(key))
    for place, name in enumerate(names):
        if name in names[:place]:
            yield Conflict((key, place), f"{str(name)[:60]} is there already", "remove it")
        elif isinstance(name, str) and ("." in name or not metrics_at(f"quality.{name}")):
            mend = "write one as docs/metrics.md does, without `quality.`: accuracy"
            yield Conflict((key, place), f"{name[:60]!r} is no metric of the quality section", mend)
        elif name in WITHOUT_DIRECTION:
            yield Conflict((key, place), f"of {name} neither more nor less is worse", "choose another metric")


class GainsConfig(Section):
    """What a model's predictions are worth: predicted class to true class to gain; what is left out is worth 0."""

    model: str = Field(min_length=1, max_length=128)
    gains: dict[str, dict[str, Gain]] = Field(min_length=1)


class WorstSegmentsConfig(Section):
    """Which segments of a window are named as the worst."""

    metrics: tuple[str, ...] = Field(("accuracy", "subset_accuracy", "mrr", "mae"), min_length=1, max_length=16)
    count: int = Field(5, ge=0, le=50)
    min_labelled: int = Field(30, ge=1)

    @classmethod
    def conflicts(cls, raw: Mapping[str, Any]) -> Iterator[Conflict]:
        """Metrics that are none, or of which neither more nor less is worse."""
        yield from _without_direction(raw, "metrics")


class MaturityConfig(Section):
    """What past windows are asked about labels that are still to come."""

    windows: int = Field(20, ge=1, le=1_000)
    min_share: float = Field(0.1, ge=0.001, le=1)


class QualityConfig(Section):
    """The confidence of intervals, further F-measures, what predictions are worth, the worst segments."""

    interval_level: float = Field(0.95, ge=0.5, le=0.999999)
    betas: tuple[Beta, ...] = Field((), max_length=8)
    class_intervals: bool = False
    calibration_bins: Literal[5, 10, 20] = 10
    calibration_rows: int = Field(5_000, ge=10, le=10_000_000)
    ranking_cutoffs: tuple[Annotated[int, Field(ge=1, le=1_000)], ...] = Field((1, 5, 10), min_length=1, max_length=8)
    top_k: tuple[Annotated[int, Field(ge=2, le=MAX_RANK)], ...] = Field((3, 5), max_length=8)
    gains: tuple[GainsConfig, ...] = ()
    tracked: tuple[str, ...] = Field(
        ("accuracy", "f1", "f1_macro", "roc_auc", "log_loss", "subset_accuracy", "mrr", "mae", "rmse", "r2"),
        max_length=16,
    )
    worst_segments: WorstSegmentsConfig = WorstSegmentsConfig()
    maturity: MaturityConfig = MaturityConfig()

    @classmethod
    def conflicts(cls, raw: Mapping[str, Any]) -> Iterator[Conflict]:
        """A model with two matrices, a beta or cutoff that is there already, a metric that cannot be tracked."""
        for key in ("ranking_cutoffs", "top_k"):
            numbers = _rows(raw.get(key))
            for place, number in enumerate(numbers):
                if number in numbers[:place]:
                    yield Conflict((key, place), f"{number!r:.40} is there already", "remove it")
        yield from _without_direction(raw, "tracked")
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
