"""Joiner and monitor together: whatever the interleaving and the crashes, final windows are one batch computation's."""

import random
from collections import defaultdict
from dataclasses import replace
from typing import Any

import orjson
import pytest

from pipeline.config import Config, load_config
from tests.audit.auditor import audit
from tests.audit.truth import Rules, Window
from tests.processors.loop import Loop
from tests.processors.schema import check
from tests.processors.traffic import START, make_traffic, put_log

SECOND = 1_000
NOW = START + 3_600 * SECOND
RULES = Rules(
    windows=[Window("2s", 2_000, 2_000), Window("4s/1s", 4_000, 1_000), Window("12s/6s", 12_000, 6_000)],
    pane_ms=SECOND,
    horizon_ms=20 * SECOND,
    early_ms=8 * SECOND,
    lateness_ms=2 * SECOND,
    future_ms=NOW + 60 * SECOND,
    partitions=2,
    learn_rows=40,
)
LEFT_FOR_EVER = {
    b"dictionary", b"meta", b"learned", b"announced", b'"progress"', b'"reference"', b'"rule"', b'"ageing"',
    b'"calibration"', b'"errors"',
}  # fmt: skip


QUALITY: dict[str, Any] = {"quality": {"calibration_rows": 20}}

BURNING: dict[str, Any] = {"target": 0.9, "period": "60s", "burn_rates": ["10s/2s"]}
COMPARING: dict[str, Any] = {
    "quality": {"calibration_rows": 20, "worst_segments": {"min_labelled": 3}},
    "objectives": [
        {"name": "right", "correct": True, **BURNING},
        {"name": "close", "absolute_error": 20.0, **BURNING},
        {"name": "fast", "latency_ms": 8.0, "segment": "country=DE", **BURNING},
    ],
}


def make_config(**sections: Any) -> Config:
    windows = {
        "sizes": [window.name for window in RULES.windows],
        "label_horizon": RULES.horizon_ms,
        "early_label_horizon": RULES.early_ms,
        "allowed_lateness": RULES.lateness_ms,
        "idle_timeout": "1s",
    }
    return load_config(
        overrides={"windows": windows, "reference": {"learn_rows": RULES.learn_rows}, **QUALITY, **sections}
    )


def run(loop: Loop, rng: random.Random, steps: int) -> None:
    """Read, commit and crash in any order; then to the end, and on until time itself has closed everything."""
    for _ in range(steps):
        name, partition = rng.choice(list(loop.tasks))
        action = rng.random()
        if action < 0.75:
            topic = rng.choice(loop.processors[name].inputs)
            loop.read(name, partition, topic, rng.randrange(1, 60), NOW)
        elif action < 0.93:
            loop.commit(name, partition, NOW)
        elif action < 0.98:
            loop.restart(name, partition)
        else:
            loop.start()
    loop.drain(NOW)
    for later_s in (10, 60, 120):
        loop.drain(NOW + later_s * SECOND)


def windows_by_key(loop: Loop) -> dict[Any, list[dict[str, Any]]]:
    said = defaultdict(list)
    for event in loop.events("window-metrics"):
        key = (event["model"], event["model_version"], event["segment"], event["window"], event["window_start_ms"])
        said[key].append(event)
    return said


def check_nothing_is_left(loop: Loop) -> None:
    """All is final: what compaction keeps of the changelogs does not grow with the traffic."""
    for place, log in loop.changelogs.items():
        kept = {key for key, value in dict(log).items() if value is not None}
        kinds = {key.partition(b"/")[0].strip(b"[").split(b",")[0] for key in kept}
        # A version with too few rows so far is still learned from, on the one partition that learns.
        assert kinds <= (LEFT_FOR_EVER | {b"waiting"} if place == ("joiner", 0) else LEFT_FOR_EVER)


@pytest.mark.parametrize("seed", range(10))
def test_final_windows_equal_a_batch_computation(seed: int) -> None:
    rng = random.Random(seed)
    predictions, labels = make_traffic(rng, 300)
    loop = Loop(make_config())
    for topic, parts in (("predictions", predictions), ("labels", labels)):
        for partition, events in enumerate(parts):
            put_log(loop, topic, partition, events, None)
    run(loop, rng, 400)
    assert audit(loop.log(), RULES) == []
    check_nothing_is_left(loop)


def final_events(loop: Loop) -> dict[Any, Any]:
    """The final windows without what may differ; their drift where no interleaving ends them before the reference."""
    result = {}
    for key, events in windows_by_key(loop).items():
        event = {name: value for name, value in events[-1].items() if name not in ("revision", "published_ms")}
        if event["window_start_ms"] < START:
            event = {name: value for name, value in event.items() if name not in ("drift", "drift_summary", "reasons")}
        result[key] = event
    return result


def letters(loop: Loop) -> list[Any]:
    fields = ("topic", "partition", "offset", "row", "reason", "value")
    return sorted(
        ([letter[name] for name in fields] for letter in loop.events("dead-letters")),
        key=lambda row: [str(x) for x in row],
    )


