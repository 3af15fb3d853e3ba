"""Runs the rules over published windows, and keeps their states and the triggers' cooldowns."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from pipeline.core.events import Json, OutputRecord
from pipeline.core.paths import find
from pipeline.core.retrain import in_cooldown, make_trigger, note_evidence
from pipeline.core.rules import Rule, RuleState, judge, subjects

Evidence = Callable[[], Json]
"""Gives the offsets of the rows of the window that is being judged."""


class Alerting:
    """All rules of one monitor partition."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = {rule.name: rule for rule in rules}
        self._states: dict[tuple[str, ...], RuleState] = {}
        self._triggered_ms: dict[tuple[str, str], int] = {}
        self._changed: set[tuple[str, ...]] = set()
        self._changed_triggers: set[tuple[str, str]] = set()

    def evaluate(
        self, event: Mapping[str, Any], evidence: Evidence, references: Mapping[str, Json], now_ms: int
    ) -> Iterator[OutputRecord]:
        """Judge one published window by every rule.

        Args:
            event: a ``window_metrics.v1`` or ``host_metrics.v1`` event.
            evidence: gives the offsets of the window's rows.
            references: reference metric by path, for ``change_from_reference``.
            now_ms: the wall clock.

        Returns:
            Alerts that fire or resolve, and the retrain triggers that follow from them.
        """
        for rule in self._rules.values():
            for path, value in subjects(rule, event):
                who = (event["host"],) if rule.watches_hosts else _who(event)
                key = (rule.name, *who, path)
                self._changed.add(key)
                reference = next((number for _, number in find(references, path) if _is_number(number)), None)
                state = self._states.setdefault(key, RuleState())
                alert = judge(rule, state, event, path, value, reference)
                if rule.retrain:
                    note_evidence(state, event["window_start_ms"], evidence)
                if alert is None:
                    continue
                yield OutputRecord("alerts", "|".join(who).encode(), orjson.dumps(alert), schema="alert.v1")
                if rule.retrain and alert["state"] == "firing":
                    yield from self._trigger(rule, alert, state.evidence, now_ms)

    def changelog(self) -> Iterator[tuple[bytes, bytes | None]]:
        """The entries for what changed since the last call."""
        for key in self._changed:
            yield orjson.dumps(["rule", *key]), orjson.dumps(self._states[key].to_json())
        for who in self._changed_triggers:
            yield orjson.dumps(["triggered", *who]), orjson.dumps(self._triggered_ms[who])
        self._changed, self._changed_triggers = set(), set()

    def restore(self, kind: str, key: Sequence[str], value: Json) -> None:
        """Apply one changelog entry.

        Args:
            kind: ``rule`` or ``triggered``.
            key: the rest of the entry's key.
            value: the entry's value.
        """
        if kind == "triggered":
            self._triggered_ms[key[0], key[1]] = value
        elif key[0] in self._rules:  # a rule that was removed leaves nothing behind
            self._states[tuple(key)] = RuleState.from_json(value)

    def _trigger(self, rule: Rule, alert: Json, evidence: Json, now_ms: int) -> Iterator[OutputRecord]:
        who = (alert["model"], alert["model_version"])
        if not alert["model_version"]:  # labels without a prediction: there is no version to train anew
            return
        if in_cooldown(rule, alert, self._triggered_ms.get(who)):
            return
        self._triggered_ms[who] = alert["window_end_ms"]
        self._changed_triggers.add(who)
        trigger = make_trigger(alert, evidence, now_ms)
        key = "|".join(who).encode()
        yield OutputRecord("retrain-triggers", key, orjson.dumps(trigger), schema="retrain_trigger.v1")


def _who(event: Mapping[str, Any]) -> tuple[str, str, str]:
    return event["model"], event["model_version"], event["segment"]


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
