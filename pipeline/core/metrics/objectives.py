"""Service-level objectives: which share of events is good, and how fast the rest burns the error budget.

From "The Site Reliability Workbook" (Beyer et al. 2018, ch. 2 and 5). With a target t, the error budget is the share
1 - t of a period's events that may be bad:

- ``good_ratio`` good / total, of the window itself.
- ``burn_rate.<length>`` (bad / total over the length up to the window's end) / (1 - t): at 1 the budget lasts just as
  long as the period; at 14.4 an hour burns 2 % of a month's.
- ``burn_rate.<long>/<short>`` the lesser of the two: above a limit only when both are, so that an alert is meant (long)
  and ends soon after the trouble does (short).
- ``error_budget_left`` 1 - bad / ((1 - t) total) over the period: 0 is spent, below 0 is overspent.

What is counted is linear in the accumulators, so counts can be added and taken back with them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from pipeline.core.accumulate.buckets import nearest_edge
from pipeline.core.accumulate.confusion import Confusion
from pipeline.core.accumulate.latency import Latency
from pipeline.core.accumulate.residuals import Residuals
from pipeline.core.accumulate.sets import Sets
from pipeline.core.durations import format_duration
from pipeline.core.events import NO_SEGMENT, Group, Json
from pipeline.core.family import Report, State
from pipeline.core.kernels.regression import BELOW_FIRST
from pipeline.core.rules import ANY
from pipeline.core.window import WindowSize

SECTION = "objectives"
NO_EVENTS = "no_events"

Tally = tuple[int, int]
"""Good events, and all events."""


@dataclass(frozen=True)
class Objective:
    """One objective.

    Attributes:
        name: unique.
        target: the share of events that should be good, below 1.
        period_ms: what the error budget is for.
        burn_rates: long and short lengths; the same twice for one alone.
        model: what it is about; ``*`` is each model version by itself.
        segment: ``""`` is everything.
        latency_ms: a prediction is good when it took less; one without a latency is no event.
        absolute_error: a labelled number is good when it is off by less.
        correct: a labelled class or set is good when it is right.
    """

    name: str
    target: float
    period_ms: int
    burn_rates: tuple[WindowSize, ...]
    model: str = ANY
    segment: str = NO_SEGMENT
    latency_ms: float | None = None
    absolute_error: float | None = None
    correct: bool = False

    @cached_property
    def budget(self) -> Fraction:
        """The share of events that may be bad; of the target as it was written, so that 0.9 leaves a tenth."""
        return 1 - Fraction(repr(self.target))

    @property
    def condition(self) -> str:
        """What is counted, as a text: counts of another condition are of no use."""
        if self.latency_ms is not None:
            return f"latency_ms < {self.latency_ms!r}"
        return "correct" if self.correct else f"absolute_error < {self.absolute_error!r}"

    @cached_property
    def lengths_ms(self) -> tuple[int, ...]:
        """How far back it looks."""
        return tuple({self.period_ms, *(length for one in self.burn_rates for length in (one.size_ms, one.slide_ms))})

    def is_about(self, group: Group, segment: str) -> bool:
        """Whether a track is counted.

        Args:
            group: the model version.
            segment: the segment.
        """
        return bool(group.model_version) and self.model in (ANY, group.model) and self.segment == segment

    def count(self, states: Mapping[str, State]) -> Tally:
        """The events in some states.

        Args:
            states: by family; what labels take back is negative.
        """
        if self.latency_ms is not None:
            latency = states.get("latency")
            return _below(latency.buckets, self._edge) if isinstance(latency, Latency) else (0, 0)
        if self.correct:
            return _right(states)
        residuals = states.get("residuals")
        if not isinstance(residuals, Residuals):
            return 0, 0
        sizes = zip(residuals.buckets.tolist(), residuals.counts.tolist(), strict=True)
        good = total = 0
        for bucket, number in sizes:
            total += number
            good += number if abs(bucket) + BELOW_FIRST < self._edge else 0
        return good, total

    @cached_property
    def _edge(self) -> int:
        return nearest_edge(self.latency_ms or self.absolute_error or 0.0)


def _below(buckets: Mapping[int, int], edge: int) -> Tally:
    return sum(number for bucket, number in buckets.items() if bucket < edge), sum(buckets.values())


def _right(states: Mapping[str, State]) -> Tally:
    confusion, sets = states.get("confusion"), states.get("sets")
    good = total = 0
    if isinstance(confusion, Confusion):
        total = sum(confusion.counts.values())
        good = sum(number for (guess, truth), number in confusion.counts.items() if guess == truth)
    if isinstance(sets, Sets):
        good, total = good + sets.exact, total + sets.count
    return good, total


def report_objective(objective: Objective, own: Tally, past: Mapping[int, Tally]) -> Report:
    """Report one objective in one window.

    Args:
        objective: the objective.
        own: the window's own tally.
        past: each of the objective's lengths, in milliseconds, to the tally of so long before the window's end.

    Returns:
        Its part of the section ``objectives``. ``no_events``: nothing that could be good or bad was counted.
    """
    burned = {length_ms: _burn_rate(tally, objective.budget) for length_ms, tally in past.items()}
    rates: dict[str, Json] = {}
    for one in objective.burn_rates:
        long, short = burned[one.size_ms], burned[one.slide_ms]
        rates |= {format_duration(one.size_ms): long, format_duration(one.slide_ms): short}
        rates[str(one)] = None if long is None or short is None else min(long, short)
    good, total = own
    of_period = burned[objective.period_ms]
    values: dict[str, Json] = {
        "good": good,
        "total": total,
        "good_ratio": good / total if total else None,
        "error_budget_left": None if of_period is None else 1.0 - of_period,
        "burn_rate": rates,
    }
    place = f"{SECTION}.{objective.name}"
    reasons = {f"{place}.{name}": NO_EVENTS for name, value in values.items() if value is None}
    reasons |= {f"{place}.burn_rate.{name}": NO_EVENTS for name, value in rates.items() if value is None}
    return Report({SECTION: {objective.name: values}}, reasons)


def _burn_rate(tally: Tally, budget: Fraction) -> float | None:
    good, total = tally
    return float(Fraction(total - good, total) / budget) if total else None
