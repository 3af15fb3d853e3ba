"""Rules: when a metric's windows become an alert, and when the alert is over.

Each (rule, subject) has a row of verdicts, one a window, in the order of the windows' starts. A window that cannot be
judged (too few rows, metric is null) has no verdict: it neither counts nor breaks the row. A window that is published
again is judged again. An episode fires when the last ``for_windows`` verdicts are breaches, and resolves when the
last ``resolve_after`` are not; its id is made of the rule, the subject and the first breaching window's start.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from pipeline.core.events import Json
from pipeline.core.paths import find

ANY = "*"


@dataclass(frozen=True, slots=True)
class Rule:
    """One alert rule.

    Attributes:
        name: unique.
        model, model_version, segment, host: what it watches; ``*`` is any, segment ``""`` is everything.
        metric: a path into the window event.
        window: the window as its events name it.
        above, below, change_from_reference, change_from_baseline: the condition; exactly one is given. A change is
            signed: -0.05 is breached by a fall of 0.05 or more.
        baseline_windows: how many first windows make the baseline.
        for_windows: breaches in a row that fire.
        resolve_after: windows in a row without breach that resolve.
        min_predictions, min_labelled, min_label_coverage, min_label_maturity: below these a window is not judged.
        severity: ``info``, ``warning`` or ``critical``.
        retrain: whether firing triggers a retraining.
        retrain_cooldown_ms: for how long after a trigger a model version gets no other.
    """

    name: str
    model: str
    model_version: str
    segment: str
    host: str
    metric: str
    window: str
    above: float | None
    below: float | None
    change_from_reference: float | None
    change_from_baseline: float | None
    baseline_windows: int
    for_windows: int
    resolve_after: int
    min_predictions: int
    min_labelled: int
    min_label_coverage: float
    min_label_maturity: float
    severity: str
    retrain: bool
    retrain_cooldown_ms: int

    @property
    def watches_hosts(self) -> bool:
        """Whether the metric is one of ``host_metrics.v1``."""
        return self.metric.startswith("host.")


@dataclass(slots=True)
class RuleState:
    """What one rule remembers of one subject.

    Attributes:
        verdicts: window start to (window end, breach, value), the latest few.
        baseline: window start to value, the first few.
        started_ms: the running episode's first window start; None when no episode runs.
        evidence: topic to partition to first and last offset of the breaching windows' rows, for a rule that retrains;
            forgotten when a window without breach ends their row.
    """

    verdicts: dict[int, tuple[int, bool, float]] = field(default_factory=dict)
    baseline: dict[int, float] = field(default_factory=dict)
    started_ms: int | None = None
    evidence: Json = field(default_factory=dict)

    def to_json(self) -> Json:
        """The state as a JSON value."""
        return {
            "verdicts": [[start, *verdict] for start, verdict in self.verdicts.items()],
            "baseline": list(self.baseline.items()),
            "started_ms": self.started_ms,
            "evidence": self.evidence,
        }

    @classmethod
    def from_json(cls, value: Json) -> "RuleState":
        """Read what ``to_json`` wrote."""
        verdicts = {start: (end, breach, number) for start, end, breach, number in value["verdicts"]}
        return cls(verdicts, dict(value["baseline"]), value["started_ms"], value["evidence"])


def subjects(rule: Rule, event: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The numbers in a window event that a rule judges.

    Args:
        rule: the rule.
        event: a ``window_metrics.v1`` or ``host_metrics.v1`` event.

    Returns:
        Metric path and value; none when the rule is about something else or the window has too little data.
    """
    if event["window"] != rule.window:
        return
    if rule.watches_hosts:
        if "host" not in event or rule.host not in (ANY, event["host"]):
            return
        yield from _host_values(rule, event)
        return
    if "model" not in event or rule.model not in (ANY, event["model"]) or rule.segment != event["segment"]:
        return
    counts = event["counts"]
    if (
        rule.model_version not in (ANY, event["model_version"])
        or counts["predictions"] < rule.min_predictions
        or counts["labelled"] < rule.min_labelled
        or (event["label_coverage"] or 0.0) < rule.min_label_coverage
        or (event.get("label_maturity") or 0.0) < rule.min_label_maturity
    ):
        return
    for path, value in find(event, rule.metric):
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield path, float(value)


