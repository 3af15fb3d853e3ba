"""The tables ``[[objectives]]``: which share of a model's events should be good."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from pipeline.config_section import Conflict, DurationMs, Section, Window, duration_of, windows_of
from pipeline.core.durations import format_duration
from pipeline.core.window import WindowSize

_CONDITIONS = ("latency_ms", "absolute_error", "correct")
_PERIOD_MS = 30 * 86_400_000
_BURN_RATES = tuple(
    WindowSize(long * 60_000, short * 60_000) for long, short in ((60, 5), (6 * 60, 30), (3 * 1_440, 6 * 60))
)
"""The pairs of The Site Reliability Workbook, ch. 5."""


class ObjectiveConfig(Section):
    """One service-level objective, for each version of a model by itself."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    model: str = Field("*", min_length=1, max_length=128)
    segment: str = Field("", max_length=515)
    latency_ms: float | None = Field(None, ge=0.001, le=1e9, allow_inf_nan=False)
    absolute_error: float | None = Field(None, ge=1e-18, le=1e18, allow_inf_nan=False)
    correct: Literal[True] | None = None
    target: float = Field(gt=0, lt=1)
    period: DurationMs = _PERIOD_MS
    burn_rates: tuple[Window, ...] = Field(_BURN_RATES, min_length=1, max_length=8)

    @classmethod
    def conflicts(cls, raw: Mapping[str, Any]) -> Iterator[Conflict]:
        """No condition or several."""
        if sum(raw.get(name) is not None for name in _CONDITIONS) != 1:
            yield Conflict((), f"give exactly one of {', '.join(_CONDITIONS)}", "for instance latency_ms = 250")


def objective_conflicts(objectives: Sequence[Any], rules: Sequence[Any], pane_ms: int | None) -> Iterator[Conflict]:
    """Faults between objectives, rules and windows.

    Args:
        objectives: the tables as they came.
        rules: the rules as they came.
        pane_ms: the common pane of all windows; None where that is not known.
    """
    names = [one.get("name") if isinstance(one, Mapping) else None for one in objectives]
    for place, one in enumerate(objectives):
        if names[place] is not None and names[place] in names[:place]:
            problem = f"{names[place]!r} names another objective already"
            yield Conflict(("objectives", place, "name"), problem, "give it another name")
        if isinstance(one, Mapping) and pane_ms:
            yield from _uneven(one, place, pane_ms)
    for place, rule in enumerate(rules):
        metric = str(rule.get("metric")) if isinstance(rule, Mapping) else ""
        section, _, rest = metric.partition(".")
        if section == "objectives" and rest.partition(".")[0] not in (*names, "*"):
            problem = f"{rest.partition('.')[0]!r} names no objective"
            yield Conflict(("rules", place, "metric"), problem, "add it to [[objectives]] or correct its spelling")


def _uneven(one: Mapping[str, Any], place: int, pane_ms: int) -> Iterator[Conflict]:
    burn_rates = windows_of(one, "burn_rates", _BURN_RATES) or []
    lengths = [("burn_rates", length) for size in burn_rates for length in (size.size_ms, size.slide_ms)]
    lengths.append(("period", duration_of(one, "period", _PERIOD_MS) or 0))
    for key, length_ms in lengths:
        if length_ms % pane_ms:
            problem = f"{format_duration(length_ms)} is no multiple of {format_duration(pane_ms)}"
            mend = "that is what windows.sizes and their slides have in common: give a multiple of it"
            yield Conflict(("objectives", place, key), problem, mend)
            return
