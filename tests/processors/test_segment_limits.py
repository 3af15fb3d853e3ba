"""Which values of a segment are kept is decided by the log alone, not by where batches end or workers crash."""

import random
from collections import Counter
from typing import Any

import orjson
import pytest

from pipeline.processors.segments import SegmentSets
from tests.processors.loop import Loop
from tests.processors.test_pipeline import NOW, make_config
from tests.processors.traffic import START

LIMITED = {"max_segment_values": 2, "segment_epoch": "2s", "segment_pairs": [["country", "tier"]]}


def said(step: int, seed: int) -> dict[Any, int]:
    """What the windows of two seconds hold; c and d are rare at first, and frequent later."""
    rng = random.Random(seed)
    loop = Loop(make_config(joiner=LIMITED), partitions=1)
    for number in range(90):
        countries = "abababcd" if number < 45 else "abccccdd"
        event = {
            "prediction_id": f"p{number}", "model": "m", "model_version": rng.choice("12"), "task": "binary",
            "timestamp_ms": START + 100 * number - rng.randrange(1_500), "prediction": 1,
            "segments": {"country": rng.choice(countries), "tier": rng.choice("123")},
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
def test_batches_and_crashes_do_not_decide_which_values_are_kept(seed: int) -> None:
    whole = said(90, seed)
    assert any(segment == "country=(other)" for _, segment, _ in whole)
    assert said(1, seed) == said(7, seed) == whole


def test_heavy_hitters_get_names_and_every_row_counts_once() -> None:
    whole = said(90, 1)
    by_window: Counter[tuple[str, int]] = Counter()
    for (version, segment, start_ms), rows in whole.items():
        if segment.startswith("country=") and "&" not in segment:
            by_window[version, start_ms] += rows
    assert by_window == {(version, start): rows for (version, segment, start), rows in whole.items() if not segment}
    first = {segment for _, segment, start in whole if start < START + 2_000}
    last = {segment for _, segment, start in whole if start >= START + 8_000}
    assert "country=c" not in first
    assert "country=c" in last
    assert not {"country=a", "country=b"} <= last


def test_a_name_that_was_taken_back_is_not_kept_beyond_the_limit() -> None:
    segments = SegmentSets(max_values=2)
    epoch = iter(range(10))

    def rows(country: str, number: int) -> str:
        segments.count("m", (f"country={country}",), number)
        return segments.sets[segments.code("m", (f"country={country}",))][0]

    segments.turn_to(next(epoch))
    assert [rows(country, 5) for country in "abc"] == ["country=a", "country=b", "country=(other)"]
    segments.turn_to(next(epoch))
    assert [rows(country, number) for country, number in zip("abc", (9, 1, 9), strict=True)][2] == "country=(other)"
    segments.turn_to(next(epoch))
    assert [rows(country, 5) for country in "cab"] == ["country=c", "country=a", "country=(other)"]
    restored = SegmentSets(max_values=2)
    restored.restore(*segments.take_new())
    for key, value in segments.changelog():
        restored.restore_rivals(orjson.loads(key), value)
    restored.finish_restore()
    for country in "abcd":
        of = (f"country={country}",)
        assert restored.code("m", of) == segments.code("m", of)
    wider = SegmentSets(max_values=3)
    wider.restore(0, [("m", ("country=a",)), ("m", ("country=b",)), ("m", ("country=c",)), ("m", ("country=d",))])
    wider.restore_rivals(["rivals", "m", "country", 0], b'{"":[true,0],"=a":[true,null],"=b":[true,null]}')
    wider.finish_restore()
    found = [wider.sets[wider.code("m", (f"country={country}",))][0] for country in "abcd"]
    assert found == ["country=a", "country=b", "country=c", "country=(other)"]
