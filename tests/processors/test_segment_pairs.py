"""Segments in pairs, from predictions to windows, with corrections and crashes: counted as a plain loop counts them."""

import random
from collections import Counter
from typing import Any

import pytest

from pipeline.config import load_config
from pipeline.core.errors import ConfigError
from tests.processors.loop import Loop
from tests.processors.schema import check
from tests.processors.test_pipeline import make_config, run
from tests.processors.traffic import START


def test_pairs_are_counted_as_a_plain_loop_counts_them() -> None:
    rng = random.Random(3)
    loop = Loop(make_config(joiner={"segment_pairs": [["country", "device"]]}))
    right: Counter[str] = Counter()
    rows: Counter[str] = Counter()
    for number in range(120):
        country, device = rng.choice(["DE", "FR"]), rng.choice(["ios", "web", None])
        segments = {"country": country, **({"device": device} if device else {})}
        truth, partition = rng.choice("ab"), number % 2
        event = {
            "prediction_id": f"p{number}", "model": "m", "model_version": "1", "task": "multiclass",
            "timestamp_ms": START + number, "prediction": rng.choice("ab"), "segments": segments,
        }  # fmt: skip
        loop.put("predictions", partition, event)
        for delay, label in ((500, rng.choice("ab")), (900, truth)):  # the second corrects the first
            answer = {
                "prediction_id": f"p{number}",
                "model": "m",
                "timestamp_ms": START + number + delay,
                "label": label,
            }
            loop.put("labels", partition, answer)
        if device:
            rows[f"country={country}&device={device}"] += 1
            right[f"country={country}&device={device}"] += event["prediction"] == truth
    run(loop, rng, 200)
    events = [event for event in loop.events("window-metrics") if event["final"] and event["window"] == "2s"]
    for event in events:
        check("window_metrics.v1", event)
    found = {event["segment"]: event for event in events if "&" in event["segment"]}
    assert len(found) == 4
    assert {name: event["counts"]["labelled"] for name, event in found.items()} == rows
    assert {name: round(event["quality"]["accuracy"] * rows[name]) for name, event in found.items()} == right


FAULTS: list[tuple[Any, str]] = [
    ([["a", "a"]], "joiner.segment_pairs[0]"),
    ([["a", "b"], ["b", "a"]], "joiner.segment_pairs[1]"),
    ([["a", ""]], "joiner.segment_pairs[0][1]"),
    ([["a", "b", "c"]], "joiner.segment_pairs[0]"),
    ("ab", "joiner.segment_pairs"),
]


@pytest.mark.parametrize(("pairs", "place"), FAULTS)
def test_faults_are_told_with_their_place(pairs: Any, place: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(overrides={"joiner": {"segment_pairs": pairs}})
    assert place in [fault.place for fault in error.value.faults]
