"""Which values of a segment are kept is decided by the log alone, not by where batches end."""

import random
from typing import Any

import pytest

from tests.processors.loop import Loop
from tests.processors.test_pipeline import NOW, make_config
from tests.processors.traffic import START


def said(step: int, seed: int) -> dict[Any, int]:
    rng = random.Random(seed)
    loop = Loop(make_config(joiner={"max_segment_values": 2, "segment_pairs": [["country", "tier"]]}), partitions=1)
    for number in range(60):
        event = {
            "prediction_id": f"p{number}", "model": "m", "model_version": rng.choice("12"), "task": "binary",
            "timestamp_ms": START + number, "prediction": 1,
            "segments": {"country": rng.choice("abcde"), "tier": rng.choice("123")},
        }  # fmt: skip
        loop.put("predictions", 0, event)
    while loop.read("joiner", 0, "predictions", step, NOW):
        loop.commit("joiner", 0, NOW)
        loop.restart("joiner", 0)
    loop.drain(NOW)
    for later_ms in (10_000, 60_000, 120_000):
        loop.drain(NOW + later_ms)
    return {
        (event["model_version"], event["segment"], event["window_start_ms"]): event["counts"]["predictions"]
        for event in loop.events("window-metrics")
        if event["window"] == "2s" and event["final"]
    }


@pytest.mark.parametrize("seed", range(4))
def test_batches_do_not_decide_which_values_are_kept(seed: int) -> None:
    whole = said(60, seed)
    assert any("(other)" in segment for _, segment, _ in whole)
    assert said(1, seed) == said(7, seed) == whole
