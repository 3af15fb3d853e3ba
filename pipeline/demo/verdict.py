"""Whether the run kept its promises: judged from what was read from the topics, nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.demo.settings import ACCURACY_RULE, DRIFT_RULE
from pipeline.demo.state import Arrival, State


@dataclass(frozen=True, slots=True)
class Promise:
    """One thing that must come after the shift.

    Attributes:
        what: its name for a person.
        after_s: seconds from the first shifted image until it was read from Kafka; None when it never came.
        summary: the event's own sentence; empty when it never came.
    """

    what: str
    after_s: float | None
    summary: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was promised and what came.

    Attributes:
        promises: the drift alert, the accuracy alert, the retrain trigger.
        false_alarms: sentences of alerts or triggers that came though nothing had shifted.
    """

    promises: tuple[Promise, ...]
    false_alarms: tuple[str, ...]

    @property
    def is_kept(self) -> bool:
        """Whether everything came, and nothing too early."""
        return not self.false_alarms and all(promise.after_s is not None for promise in self.promises)


def judge(state: State) -> Verdict:
    """Hold what came against what was promised.

    Args:
        state: everything read from the topics.

    Returns:
        The verdict.
    """
    firing = [arrival for arrival in state.alerts if arrival.event["state"] == "firing"]
    drift = [arrival for arrival in firing if arrival.event["rule"] == DRIFT_RULE]
    accuracy = [arrival for arrival in firing if arrival.event["rule"] == ACCURACY_RULE]
    watched = {"drift alert": drift, "accuracy alert": accuracy, "retrain trigger": state.triggers}
    return Verdict(
        promises=tuple(_promise(what, arrivals, state.shifted_at_ms) for what, arrivals in watched.items()),
        false_alarms=tuple(
            f"{what}: {arrival.event['summary']}"
            for what, arrivals in watched.items()
            for arrival in arrivals
            if _is_too_early(arrival, state.shifted_at_ms)
        ),
    )


def _promise(what: str, arrivals: Sequence[Arrival], shifted_at_ms: int | None) -> Promise:
    for arrival in arrivals:
        if shifted_at_ms is not None and not _is_too_early(arrival, shifted_at_ms):
            return Promise(what, (arrival.arrived_ms - shifted_at_ms) / 1000, arrival.event["summary"])
    return Promise(what, None, "")


def _is_too_early(arrival: Arrival, shifted_at_ms: int | None) -> bool:
    # An alert that comes late but speaks of a window before the shift is as false as one that comes early.
    about_ms = arrival.event.get("window_end_ms", arrival.arrived_ms)
    return shifted_at_ms is None or min(arrival.arrived_ms, about_ms) <= shifted_at_ms
