"""From a firing alert to a retrain trigger: which rows to read, and not twice for one decline."""

from collections.abc import Callable, Mapping
from typing import Any

from pipeline.core.events import Json
from pipeline.core.rules import Rule, RuleState, deterministic_id


def in_cooldown(rule: Rule, alert: Mapping[str, Any], last_ms: int | None) -> bool:
    """Whether the model version got a trigger a short while ago, by event time.

    Args:
        rule: the rule that fired.
        alert: its alert.
        last_ms: the window end of the version's last trigger; None when there was none.
    """
    return last_ms is not None and alert["window_end_ms"] < last_ms + rule.retrain_cooldown_ms


def note_evidence(state: RuleState, start_ms: int, rows: Callable[[], Json]) -> None:
    """Remember the rows of a breaching window, since its panes may be forgotten before the rule fires.

    Args:
        state: what the rule remembers, with its verdict on the window; changed in place.
        start_ms: the window's start.
        rows: gives the offsets of the window's rows: topic to partition to first and last.
    """
    verdict = state.verdicts.get(start_ms)
    if verdict is None:
        return
    _, breach, _ = verdict
    if breach:
        state.evidence = _hull(state.evidence, rows())
    elif start_ms == max(state.verdicts):
        state.evidence = {}


def _hull(evidence: Json, more: Json) -> Json:
    wide: Json = {topic: dict(partitions) for topic, partitions in evidence.items()}
    for topic, partitions in more.items():
        known = wide.setdefault(topic, {})
        for partition, (first, last) in partitions.items():
            low, high = known.get(partition, (first, last))
            known[partition] = [min(low, first), max(high, last)]
    return wide


def make_trigger(alert: Mapping[str, Any], evidence: Json, now_ms: int) -> Json:
    """The ``retrain_trigger.v1`` event for an alert.

    Args:
        alert: the firing alert.
        evidence: topic to partition to first and last offset.
        now_ms: the wall clock.
    """
    return {
        "trigger_id": deterministic_id("retrain", alert["alert_id"]),
        "model": alert["model"],
        "model_version": alert["model_version"],
        "alerts": [alert["alert_id"]],
        "timestamp_ms": now_ms,
        "summary": f"Retrain {alert['model']} version {alert['model_version']}: {alert['summary']}",
        "evidence": evidence,
    }
