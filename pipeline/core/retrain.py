"""From a firing alert to a retrain trigger: which rows to read, and not twice for one decline."""

from collections.abc import Mapping
from typing import Any

from pipeline.core.events import Json
from pipeline.core.rules import Rule, deterministic_id


def in_cooldown(rule: Rule, alert: Mapping[str, Any], last_ms: int | None) -> bool:
    """Whether the model version got a trigger a short while ago, by event time.

    Args:
        rule: the rule that fired.
        alert: its alert.
        last_ms: the window end of the version's last trigger; None when there was none.
    """
    return last_ms is not None and alert["window_end_ms"] < last_ms + rule.retrain_cooldown_ms


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
