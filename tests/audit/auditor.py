"""The auditor: reads what is committed, recomputes what must be there, and names every difference."""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from tests.audit.numbers import Reference, feature_rows, mean, window_numbers
from tests.audit.rows import Log, Place
from tests.audit.truth import HostKey, Rules, Truth, WindowKey, compute_truth

Json = Any
MAX_SHOWN = 20
INEXACT = (
    "std", "psi", "js", "f1_macro", "balanced_accuracy", "mcc", "low", "high", "rmse", "smape", "msle", "residual_p50",
    "median_absolute_error", "log_loss", "ndcg_at_5",
)  # fmt: skip
"""Roots, logarithms and sums of quotients, which may differ in the last bits; all else is equal to the bit."""


class Audit:
    """The differences between the log's inputs and its outputs.

    Args:
        log: everything committed, inputs and outputs.
        rules: what of the configuration counts.
        drift_rows: the fewest rows that drift is computed from.
    """

    def __init__(self, log: Log, rules: Rules, drift_rows: int = 100) -> None:
        self._log, self._rules, self._drift_rows = log, rules, drift_rows
        self.truth: Truth = compute_truth(log, rules)
        self.windows_compared = 0
        self._references = {
            version: Reference(rows, rules.bins, rules.max_categories)
            for version, rows in self.truth.first_rows.items()
            if len(rows) == rules.learn_rows
        }

    def events(self, topic: str) -> Iterator[Json]:
        """The events of an output topic, partition by partition."""
        for (name, _), records in sorted(self._log.items()):
            if name == topic:
                for record in records:
                    yield json.loads(record.value or b"null")

    def finals(self) -> int:
        """How many windows are final."""
        return sum(bool(event["final"]) for event in self.events("window-metrics"))

    def complete(self) -> bool:
        """Whether as many windows are out as there must be; cheap, and true also when they are wrong."""
        hosts = sum(1 for _ in self.events("host-metrics"))
        return self.finals() >= len(self.truth.windows) and hosts >= len(self.truth.hosts)

    def differences(self) -> list[str]:
        """All that is wrong, in words; empty when every promise was kept."""
        found = [
            *self._windows(),
            *self._hosts(),
            *self._dead_letters(),
            *self._alerts(),
            *self._triggers(),
        ]
        more = [f"and {len(found) - MAX_SHOWN} more"] if len(found) > MAX_SHOWN else []
        return found[:MAX_SHOWN] + more

    # --- windows -------------------------------------------------------------------------------------------------

    def _windows(self) -> Iterator[str]:
        revisions: dict[WindowKey, list[Json]] = defaultdict(list)
        for event in self.events("window-metrics"):
            names = ("model", "model_version", "task", "segment", "window", "window_start_ms")
            revisions[tuple(event[name] for name in names)].append(event)
        for key in sorted(self.truth.windows.keys() - revisions.keys()):
            yield f"window {key} was never published"
        for key, events in sorted(revisions.items()):
            said = [event["revision"] for event in events]
            if said != list(range(len(events))):
                yield f"window {key} has the revisions {said}"
            if [event["final"] for event in events] != [False] * (len(events) - 1) + [True]:
                yield f"window {key} is final in {[event['final'] for event in events]}, not once at the end"
            if key not in self.truth.windows:
                yield f"window {key} holds {events[-1]['counts']} and should not be there"
                continue
            self.windows_compared += 1
            yield from (f"window {key}: {text}" for text in self._compare(key, events[-1]))

    def _compare(self, key: WindowKey, event: Json) -> Iterator[str]:
        model, version, task = key[:3]
        cell = self.truth.windows[key]
        expected = window_numbers(task, cell, self._references.get((model, version)), self._drift_rows)
        drift, said_drift = expected.pop("drift"), event["drift"]
        if version == "":  # it holds labels that met no prediction, and nothing else
            expected = {"counts": expected["counts"]}
        for section, value in expected.items():
            yield from _unlike(section, value, event[section])
        for name in event["data_quality"].keys() - expected.get("data_quality", {}).keys():
            yield f"data_quality.{name} should not be there"
        if not version:
            return
        # When a reference becomes known depends on how the partitions are read; what came too late for it is counted.
        unbinned, rows = event["counts"]["unbinned"], feature_rows(cell)
        if event["reasons"].get("drift") == "reference_learning":
            if unbinned != rows:
                yield f"there was no reference, {rows} rows carry features and {unbinned} are unbinned"
        elif unbinned > rows:
            yield f"{rows} rows carry features and {unbinned} are unbinned"
        elif not unbinned:
            yield from _unlike("drift", drift, said_drift)

    # --- hosts ---------------------------------------------------------------------------------------------------

    def _hosts(self) -> Iterator[str]:
        said: dict[HostKey, list[Json]] = defaultdict(list)
        for event in self.events("host-metrics"):
            said[event["host"], event["window"], event["window_start_ms"]].append(event)
        for key in sorted(said.keys() | self.truth.hosts.keys()):
            if len(said[key]) != 1:
                yield f"host window {key} was published {len(said[key])} times"
            if key not in self.truth.hosts:
                yield f"host window {key} should not be there"
                continue
            expected = {
                metric: {
                    "mean": mean([value for _, value in readings]),
                    "min": min(value for _, value in readings),
                    "max": max(value for _, value in readings),
                    "last": max(readings)[1],
                }
                for metric, readings in self.truth.hosts[key].items()
            }
            for event in said[key]:
                yield from (f"host window {key}: {text}" for text in _unlike("metrics", expected, event["metrics"]))

    # --- dead letters --------------------------------------------------------------------------------------------

    def _dead_letters(self) -> Iterator[str]:
        said: Counter[tuple[Place, str]] = Counter()
        for letter in self.events("dead-letters"):
            place = Place(letter["topic"], letter["partition"], letter["offset"], letter.get("row"))
            reason = letter["reason"]
            said[place, reason if reason in ("too_late", "too_far_in_future", "window_final") else "malformed"] += 1
        for (place, reason), count in sorted((said - self.truth.dead).items(), key=str):
            yield f"{place} became a dead letter ({reason}) {count} times too often"
        for (place, reason), count in sorted((self.truth.dead - said).items(), key=str):
            yield f"{place} became a dead letter ({reason}) {count} times too few"

    # --- alerts --------------------------------------------------------------------------------------------------

    def _alerts(self) -> Iterator[str]:
        """Each subject of a rule fires and resolves in turns, and a resolution is that of the last firing."""
        running: dict[tuple[str, ...], str] = {}
        for alert in self.events("alerts"):
            who = [str(alert.get(name)) for name in ("rule", "model", "model_version", "segment", "host", "metric")]
            before = running.pop(tuple(who), None)
            if alert["state"] == "firing":
                running[tuple(who)] = alert["alert_id"]
                if before is not None:
                    yield f"alert {who} fires while {before} is firing"
            elif alert["alert_id"] != before:
                yield f"alert {who} resolves {alert['alert_id']} while {before} is firing"

    def _triggers(self) -> Iterator[str]:
        """An episode can fire again when a window of it is published anew; each trigger comes with a firing."""
        fired = Counter(alert["alert_id"] for alert in self.events("alerts") if alert["state"] == "firing")
        named = Counter(name for trigger in self.events("retrain-triggers") for name in trigger["alerts"])
        for name, count in sorted((named - fired).items()):
            yield f"alert {name} has {count} triggers more than firings"


def _unlike(path: str, expected: Json, said: Json) -> Iterator[str]:
    """Where a said value differs from what must be there; what is said beyond that is not looked at."""
    if isinstance(expected, dict):
        for name, value in sorted(expected.items()):
            if not isinstance(said, dict) or name not in said:
                yield f"{path}.{name} is missing, must be {value}"
            else:
                yield from _unlike(f"{path}.{name}", value, said[name])
    elif isinstance(expected, float) and isinstance(said, int | float):
        tolerance = 1e-9 if path.endswith(INEXACT) else 0.0
        if not math.isclose(expected, said, rel_tol=tolerance, abs_tol=tolerance):
            yield f"{path} is {said}, must be {expected}"
    elif expected != said:
        yield f"{path} is {said}, must be {expected}"


def audit(log: Log, rules: Rules, drift_rows: int = 100) -> Sequence[str]:
    """The differences in a log; see ``Audit``."""
    return Audit(log, rules, drift_rows).differences()
