"""The state is what the topics said: newest revisions, each alert once, the accuracy before the shift."""

from collections.abc import Callable
from typing import Any

import pytest

from pipeline.demo.state import State, TopicCount

Make = Callable[..., dict[str, Any]]


def test_a_later_revision_replaces_an_earlier_one_and_not_the_other_way(window_event: Make) -> None:
    state = State()
    state.apply("window-metrics", window_event(10, revision=1, labelled=500), 16_000)
    state.apply("window-metrics", window_event(10, revision=0, labelled=100), 17_000)
    assert [window.labelled for window in state.windows.values()] == [500]


def test_other_models_and_segments_are_left_aside(window_event: Make) -> None:
    state = State()
    state.apply("window-metrics", window_event(10, model="other"), 16_000)
    state.apply("window-metrics", window_event(10, segment="country=DE"), 16_000)
    assert not state.windows
    assert state.topics["window-metrics"].records == 2


def test_an_alert_that_is_produced_twice_counts_once(alert_event: Make) -> None:
    state = State()
    for _ in range(2):
        state.apply("alerts", alert_event("accuracy-drop", 20), 21_000)
    state.apply("alerts", alert_event("accuracy-drop", 30, state="resolved"), 31_000)
    assert [arrival.event["state"] for arrival in state.alerts] == ["firing", "resolved"]


def test_accuracy_before_weighs_by_labels_and_stops_at_the_shift(window_event: Make) -> None:
    state = State()
    state.apply("window-metrics", window_event(10, labelled=600, quality={"accuracy": 1.0}), 0)
    state.apply("window-metrics", window_event(15, labelled=300, quality={"accuracy": 0.7}), 0)
    state.apply("window-metrics", window_event(20, labelled=600, quality={"accuracy": 0.2}), 0)  # straddles the shift
    state.shifted_at_ms = 22_000
    assert state.accuracy_before == pytest.approx((600 * 1.0 + 300 * 0.7) / 900)


def test_accuracy_before_waits_for_labels(window_event: Make) -> None:
    state = State()
    assert state.accuracy_before is None
    state.apply("window-metrics", window_event(10, labelled=30), 0)
    assert state.accuracy_before is None
    state.apply("window-metrics", window_event(10, labelled=0, revision=1, quality={"accuracy": None}), 0)
    assert state.accuracy_before is None


def test_the_reference_is_known_with_the_first_distance(window_event: Make) -> None:
    state = State()
    state.apply("window-metrics", window_event(10, drift={"contrast": {"psi": None, "drifted": False}}), 0)
    assert not state.reference_is_known
    state.apply("window-metrics", window_event(15), 0)
    assert state.reference_is_known


def test_a_rate_is_taken_over_the_last_seconds() -> None:
    count = TopicCount()
    assert count.per_s == 0
    for second in range(20):
        count.observe(100 * second if second < 10 else 1000, second * 1000)
    assert count.records == 1000
    assert count.per_s == 0
    count.observe(1500, 20_000)
    assert count.per_s == pytest.approx(100)
