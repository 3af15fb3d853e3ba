"""Rules by rows of windows: ``x`` breaches, ``.`` does not, ``?`` cannot be judged."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.rules import Rule, RuleState, deterministic_id, judge, subjects

MINUTE = 60_000


def make_rule(**changes: Any) -> Rule:
    rule = Rule(
        name="accuracy-drop",
        model="*",
        model_version="*",
        segment="",
        host="*",
        metric="quality.accuracy",
        window="1m",
        above=None,
        below=0.8,
        change_from_reference=None,
        change_from_baseline=None,
        baseline_windows=3,
        for_windows=1,
        resolve_after=1,
        min_predictions=1,
        min_labelled=0,
        min_label_coverage=0.0,
        min_label_maturity=0.0,
        severity="critical",
        retrain=False,
        retrain_cooldown_ms=0,
    )
    return replace(rule, **changes)


def window(number: int, accuracy: float | None = 0.9, **changes: Any) -> dict[str, Any]:
    return {
        "model": "fraud",
        "model_version": "3",
        "segment": "",
        "window": "1m",
        "window_start_ms": number * MINUTE,
        "window_end_ms": (number + 1) * MINUTE,
        "counts": {"predictions": 100, "labelled": 50},
        "label_coverage": 0.5,
        "quality": {"accuracy": accuracy},
        "drift": {"a": {"psi": 0.1, "drifted": False}, "b.c": {"psi": 0.5, "drifted": True}, "d": {"psi": None}},
        **changes,
    }


class Watch:
    """One rule over one subject; every answer as a short text."""

    def __init__(self, **changes: Any) -> None:
        self.rule = make_rule(**changes)
        self.state = RuleState()
        self.alerts: list[Any] = []

    def see(self, number: int, value: float, reference: float | None = None) -> str | None:
        self.state = RuleState.from_json(self.state.to_json())  # what is written is all there is
        alert = judge(self.rule, self.state, window(number), "quality.accuracy", value, reference)
        if alert is None:
            return None
        self.alerts.append(alert)
        return f"{alert['state']} since {alert['started_ms'] // MINUTE}"

    def row(self, drawing: str) -> list[str | None]:
        values = {"x": 0.5, ".": 0.9}
        return [self.see(number, values[letter]) for number, letter in enumerate(drawing) if letter != "?"]


@pytest.mark.parametrize(
    ("for_windows", "resolve_after", "drawing", "said"),
    [
        (1, 1, ".x.", [None, "firing since 1", "resolved since 1"]),
        (3, 1, ".xx.xxx", [None, None, None, None, None, None, "firing since 4"]),
        (3, 2, "xxxx.x..", [None, None, "firing since 0", None, None, None, None, "resolved since 0"]),
        (2, 1, "x?x", [None, "firing since 0"]),  # a window that cannot be judged neither counts nor breaks the row
        (1, 2, "x.x..x", ["firing since 0", None, None, None, "resolved since 0", "firing since 5"]),
        (2, 2, "....", [None, None, None, None]),
    ],
)
def test_a_row_of_windows_makes_an_episode(
    for_windows: int, resolve_after: int, drawing: str, said: list[str | None]
) -> None:
    assert Watch(for_windows=for_windows, resolve_after=resolve_after).row(drawing) == said


def test_a_window_published_again_is_judged_again() -> None:
    """
    ::

        at first    . x        no two in a row
        again       x x        as labels came, the first fell as well
    """
    watch = Watch(for_windows=2)
    assert watch.row(".x") == [None, None]
    assert watch.see(0, 0.5) == "firing since 0"
    assert watch.see(0, 0.4) is None  # the episode runs already


def test_an_old_window_that_recovers_does_not_end_what_the_newest_shows() -> None:
    watch = Watch(for_windows=1, resolve_after=1)
    assert watch.row("xx") == ["firing since 0", None]
    assert watch.see(0, 0.9) is None
    assert watch.see(1, 0.9) == "resolved since 0"


def test_windows_that_arrive_out_of_order_lie_in_the_order_of_their_starts() -> None:
    watch = Watch(for_windows=2)
    assert watch.see(5, 0.5) is None
    assert watch.see(3, 0.9) is None
    assert watch.see(4, 0.5) == "firing since 4"


def test_an_episode_keeps_one_id_however_often_it_is_told() -> None:
    first, second = Watch(for_windows=2), Watch(for_windows=2)
    first.row(".xx.")
    second.row(".xx.")
    assert [alert["state"] for alert in first.alerts] == ["firing", "resolved"]
    assert len({alert["alert_id"] for alert in first.alerts + second.alerts}) == 1
    later, other = Watch(for_windows=2), Watch(for_windows=2, name="another")
    later.row("..xx")
    other.row(".xx")
    assert len({alert["alert_id"] for alert in later.alerts + other.alerts + first.alerts}) == 3


def test_ids_do_not_confuse_where_one_name_ends() -> None:
    assert deterministic_id("a", "b|c") != deterministic_id("a|b", "c")
    assert deterministic_id("a", "b\x00c") != deterministic_id("a\x00b", "c")
    assert len(deterministic_id("a")) == 32


def test_an_alert_says_what_where_and_since_when() -> None:
    watch = Watch(for_windows=2)
    watch.row("xx")
    (alert,) = watch.alerts
    assert alert.pop("alert_id") == deterministic_id(
        "alert", "accuracy-drop", "fraud", "3", "", "quality.accuracy", "1m", "0"
    )
    assert alert == {
        "state": "firing",
        "rule": "accuracy-drop",
        "severity": "critical",
        "model": "fraud",
        "model_version": "3",
        "segment": "",
        "metric": "quality.accuracy",
        "value": 0.5,
        "threshold": 0.8,
        "window": "1m",
        "window_start_ms": MINUTE,
        "window_end_ms": 2 * MINUTE,
        "started_ms": 0,
        "summary": "Model fraud version 3: quality.accuracy is 0.5, below 0.8, in the 1m window to "
        "1970-01-01 00:02:00 UTC, 2 windows in a row.",
    }


@pytest.mark.parametrize(
    ("condition", "values", "breaches"),
    [
        ({"below": 0.8}, [0.8, 0.79], [False, True]),
        ({"below": None, "above": 0.8}, [0.8, 0.81], [False, True]),
    ],
)
def test_a_limit_itself_is_no_breach(condition: dict[str, Any], values: list[float], breaches: list[bool]) -> None:
    for value, breach in zip(values, breaches, strict=True):
        assert (Watch(**condition).see(0, value) is not None) == breach


@pytest.mark.parametrize(("change", "fine", "breach"), [(-0.25, 0.26, 0.25), (0.25, 0.74, 0.75)])
def test_a_change_from_the_reference_is_signed_and_counts_from_its_size_on(
    change: float, fine: float, breach: float
) -> None:
    condition = {"below": None, "change_from_reference": change}
    assert Watch(**condition).see(0, fine, reference=0.5) is None
    watch = Watch(**condition)
    assert watch.see(0, breach, reference=0.5) == "firing since 0"
    assert watch.alerts[0]["threshold"] == pytest.approx(0.5 + change)
    assert Watch(**condition).see(0, breach, reference=None) is None  # nothing to compare with


def test_the_first_windows_make_the_baseline() -> None:
    watch = Watch(below=None, change_from_baseline=-0.1, baseline_windows=3)
    assert [watch.see(number, value) for number, value in enumerate([0.9, 0.1, 0.9])] == [None] * 3
    assert watch.see(1, 0.9) is None  # one of them is published again: its later value counts
    assert watch.see(3, 0.85) is None
    assert watch.see(4, 0.8) == "firing since 4"
    assert watch.alerts[0]["threshold"] == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("changes", "event", "judged"),
    [
        ({}, {}, True),
        ({"model": "fraud"}, {}, True),
        ({"model": "other"}, {}, False),
        ({"model_version": "4"}, {}, False),
        ({"segment": "country=DE"}, {}, False),
        ({"segment": "country=DE"}, {"segment": "country=DE"}, True),
        ({}, {"segment": "country=DE"}, False),
        ({"window": "5m"}, {}, False),
        ({"min_predictions": 101}, {}, False),
        ({"min_labelled": 51}, {}, False),
        ({"min_labelled": 50, "min_predictions": 100, "min_label_coverage": 0.5}, {}, True),
        ({"min_label_coverage": 0.51}, {}, False),
        ({"min_label_coverage": 0.1}, {"label_coverage": None}, False),
        ({"min_label_maturity": 0.9}, {"label_maturity": 0.9}, True),
        ({"min_label_maturity": 0.9}, {"label_maturity": 0.8}, False),
        ({"min_label_maturity": 0.1}, {"label_maturity": None}, False),
        ({"min_label_maturity": 0.1}, {}, False),
        ({}, {"quality": {}}, False),
        ({}, {"quality": {"accuracy": None}}, False),
    ],
)
def test_a_rule_judges_what_it_is_about_when_there_is_enough(
    changes: dict[str, Any],
    event: dict[str, Any],
    judged: bool,  # noqa: FBT001 - a column of the table
) -> None:
    assert bool(list(subjects(make_rule(**changes), window(0, **event)))) == judged


def test_a_star_gives_a_subject_a_feature() -> None:
    rule = make_rule(metric="drift.*.psi")
    assert dict(subjects(rule, window(0))) == {"drift.a.psi": 0.1, "drift.b.c.psi": 0.5}
    assert dict(subjects(make_rule(metric="drift.b.c.psi"), window(0))) == {"drift.b.c.psi": 0.5}


def test_truth_values_and_texts_are_no_numbers() -> None:
    assert list(subjects(make_rule(metric="drift.*.drifted"), window(0))) == []
    assert list(subjects(make_rule(metric="model"), window(0))) == []
    assert list(subjects(make_rule(metric="counts.labelled"), window(0))) == [("counts.labelled", 50.0)]


HOST_WINDOW = {
    "host": "node-1",
    "window": "1m",
    "window_start_ms": 0,
    "window_end_ms": MINUTE,
    "metrics": {
        "cpu.usage_ratio": {"mean": 0.5, "min": 0.1, "max": 0.9, "last": 0.4},
        "gpu.0.usage_ratio": {"mean": 0.6, "min": 0.6, "max": 0.6, "last": 0.6},
    },
}


@pytest.mark.parametrize(
    ("metric", "found"),
    [
        ("host.cpu.usage_ratio", {"host.cpu.usage_ratio": 0.5}),
        ("host.cpu.usage_ratio.max", {"host.cpu.usage_ratio.max": 0.9}),
        ("host.*", {"host.cpu.usage_ratio": 0.5, "host.gpu.0.usage_ratio": 0.6}),
        ("host.*.last", {"host.cpu.usage_ratio.last": 0.4, "host.gpu.0.usage_ratio.last": 0.6}),
        ("host.memory.used_ratio", {}),
    ],
)
def test_a_host_rule_means_the_mean_unless_it_names_another(metric: str, found: dict[str, float]) -> None:
    assert dict(subjects(make_rule(metric=metric), HOST_WINDOW)) == found


def test_host_rules_and_model_rules_keep_apart() -> None:
    host_rule = make_rule(metric="host.cpu.usage_ratio", below=None, above=0.4)
    assert list(subjects(host_rule, window(0))) == []
    assert list(subjects(make_rule(metric="metrics.cpu.usage_ratio.mean"), HOST_WINDOW)) == []
    assert list(subjects(replace(host_rule, host="node-2"), HOST_WINDOW)) == []
    alert = judge(host_rule, RuleState(), HOST_WINDOW, "host.cpu.usage_ratio", 0.5, None)
    assert alert["host"] == "node-1"
    assert "model" not in alert
    assert alert["summary"].startswith("Host node-1: host.cpu.usage_ratio is 0.5, above 0.4")


@given(st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=80), st.integers(1, 4), st.integers(1, 4))
def test_firing_and_resolving_take_turns_and_the_state_stays_small(
    seen: list[tuple[int, bool]], for_windows: int, resolve_after: int
) -> None:
    watch = Watch(for_windows=for_windows, resolve_after=resolve_after)
    for number, breach in seen:
        watch.see(number, 0.5 if breach else 0.9)
        assert len(watch.state.verdicts) <= for_windows + resolve_after + 2
    states = [alert["state"] for alert in watch.alerts]
    assert states == (["firing", "resolved"] * len(states))[: len(states)]
    assert [fired["alert_id"] for fired in watch.alerts[::2]][: len(states) // 2] == [
        resolved["alert_id"] for resolved in watch.alerts[1::2]
    ]
