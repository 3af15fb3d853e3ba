"""The run succeeds only if everything promised came after the shift and nothing before it."""

from collections.abc import Callable
from typing import Any

import pytest

from pipeline.demo.settings import ACCURACY_RULE, DRIFT_RULE, HOST_RULE
from pipeline.demo.state import State
from pipeline.demo.verdict import judge

Make = Callable[..., dict[str, Any]]
SHIFT_MS = 40_000


@pytest.fixture
def state(alert_event: Make, trigger_event: Make) -> State:
    state = State(shifted_at_ms=SHIFT_MS)
    state.apply("alerts", alert_event(DRIFT_RULE, 50), 52_000)
    state.apply("alerts", alert_event(ACCURACY_RULE, 45), 49_500)
    state.apply("retrain-triggers", trigger_event(49), 49_600)
    return state


def test_all_three_after_the_shift_keep_the_promise(state: State) -> None:
    verdict = judge(state)
    assert verdict.is_kept
    assert [promise.after_s for promise in verdict.promises] == [12.0, 9.5, 9.6]


@pytest.mark.parametrize("missing", [DRIFT_RULE, ACCURACY_RULE])
def test_a_missing_alert_breaks_it(state: State, missing: str) -> None:
    state.alerts = [arrival for arrival in state.alerts if arrival.event["rule"] != missing]
    assert not judge(state).is_kept


def test_a_missing_trigger_breaks_it(state: State) -> None:
    state.triggers = []
    assert not judge(state).is_kept


def test_an_alert_before_the_shift_is_a_false_alarm(state: State, alert_event: Make) -> None:
    state.apply("alerts", alert_event(DRIFT_RULE, 30, alert_id="early"), 31_000)
    verdict = judge(state)
    assert not verdict.is_kept
    assert len(verdict.false_alarms) == 1


def test_a_late_alert_about_a_window_before_the_shift_is_a_false_alarm(state: State, alert_event: Make) -> None:
    state.apply("alerts", alert_event(ACCURACY_RULE, 38, alert_id="early"), 44_000)
    assert not judge(state).is_kept


def test_without_a_shift_every_alert_is_false(state: State) -> None:
    state.shifted_at_ms = None
    verdict = judge(state)
    assert len(verdict.false_alarms) == 3
    assert not verdict.is_kept


def test_a_busy_host_is_nobodys_false_alarm(state: State, alert_event: Make) -> None:
    state.apply("alerts", alert_event(HOST_RULE, 30), 31_000)
    assert judge(state).is_kept


def test_resolving_is_not_firing(alert_event: Make) -> None:
    state = State(shifted_at_ms=SHIFT_MS)
    state.apply("alerts", alert_event(DRIFT_RULE, 50, state="resolved"), 52_000)
    assert judge(state).promises[0].after_s is None
