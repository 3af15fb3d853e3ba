"""What final windows say of those whose labels are still to come: through crashes, in bounded memory, and how well."""

import math
import random
from typing import Any

import numpy as np
import orjson
import pytest

from pipeline.config import load_config
from pipeline.core.accumulate.confusion import Confusion
from pipeline.core.accumulate.counts import Counts
from pipeline.core.accumulate.delays import Delays
from pipeline.core.codec import encode_columns
from pipeline.processors.partials import Pending, Progress, progress_records
from tests.processors.loop import Loop
from tests.processors.monitor_bench import GROUP, HORIZON, Bench, S
from tests.processors.schema import check

AT_ONCE, EIGHT_S = 0, 209
"""Buckets of delays; the second has 8,192 ms and a sixteenth more."""
MATURITY = ("expected_label_coverage", "label_maturity")


class Labelled(Bench):
    """Windows of 100 predictions: 50 labels of class 0 that come at once, and some of class 1 that take 8 seconds."""

    def window(self, second: int, quick: int = 50, slow: int = 25, predictions: int = 100) -> None:
        pending, key = Pending(), (GROUP, "", second * S)
        pending.merge(
            key, "counts", Counts({"predictions": predictions, "labelled": quick + slow, "labels": quick + slow})
        )
        labels = {"0": (AT_ONCE, quick), "1": (EIGHT_S, slow)}
        confusion = Confusion()
        confusion.counts = {("0", name): count for name, (_, count) in labels.items() if count}
        pending.merge(key, "confusion", confusion)
        sketches = {name: np.array([[bucket, count]]) for name, (bucket, count) in labels.items() if count}
        pending.merge(key, "delays", Delays(sketches))
        self.send_records(pending.take(0))

    def reach(self, predictions: int, labels: int | None = None) -> None:
        """Predictions and labels have been read up to these seconds."""
        labels_ms = (predictions if labels is None else labels) * S
        record = Progress(0, self.joiners, predictions * S, min(predictions * S, labels_ms), -(10**9), labels_ms)
        self.send_records(list(progress_records(record, 1)))

    def remembered(self) -> list[int]:
        """The starts of the windows that the changelog remembers, in seconds."""
        names = [orjson.loads(key) for key, value in self.log.items() if value is not None]
        return sorted(name[-1] // S for name in names if name[0] == "past")


def test_a_window_is_expected_to_have_the_labels_that_others_had_at_its_age() -> None:
    bench = Labelled()
    for second in (0, 2):
        bench.window(second)
    bench.reach(2)
    (first,) = bench.events()
    check("window_metrics.v1", first)
    assert [first[name] for name in MATURITY] == [None, None]
    assert [first["reasons"][name] for name in MATURITY] == ["no_history", "no_history"]
    assert first["quality"]["corrected"]["accuracy"] is None
    bench.reach(30)
    finals = [event for event in bench.events() if event["final"]]
    assert [event["label_maturity"] for event in finals] == [1.0, 1.0]
    assert [event["expected_label_coverage"] for event in finals] == [None, 0.75]
    bench.crash()
    bench.window(30, slow=0)
    bench.reach(32)
    (young,) = bench.events()
    check("window_metrics.v1", young)
    assert [young[name] for name in MATURITY] == [0.5, pytest.approx(50 / 75)]
    assert young["reasons"]["quality.corrected.accuracy"] == "too_immature"
    assert young["quality"]["accuracy"] == 1.0
    # Where predictions lie in the window is not known: of the last second's labels those of the first half have come.
    bench.window(30, quick=0, slow=13, predictions=0)
    bench.reach(39, labels=39)
    older = bench.events()[-1]
    assert older["label_maturity"] == pytest.approx((50 + 25 * 0.3) / 75, abs=0.05)
    bench.reach(41)
    bench.window(30, quick=0, slow=12, predictions=0)
    oldest = bench.events()[-1]
    assert [oldest[name] for name in MATURITY] == [0.75, 1.0]


def test_labels_that_lag_behind_predictions_are_still_to_come() -> None:
    bench = Labelled()
    bench.window(0)
    bench.reach(30)
    bench.flush()
    bench.window(30, quick=0, slow=0)
    bench.reach(32, labels=30)
    (event,) = bench.events()
    assert event["label_maturity"] == 0.0
    bench.reach(34, labels=31)
    bench.window(30, quick=50, slow=0, predictions=0)
    (event,) = bench.events()
    assert event["label_maturity"] == pytest.approx(0.5 * 50 / 75)


def test_the_last_few_windows_are_remembered_until_they_can_speak_for_none() -> None:
    bench = Labelled(quality={"maturity": {"windows": 3}})
    for second in range(0, 20, 2):
        bench.window(second)
    bench.reach(26)
    bench.flush()
    assert bench.remembered() == [0, 2, 4]
    bench.reach(38)
    bench.flush()
    assert bench.remembered() == [12, 14, 16]
    bench.crash()
    reach = 2 * (HORIZON // S + 3 * 2)
    bench.reach(14 + reach + HORIZON // S + 2)
    bench.flush()
    assert bench.remembered() == [16, 18]
    bench.reach(1_000)
    bench.flush()
    assert bench.remembered() == []
    assert not bench.task._state.past._windows
    assert not bench.task._state.past._ageing


def test_a_window_that_is_long_gone_says_nothing() -> None:
    """Whether it is still remembered depends on when the state was last tidied up; what is said must not."""
    reach = 2 * (HORIZON // S + 3 * 2)
    for start, known in ((reach, True), (reach + 2, False)):
        bench = Labelled(quality={"maturity": {"windows": 3}})
        bench.window(0)
        bench.reach(22)
        bench.flush()
        bench.window(start)
        bench.reach(start + 2)
        (event,) = bench.events()
        assert (event["label_maturity"] is not None) == known
        assert bench.remembered() == [0]


def test_what_is_not_configured_any_more_is_forgotten() -> None:
    bench = Labelled(("2s", "4s"))
    for second in range(0, 8, 2):
        bench.window(second)
    bench.reach(40)
    bench.flush()
    assert bench.remembered() == [0, 0, 2, 4, 4, 6]
    other = Labelled(("4s", "8s"), quality={"maturity": {"windows": 1}})
    other.log = bench.log
    other.crash()
    other.flush()
    assert other.remembered() == [4]


@pytest.mark.parametrize("seed", range(3))
def test_final_windows_say_the_same_whenever_state_is_written_and_lost(seed: int) -> None:
    said = []
    for order in range(2):
        rng, steps = random.Random(seed), random.Random(f"{seed} {order}")
        bench = Labelled(("2s", "6s/2s"), quality={"maturity": {"windows": 4}})
        finals: dict[Any, Any] = {}
        for second in range(0, 300, 2):
            if rng.random() < 0.3:
                bench.window(second, quick=rng.randrange(40), slow=rng.randrange(40))
            bench.reach(second + 2)
            if steps.random() < 0.4:
                for event in bench.events():
                    finals |= {(event["window"], event["window_start_ms"]): event} if event["final"] else {}
                if steps.random() < 0.3:
                    bench.crash()
        for event in bench.events():
            finals |= {(event["window"], event["window_start_ms"]): event} if event["final"] else {}
        for event in finals.values():
            del event["revision"]
        said.append(finals)
    assert said[0] == said[1]
    assert sum(event["expected_label_coverage"] is not None for event in said[0].values()) > 50


def test_a_rule_can_wait_until_the_labels_have_come() -> None:
    rule = {"name": "low", "metric": "quality.accuracy", "below": 0.9, "min_label_maturity": 0.8}
    bench = Labelled(rules=[rule])
    bench.window(0)
    bench.reach(2)
    assert bench.events("alerts") == []
    bench.reach(22)
    (alert,) = bench.events("alerts")
    assert alert["window_start_ms"] == 0


MINUTE = 60_000
HALF_HOUR = 30 * MINUTE
START = 1_700_000_000_000 // MINUTE * MINUTE


def simulate(mean_delay_ms: tuple[float, float], minutes: int, rows: int, seed: int) -> list[list[Any]]:
    """A binary model that finds 60 % of the class 1, a third of all; each class has its own delays. By window."""
    rng = np.random.default_rng(seed)
    windows = {"sizes": ["1m"], "label_horizon": HALF_HOUR, "allowed_lateness": "1s", "revision_step": 0.02}
    loop = Loop(load_config(overrides={"windows": windows}), partitions=1)
    count = minutes * rows
    time_ms = np.sort(START + rng.integers(0, minutes * MINUTE, count))
    truth = (rng.random(count) < 1 / 3).astype(int)
    guess = np.where(rng.random(count) < np.where(truth, 0.6, 0.95), truth, 1 - truth)
    delay_ms = rng.exponential(np.array(mean_delay_ms)[truth]).astype(int)
    label_ms = time_ms + delay_ms
    ids = np.arange(count)
    for minute in range(minutes + 40):
        now_ms = START + (minute + 1) * MINUTE
        for topic, at_ms in (("predictions", time_ms), ("labels", label_ms)):
            due = np.flatnonzero((at_ms >= now_ms - MINUTE) & (at_ms < now_ms))
            due = due[np.argsort(at_ms[due], kind="stable")]
            fields: dict[str, Any] = {"model": "fraud", "prediction_id": [str(one) for one in ids[due]]}
            fields |= {"timestamp_ms": at_ms[due]}
            fields |= (
                {"label": truth[due]}
                if topic == "labels"
                else {"model_version": "1", "task": "binary", "prediction": guess[due]}
            )
            if len(due):
                loop.put(topic, 0, encode_columns(fields, len(due)), headers=[("layout", b"columns")])
        loop.drain(now_ms + 10_000)
    by_window: dict[int, list[Any]] = {}
    for event in loop.events("window-metrics"):
        if event["model_version"]:
            by_window.setdefault(event["window_start_ms"], []).append(event)
    return [events for events in by_window.values() if events[-1]["final"]]


def errors(windows: list[list[Any]]) -> tuple[list[float], list[float]]:
    """How far the accuracy of each early revision is from the final one's, raw and corrected, where both are there."""
    pairs = [
        (event["quality"]["accuracy"], event["quality"]["corrected"]["accuracy"], events[-1]["quality"]["accuracy"])
        for events in windows
        for event in events[:-1]
        if event["quality"]["corrected"]["accuracy"] is not None
    ]
    return [abs(raw - final) for raw, _, final in pairs], [abs(corrected - final) for _, corrected, final in pairs]


def test_early_windows_are_closer_to_their_final_accuracy_when_corrected() -> None:
    windows = simulate((20_000, 5 * MINUTE), minutes=80, rows=600, seed=3)
    raw, corrected = errors(windows)
    assert len(raw) > 100
    assert np.mean(corrected) < 0.5 * np.mean(raw) > 0.01
    for events in windows:
        final = events[-1]["quality"]
        assert all(final["corrected"][name] == final[name] for name in final["corrected"] if name != "intervals")
        assert all(0 <= event["label_maturity"] <= 1 for event in events if event["label_maturity"] is not None)
    # What is expected of a window is what it has, but for chance.
    misses = [
        event["expected_label_coverage"] - event["label_coverage"]
        for events in windows
        for event in events
        if event["expected_label_coverage"] is not None
    ]
    assert abs(float(np.mean(misses))) < 0.02


def test_where_all_classes_take_as_long_little_is_changed() -> None:
    raw, corrected = errors(simulate((2 * MINUTE, 2 * MINUTE), minutes=60, rows=400, seed=4))
    assert len(raw) > 50
    assert math.fsum(corrected) < 1.25 * math.fsum(raw)