def _host_values(rule: Rule, event: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """``host.<metric>`` means its mean; ``host.<metric>.max`` and the like name the statistic."""
    for path, value in find(event["metrics"], rule.metric.removeprefix("host.")):
        number = value["mean"] if isinstance(value, Mapping) else value
        yield f"host.{path}", float(number)


def judge(
    rule: Rule, state: RuleState, event: Mapping[str, Any], path: str, value: float, reference: float | None
) -> Json:
    """Take in one window's value.

    Args:
        rule: the rule.
        state: what it remembers of this subject; changed in place.
        event: the window event.
        path: the metric's path.
        value: the metric's value.
        reference: the metric's reference value, for ``change_from_reference``; None where there is none.

    Returns:
        An ``alert.v1`` event when the episode begins or ends, else None.
    """
    start_ms, end_ms = event["window_start_ms"], event["window_end_ms"]
    threshold = _threshold(rule, state, start_ms, value, reference)
    if threshold is None:
        return None
    breach = value > threshold if _upward(rule) else value < threshold
    if rule.above is None and rule.below is None:
        breach = breach or value == threshold  # a change counts from the stated size on
    keep = rule.for_windows + rule.resolve_after + 2
    state.verdicts[start_ms] = (end_ms, breach, value)
    for old in sorted(state.verdicts)[:-keep]:
        del state.verdicts[old]
    ordered = sorted(state.verdicts.items())
    last = ordered[-rule.for_windows :]
    if state.started_ms is None and len(last) == rule.for_windows and all(verdict[1] for _, verdict in last):
        first = len(ordered)
        while first and ordered[first - 1][1][1]:
            first -= 1
        state.started_ms = ordered[first][0]
        return _alert(rule, event, path, "firing", ordered[-1], threshold, state.started_ms)
    calm = ordered[-rule.resolve_after :]
    if state.started_ms is not None and len(calm) == rule.resolve_after and not any(verdict[1] for _, verdict in calm):
        alert = _alert(rule, event, path, "resolved", ordered[-1], threshold, state.started_ms)
        state.started_ms = None
        return alert
    return None


def _upward(rule: Rule) -> bool:
    change = rule.change_from_reference if rule.change_from_reference is not None else rule.change_from_baseline
    return rule.above is not None or (change is not None and change > 0)


def _threshold(rule: Rule, state: RuleState, start_ms: int, value: float, reference: float | None) -> float | None:
    """The number beyond which the rule is breached; None while that is not known."""
    if rule.above is not None:
        return rule.above
    if rule.below is not None:
        return rule.below
    if rule.change_from_reference is not None:
        return None if reference is None else reference + rule.change_from_reference
    if len(state.baseline) < rule.baseline_windows or start_ms in state.baseline:
        state.baseline[start_ms] = value
        return None
    assert rule.change_from_baseline is not None  # noqa: S101 - the configuration made sure of exactly one condition
    return sum(state.baseline.values()) / len(state.baseline) + rule.change_from_baseline


def _alert(
    rule: Rule,
    event: Mapping[str, Any],
    path: str,
    state: str,
    window: tuple[int, tuple[int, bool, float]],
    threshold: float,
    started_ms: int,
) -> Json:
    start_ms, (end_ms, _, value) = window
    names = ("host",) if rule.watches_hosts else ("model", "model_version", "segment")
    who = {name: event[name] for name in names}
    alert_id = deterministic_id("alert", rule.name, *who.values(), path, rule.window, str(started_ms))
    return {
        "alert_id": alert_id,
        "state": state,
        "rule": rule.name,
        "severity": rule.severity,
        **who,
        "metric": path,
        "value": value,
        "threshold": threshold,
        "window": rule.window,
        "window_start_ms": start_ms,
        "window_end_ms": end_ms,
        "started_ms": started_ms,
        "summary": _summary(rule, who, path, state, value, threshold, end_ms),
    }


def _summary(
    rule: Rule, who: Mapping[str, str], path: str, state: str, value: float, threshold: float, end_ms: int
) -> str:
    if "host" in who:
        subject = f"Host {who['host']}"
    else:
        version = f"version {who['model_version']}" if who["model_version"] else "without a version"
        subject = f"Model {who['model']} {version}"
        subject += f" ({who['segment']})" if who["segment"] else ""
    until = datetime.fromtimestamp(end_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if state == "resolved":
        return (
            f"{subject}: {path} is back at {value:.4g} in the {rule.window} window to {until} (limit {threshold:.4g})."
        )
    side = "above" if _upward(rule) else "below"
    row = f", {rule.for_windows} windows in a row" if rule.for_windows > 1 else ""
    return f"{subject}: {path} is {value:.4g}, {side} {threshold:.4g}, in the {rule.window} window to {until}{row}."


def deterministic_id(*parts: str) -> str:
    """An id that is the same whenever the same thing is said, on any worker.

    Args:
        parts: what identifies the thing.

    Returns:
        32 hexadecimal digits.
    """
    # As JSON, so that it shows where each part ends, whatever it holds.
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()[:32]
