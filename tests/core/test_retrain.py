from dataclasses import replace
from typing import Any

from pipeline.core.retrain import in_cooldown, make_trigger, note_evidence
from pipeline.core.rules import RuleState, deterministic_id
from tests.core.test_rules import make_rule

ALERT: dict[str, Any] = {
    "alert_id": "abc",
    "model": "fraud",
    "model_version": "3",
    "window_end_ms": 10_000,
    "summary": "Model fraud version 3: accuracy fell.",
}


def test_a_trigger_names_its_alert_and_what_to_read() -> None:
    evidence = {"predictions": {"0": [5, 9]}}
    trigger = make_trigger(ALERT, evidence, now_ms=77)
    assert trigger == {
        "trigger_id": deterministic_id("retrain", "abc"),
        "model": "fraud",
        "model_version": "3",
        "alerts": ["abc"],
        "timestamp_ms": 77,
        "summary": "Retrain fraud version 3: Model fraud version 3: accuracy fell.",
        "evidence": evidence,
    }
    assert make_trigger(ALERT, evidence, now_ms=99)["trigger_id"] == trigger["trigger_id"]
    assert make_trigger({**ALERT, "alert_id": "x"}, evidence, 77)["trigger_id"] != trigger["trigger_id"]


def test_a_decline_is_told_once_a_cooldown_by_event_time() -> None:
    """
    ::

        trigger at 10 s, cooldown 60 s
        |-----------------------------------|
        10 s                                70 s: the next may come
    """
    rule = replace(make_rule(), retrain_cooldown_ms=60_000)
    assert not in_cooldown(rule, ALERT, None)
    assert in_cooldown(rule, ALERT, 10_000)
    assert in_cooldown(rule, {**ALERT, "window_end_ms": 69_999}, 10_000)
    assert not in_cooldown(rule, {**ALERT, "window_end_ms": 70_000}, 10_000)
    assert in_cooldown(rule, {**ALERT, "window_end_ms": 9_000}, 10_000)  # an older window, judged again


def test_the_rows_of_a_row_of_breaches_are_remembered_until_it_ends() -> None:
    """
    ::

        windows     x     x     .     x
        offsets     5-9   8-20  -     30-31
        evidence    5-9   5-20  none  30-31
    """
    state = RuleState()
    seen = []
    rows = [
        {"predictions": {"0": [5, 9]}},
        {"predictions": {"0": [8, 20], "1": [0, 0]}},
        {},
        {"labels": {"0": [30, 31]}},
    ]
    for number, breach in enumerate([True, True, False, True]):
        state.verdicts[number] = (number + 1, breach, 0.5)
        note_evidence(state, number, lambda number=number: rows[number])  # type: ignore[misc]  # bound where it is made
        seen.append(state.evidence)
    assert seen == [rows[0], {"predictions": {"0": [5, 20], "1": [0, 0]}}, {}, rows[3]]
    note_evidence(state, -1, lambda: rows[0])  # a window that was not judged, or is long out of sight
    assert state.evidence == rows[3]
    assert rows[0] == {"predictions": {"0": [5, 9]}}


def test_an_old_window_that_recovers_takes_nothing_back() -> None:
    state = RuleState(verdicts={0: (1, False, 0.9), 1: (2, True, 0.5)}, evidence={"labels": {"0": [1, 2]}})
    note_evidence(state, 0, dict)
    assert state.evidence == {"labels": {"0": [1, 2]}}
