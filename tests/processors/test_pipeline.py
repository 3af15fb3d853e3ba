"""Joiner and monitor together: whatever the interleaving and the crashes, final windows are one batch computation's."""

import random
from collections import defaultdict
from typing import Any

import pytest

from pipeline.config import Config, load_config
from tests.processors.loop import Loop
from tests.processors.truth import Times, expected_numbers, final_windows, said_numbers

SECOND = 1_000
TIMES = Times(pane_ms=SECOND, horizon_ms=20 * SECOND, early_ms=8 * SECOND, lateness_ms=2 * SECOND)
START = 1_700_000_000_000


def make_config(**sections: Any) -> Config:
    windows = {
        "sizes": ["2s", "4s/1s"],
        "label_horizon": TIMES.horizon_ms,
        "early_label_horizon": TIMES.early_ms,
        "allowed_lateness": TIMES.lateness_ms,
        "idle_timeout": "1s",
    }
    return load_config(overrides={"windows": windows, "reference": {"learn_rows": 40}, **sections})


def traffic(rng: random.Random, count: int) -> tuple[list[list[dict[str, Any]]], list[list[dict[str, Any]]]]:
    """Predictions and labels of two partitions: duplicates, disorder, corrections, early and hopeless labels."""
    predictions: list[list[dict[str, Any]]] = [[], []]
    labels: list[list[tuple[float, dict[str, Any]]]] = [[], []]
    for number in range(count):
        partition = rng.randrange(2)
        time_ms = START + number * 60 + rng.randrange(-1500, 1500) - (rng.random() < 0.03) * rng.randrange(30_000)
        event = {
            "prediction_id": f"p{number}" if rng.random() < 0.97 else f"p{rng.randrange(number + 1)}",
            "model": "fraud",
            "model_version": rng.choice("12"),
            "timestamp_ms": time_ms,
            "task": "multiclass",
            "prediction": rng.choice(["a", "b", "7"]),
            "latency_ms": rng.choice([None, rng.random() * 10]),
            "features": {"amount": rng.gauss(0, 1), "kind": rng.choice(["x", "y"])},
        }
        if rng.random() < 0.3:
            event["segments"] = {"country": rng.choice(["DE", "FR"])}
        predictions[partition].append(event)
        if rng.random() < 0.05:
            predictions[partition].append(dict(event))
        if rng.random() < 0.05:
            predictions[partition].append({**event, "model_version": rng.choice("123")})
        for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
            delay = rng.choice([-3_000, 500, 4_000, 9_000, 19_000, 30_000]) * rng.random()
            label = {
                "prediction_id": event["prediction_id"],
                "model": "fraud",
                "timestamp_ms": int(time_ms + delay),
                "label": rng.choice(["a", "b", 7]),
            }
            labels[partition].append((time_ms + delay + rng.random() * 3_000, label))
    return predictions, [[label for _, label in sorted(part, key=lambda item: item[0])] for part in labels]


def check_final_windows(loop: Loop, predictions: Any, labels: Any) -> None:
    finals = defaultdict(list)
    for event in loop.events("window-metrics"):
        if event["final"]:
            finals[
                event["model"], event["model_version"], event["segment"], event["window"], event["window_start_ms"]
            ].append(event)
    assert all(len(events) == 1 for events in finals.values()), "a window turns final once"
    logs = list(zip(predictions, labels, strict=True))
    expected = {}
    for window, size_ms, slide_ms in (("2s", 2_000, 2_000), ("4s/1s", 4_000, 1_000)):
        for (model, version, segment, start), cell in final_windows(logs, size_ms, slide_ms, TIMES).items():
            expected[model, version, segment, window, start] = expected_numbers(cell)
    assert {key: said_numbers(events[0]) for key, events in finals.items()} == expected


@pytest.mark.parametrize("seed", range(12))
def test_final_windows_equal_a_batch_computation(seed: int) -> None:
    rng = random.Random(seed)
    predictions, labels = traffic(rng, 300)
    loop = Loop(make_config())
    for topic, parts in (("predictions", predictions), ("labels", labels)):
        for partition, events in enumerate(parts):
            for event in events:
                loop.put(topic, partition, event)
    now_ms = START + 3_600 * SECOND
    for _ in range(400):
        name, partition = rng.choice(list(loop.tasks))
        action = rng.random()
        if action < 0.75:
            topic = rng.choice(loop.processors[name].inputs)
            loop.read(name, partition, topic, rng.randrange(1, 60), now_ms)
        elif action < 0.93:
            loop.commit(name, partition, now_ms)
        elif action < 0.98:
            loop.restart(name, partition)
        else:
            loop.start()
    loop.drain(now_ms)
    # The topics fall silent: time itself closes what is open.
    loop.drain(now_ms + 10 * SECOND)
    loop.drain(now_ms + 60 * SECOND)
    loop.drain(now_ms + 120 * SECOND)
    check_final_windows(loop, predictions, labels)
    assert {letter["reason"] for letter in loop.events("dead-letters")} <= {"too_late"}