@pytest.mark.parametrize("seed", range(2))
def test_interleavings_differ_in_nothing_that_is_said(seed: int) -> None:
    """Three models, columns and single events, bad records between them, one partition that stays empty."""
    logs: Any = None
    said = []
    for order in range(3):
        rng = random.Random(seed)
        predictions, labels = make_traffic(rng, 700, ("fraud", "fraud", "fraud", "price", "tags", "clicks"), step_ms=15)
        loop = Loop(make_config(**COMPARING), partitions=3)
        for topic, parts in (("predictions", predictions), ("labels", labels)):
            for partition, events in enumerate(parts):
                put_log(loop, topic, partition, events, rng)
        logs = logs or {place: list(records) for place, records in loop.topics.items()}
        assert {place: list(records) for place, records in loop.topics.items()} == logs
        run(loop, random.Random(seed * 10 + order), 500)
        assert audit(loop.log(), replace(RULES, partitions=3)) == []
        check_nothing_is_left(loop)
        said.append((final_events(loop), letters(loop)))
    assert said[0] == said[1] == said[2]
    finals = said[0][0].values()
    assert sum(bool(event.get("worst_segments")) for event in finals) > 3
    assert {name for event in finals for name in event["objectives"]} == {"right", "close", "fast"}
    assert any(one["low"] is not None for event in finals for one in event["ageing"].values())
    drifts = [one["psi"] for event in said[0][0].values() for one in event.get("drift", {}).values()]
    assert any(psi is not None for psi in drifts)
    assert any(event["quality"].get("brier") is not None for event in said[0][0].values())
    estimated = [event["estimated"].get("calibration") for event in said[0][0].values()]
    assert "none" in estimated
    assert "identity" in estimated or "isotonic" in estimated
    assert any(event["estimated"].get("mae") is not None for event in said[0][0].values())
    places = [tuple(letter[:4]) for letter in said[0][1]]
    assert len(set(places)) == len(places) > 10, "each bad row goes to dead letters once"


def test_estimates_of_several_classes_are_corrected_by_what_is_final_whatever_the_interleaving() -> None:
    """A model that is always three quarters sure, and right in a third of its rows."""
    said = []
    for order in range(2):
        rng = random.Random(3)
        predictions, labels = make_traffic(rng, 250)
        for event in (one for part in predictions for one in part):
            others = {name: 0.125 for name in ("a", "b", "7") if name != event["prediction"]}
            event["scores"] = {event["prediction"]: 0.75, **others}
        loop = Loop(make_config())
        for topic, parts in (("predictions", predictions), ("labels", labels)):
            for partition, events in enumerate(parts):
                put_log(loop, topic, partition, events, None)
        run(loop, random.Random(order), 200)
        said.append(final_events(loop))
    assert said[0] == said[1]
    by_method: dict[str, list[Any]] = defaultdict(list)
    for event in said[0].values():
        if event["estimated"]:
            by_method[event["estimated"]["calibration"]].append(event)
    assert {event["estimated"]["accuracy"] for event in by_method["none"]} == {0.75}
    corrected = [event for event in by_method["isotonic"] if event["model_version"] == "1"]
    assert len({round(event["estimated"]["accuracy"], 12) for event in corrected}) == 1
    assert 0.1 < corrected[0]["estimated"]["accuracy"] < 0.6
    for event in corrected:
        real, error = event["quality"]["accuracy"], event["estimated"]["error"]["accuracy"]
        assert error == (None if real is None else event["estimated"]["accuracy"] - real)


def test_every_record_is_what_its_schema_says() -> None:
    rng = random.Random(5)
    predictions, labels = make_traffic(rng, 200, ("fraud", "price", "tags", "clicks"))
    rules = [
        {"name": "any", "metric": "quality.accuracy", "window": "2s", "below": 1.1, "retrain": True},
        {"name": "busy", "metric": "host.*.max", "window": "2s", "above": 0.5},
    ]
    loop = Loop(make_config(rules=rules))
    for topic, parts in (("predictions", predictions), ("labels", labels)):
        for partition, events in enumerate(parts):
            put_log(loop, topic, partition, events, rng)
    for number in range(60):
        reading = {"host": f"h{number % 3}", "timestamp_ms": START + number * 300, "metrics": {"cpu": rng.random()}}
        loop.put("resources", number % 2, reading)
    run(loop, rng, 200)
    schemas = {
        "window-metrics": "window_metrics.v1",
        "host-metrics": "host_metrics.v1",
        "alerts": "alert.v1",
        "retrain-triggers": "retrain_trigger.v1",
        "dead-letters": "dead_letter.v1",
    }
    for topic, schema in schemas.items():
        events = loop.events(topic)
        assert events, topic
        for event in events:
            check(schema, event)
    assert max(len(value or b"") for records in loop.topics.values() for _, value, _ in records) < 800_000
    assert orjson.loads(loop.topics["partials", 0][0][1] or b"")
