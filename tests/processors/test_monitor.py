"""The monitor alone, fed with partials: windows close, mature and end; whatever comes, it goes on."""

import random
from typing import Any

import orjson
import pytest

from pipeline.core.accumulate.confusion import Confusion
from pipeline.core.accumulate.counts import Counts
from pipeline.core.accumulate.exact_sum import ExactSum
from pipeline.core.accumulate.hosts import Readings
from pipeline.core.events import Group, Task
from pipeline.processors.partials import Pending, announcement
from tests.core.test_profile_parts import wide_profile
from tests.processors.monitor_bench import GROUP, Bench, S, snapshot
from tests.processors.schema import check


def test_a_window_closes_by_the_watermark_matures_by_labels_and_ends_by_the_horizon() -> None:
    """
    ::

        0    2         ...        22
        |----|                     |
        closed: revision 0         final: no label can come any more
              labels: revision 1
    """
    bench = Bench()
    bench.count(0, predictions=100)
    bench.progress(1)
    assert bench.windows() == []
    bench.progress(2)
    assert bench.windows() == [(0, 0, False, 100)]
    bench.count(0, right=4)
    assert bench.windows() == []  # fewer than revision_step, 5 of 100
    bench.count(0, wrong=1)
    (event,) = bench.events()
    assert (event["revision"], event["label_coverage"], event["quality"]["accuracy"]) == (1, 0.05, 0.8)
    bench.progress(21)
    assert bench.windows() == []
    bench.progress(22)
    assert bench.windows() == [(0, 2, True, 100)]
    bench.progress(100)
    assert bench.windows() == []


def test_progress_is_that_of_the_slowest_partition() -> None:
    bench = Bench(joiners=3)
    bench.count(0, predictions=1)
    bench.progress(10, joiner=0)
    bench.progress(10, joiner=1)
    assert bench.windows() == []  # one has not spoken yet
    bench.progress(1, joiner=2)
    assert bench.windows() == []
    bench.progress(3, joiner=2)
    assert bench.windows() == [(0, 0, False, 1)]
    bench.progress(50, joiner=0)
    bench.progress(50, joiner=1)
    assert bench.windows() == []
    bench.progress(50, joiner=2)
    assert bench.windows() == [(0, 1, True, 1)]


def test_a_new_partition_holds_windows_open_until_it_has_spoken() -> None:
    bench = Bench(joiners=1)
    bench.progress(10)
    bench.flush()
    bench.joiners = 2
    bench.progress(30)
    bench.count(28, predictions=1)
    assert bench.windows() == []
    bench.progress(30, joiner=1)
    assert bench.windows() == [(28, 0, False, 1)]


def test_hopping_windows_are_merged_from_panes() -> None:
    """
    ::

        -2   0    2    4    6         size 4, slide 2, pane 2
             |-1--|-10-|
        |---------|                   1
             |---------|              11
                  |---------|         10
    """
    bench = Bench(("4s/2s",))
    bench.count(0, predictions=1)
    bench.count(2, predictions=10)
    bench.progress(100, final=4)
    assert bench.windows() == [(-2, 0, False, 1), (0, 0, False, 11), (2, 0, False, 10)]
    bench.count(2, right=11)  # a label touches both windows that hold its prediction
    assert bench.windows() == [(0, 1, False, 11), (2, 1, False, 10)]


def test_a_window_that_closed_before_its_rows_came_is_published_at_once() -> None:
    bench = Bench()
    bench.progress(10)
    bench.flush()
    bench.count(0, predictions=1)
    assert bench.windows() == [(0, 0, False, 1)]


def test_what_comes_after_the_end_goes_to_dead_letters_whole() -> None:
    bench = Bench()
    bench.progress(100)
    bench.flush()
    bench.count(0, predictions=3)
    (letter,) = bench.events("dead-letters")
    check("dead_letter.v1", letter)
    assert (letter["reason"], letter["topic"], letter["offset"]) == ("window_final", "partials", 1)
    assert bench.windows() == []


def test_labels_without_a_prediction_are_told_of_the_model_alone() -> None:
    rule = {"name": "lost", "metric": "counts.unmatched_labels", "min_predictions": 0, "above": 1, "retrain": True}
    bench = Bench(rules=[rule, {"name": "other", "metric": "quality.accuracy", "below": 0.5, "min_predictions": 0}])
    bench.count(0, predictions=5)
    bench.count(0, group=Group("fraud", "", Task.BINARY), unmatched_labels=2)
    bench.progress(2)
    outputs = bench.flush()
    assert [record.topic for record in outputs] == ["window-metrics", "window-metrics", "alerts"]
    event, alert = (orjson.loads(record.value or b"") for record in outputs[1:])
    check("alert.v1", alert)
    assert (event["model_version"], event["counts"]["unmatched_labels"]) == ("", 2)
    assert (alert["model_version"], alert["value"]) == ("", 2)
    assert alert["summary"].startswith("Model fraud without a version: counts.unmatched_labels is 2")


def test_every_window_of_a_long_horizon_costs_nothing_while_it_is_quiet() -> None:
    """A label in each of 500 windows, too few for a revision: they must not be looked at again and again."""
    bench = Bench()
    for second in range(0, 1_000, 2):
        bench.count(second, predictions=100)
    bench.progress(1_002, final=1)
    assert len(bench.windows()) == 500
    for second in range(0, 1_000, 2):
        bench.count(second, right=1)
    assert bench.windows() == []
    assert bench.task._state._touched == set()
    for second in range(0, 1_000, 2):
        bench.count(second, right=4)
    assert len(bench.windows()) == 500


ALERTING = [
    {"name": "drop", "metric": "quality.accuracy", "below": 0.5, "for": 2, "min_labelled": 10, "retrain": True},
    {"name": "hot", "metric": "host.cpu", "above": 0.9},
]


def test_breaches_raise_one_alert_and_one_trigger_with_the_offsets_of_all_their_rows() -> None:
    bench = Bench(rules=ALERTING)
    bench.count(0, predictions=20, right=1, wrong=19, offsets=(100, 180))
    bench.progress(2)
    assert bench.events("alerts") == []
    bench.progress(30, final=24)  # the first window is final, its panes are gone
    bench.flush()
    bench.crash()
    bench.count(28, predictions=20, right=2, wrong=18, offsets=(190, 250))
    bench.progress(30, final=24)
    outputs = bench.flush()
    (alert,) = [orjson.loads(record.value or b"") for record in outputs if record.topic == "alerts"]
    (trigger,) = [orjson.loads(record.value or b"") for record in outputs if record.topic == "retrain-triggers"]
    check("alert.v1", alert)
    check("retrain_trigger.v1", trigger)
    assert (alert["state"], alert["started_ms"], alert["value"]) == ("firing", 0, 0.1)
    assert trigger["alerts"] == [alert["alert_id"]]
    assert trigger["evidence"] == {"predictions": {"0": [100, 250]}}
    bench.count(30, predictions=20, right=20)
    bench.progress(32, final=24)
    (resolved,) = bench.events("alerts")
    assert (resolved["state"], resolved["alert_id"]) == ("resolved", alert["alert_id"])


def test_a_version_gets_no_second_trigger_within_the_cooldown() -> None:
    rule = {**ALERTING[0], "for": 1, "retrain_cooldown": "60s"}
    bench = Bench(rules=[rule])
    triggers = []
    for second in (0, 10, 50, 70):
        bench.count(second, predictions=20, wrong=20)
        bench.count(second + 4, predictions=20, right=20)
        bench.progress(second + 6, final=0)
        triggers += [record for record in bench.flush() if record.topic == "retrain-triggers"]
        bench.crash()
    said = [orjson.loads(record.value or b"")["summary"] for record in triggers]
    assert [summary[-13:-1] for summary in said] == ["00:00:02 UTC", "00:01:12 UTC"]


def reading(value: float) -> Readings:
    return Readings(1, ExactSum(1), value, value, (0, value))


def test_host_windows_close_by_the_readings_watermark_and_raise_alerts() -> None:
    bench = Bench(rules=ALERTING)
    pending = Pending()
    pending.absorb_hosts({("node", "cpu", 0): reading(1.0), ("node", "gpu", 2 * S): reading(1.0)})
    bench.send_records(pending.take(0))
    bench.progress(100)
    assert bench.events("host-metrics") == []  # predictions have come far, readings have not
    bench.progress(100, resources=2)
    outputs = bench.flush()
    assert [record.topic for record in outputs] == ["host-metrics", "alerts"]
    check("host_metrics.v1", orjson.loads(outputs[0].value or b""))
    check("alert.v1", orjson.loads(outputs[1].value or b""))
    assert orjson.loads(outputs[1].value or b"")["host"] == "node"


def model_event(**more: Any) -> dict[str, Any]:
    fields = {"model": "fraud", "model_version": "1", "timestamp_ms": 5, "task": "binary", "stage": "champion"}
    return {**fields, **more}


def test_a_rule_measures_against_what_the_version_scored_on_its_test_data() -> None:
    bench = Bench(rules=[{"name": "worse", "metric": "quality.accuracy", "change_from_reference": -0.25}])
    event = model_event(metrics={"test": {"accuracy": 0.75}, "train": {"accuracy": 0.99}})
    bench.send(orjson.dumps(event), topic="models")
    bench.flush()
    bench.crash()
    bench.count(0, predictions=10, right=6, wrong=4)
    bench.count(2, predictions=10, right=5, wrong=5)
    bench.progress(4)
    (alert,) = bench.events("alerts")
    assert (alert["started_ms"], alert["threshold"]) == (2 * S, 0.5)


ODD_MODELS = [
    b"",
    b"{",
    None,
    orjson.dumps(model_event(config={"floats": [1e15] * 20_000})),
    b'{"config":{"big":1180591620717411303424,"nan":NaN},' + orjson.dumps(model_event())[1:],
    orjson.dumps(model_event())[:-1] + b',"config":' + b'{"a":' * 400 + b"1" + b"}" * 400 + b"}",
    orjson.dumps(model_event(metrics={"test": {"accuracy": None}})),
    orjson.dumps(model_event(metrics=None)),
]


@pytest.mark.parametrize("value", ODD_MODELS, ids=range(len(ODD_MODELS)))
def test_an_odd_model_event_stops_nothing(value: bytes | None) -> None:
    bench = Bench(rules=[{"name": "worse", "metric": "quality.accuracy", "change_from_reference": -0.25}])
    bench.send(value, topic="models")
    bench.count(0, predictions=10, right=6, wrong=4)
    bench.progress(2)
    outputs = bench.flush()
    assert "window-metrics" in {record.topic for record in outputs}
    assert max(len(value or b"") for value in bench.log.values()) < 100_000
    bench.crash()


FOREIGN = [
    None,
    b"",
    b"{",
    b"null",
    b"[]",
    b'"cells"',
    b"{}",
    b'{"kind":"dance"}',
    b'{"kind":"progress"}',
    b'{"kind":"progress","partition":0,"partitions":"x","predictions_ms":0,"final_ms":0,"resources_ms":0}',
    b'{"kind":"cells"}',
    b'{"kind":"cells","model":"m","cells":[[]]}',
    b'{"kind":"cells","model":"m","cells":[["1",0,"",0,{"counts":{"predictions":1}}],["1",9,"",0,{}]]}',
    b'{"kind":"cells","model":"m","cells":[["1",0,"",0,{"unknown":1}]]}',
    b'{"kind":"cells","model":"m","cells":[["1",0,"",0,{"latency":7}]]}',
    b'{"kind":"hosts","host":"h","cells":[[0,{"cpu":[1]}]]}',
    b'{"kind":"reference","model":"m"}',
    b'{"kind":"reference","model":"m","model_version":"1","profile":{"part":0,"parts":1,"id":"x"}}',
]


@pytest.mark.parametrize("value", FOREIGN, ids=range(len(FOREIGN)))
def test_a_foreign_record_among_the_partials_stops_nothing_and_does_not_vanish(value: bytes | None) -> None:
    bench = Bench()
    bench.send(value)
    bench.count(0, predictions=1)
    bench.progress(2)
    outputs = bench.flush()
    letters = [orjson.loads(record.value or b"") for record in outputs if record.topic == "dead-letters"]
    assert [letter["offset"] for letter in letters] == [0]
    check("dead_letter.v1", letters[0])
    (event,) = [orjson.loads(record.value or b"") for record in outputs if record.topic == "window-metrics"]
    assert (event["model"], event["counts"]["predictions"]) == ("fraud", 1)
    bench.crash()
    bench.flush()


def test_a_cell_in_parts_is_not_published_before_it_is_whole() -> None:
    bench = Bench()
    pending = Pending()
    confusion = Confusion()
    confusion.counts = {(f"{a}" * 40, f"{b}" * 40): 1 for a in range(300, 400) for b in range(300, 500)}
    confusion.counts |= {(f"class-{a}", f"class-{b}"): 1_000_000 for a in range(300) for b in range(200)}
    pending.merge((GROUP, "", 0), "counts", Counts({"predictions": 5}))
    pending.merge((GROUP, "", 0), "confusion", confusion)
    records = [record.value for record in pending.take(0)]
    assert len(records) > 1
    assert max(map(len, filter(None, records))) < 800_000
    bench.progress(2)
    for value in records[:-1]:
        bench.send(value)
        assert bench.windows() == []
        bench.crash()
    bench.send(records[-1])
    assert [(start, revision) for start, revision, *_ in bench.windows()] == [(0, 0)]
    assert max(len(value or b"") for value in bench.log.values()) < 800_000
    bench.crash()
    state = bench.task._state
    bench.flush()
    assert state.tracks[GROUP, ""].panes[0]["confusion"].to_wire() == confusion.to_wire()
    bench.progress(100)
    assert [final for *_, final, _ in bench.windows()] == [True]
    assert {orjson.loads(key)[0] for key, value in bench.log.items() if value is not None} == {"past", "progress"}


def test_a_wide_profile_comes_whole_through_a_crash() -> None:
    bench = Bench()
    profile = wide_profile(512)
    records = [record.value for record in announcement(GROUP, profile)]
    assert len(records) > 1
    for value in records:
        bench.send(value)
        bench.flush()
        bench.crash()
    bench.flush()
    found = bench.task._state.reference(GROUP)
    assert found is not None
    assert found.id == profile.id


@pytest.mark.parametrize("seed", range(6))
def test_the_changelog_restores_the_live_state_at_every_commit_and_ends_small(seed: int) -> None:
    rng = random.Random(seed)
    bench = Bench(("2s", "6s/2s"), joiners=2, rules=ALERTING)
    at = [0, 0]
    for _ in range(150):
        action = rng.random()
        if action < 0.6:
            group = Group(rng.choice(["fraud", "a|b"]), rng.choice("12"), Task.BINARY)
            second = max(0, min(at) // 2 * 2 - rng.choice([0, 2, 10])) + 2 * rng.randrange(3)
            counts = {"predictions": rng.randrange(30), "right": rng.randrange(9), "wrong": rng.randrange(9)}
            bench.count(second, group, rng.choice(["", "country=DE"]), offsets=(second, second + 9), **counts)
        elif action < 0.8:
            joiner = rng.randrange(2)
            at[joiner] += rng.randrange(4)
            bench.progress(at[joiner], final=max(0, at[joiner] - rng.randrange(4)), joiner=joiner)
        elif action < 0.85:
            event = model_event(metrics={"test": {"accuracy": rng.random()}})
            bench.send(orjson.dumps(event), topic="models")
        else:
            bench.flush()
            restored = bench.make()
            restored._begin()
            assert snapshot(restored) == snapshot(bench.task)
            if rng.random() < 0.4:
                bench.task = restored
    for joiner in range(2):
        bench.progress(10_000, joiner=joiner)
    bench.flush()
    kept = {orjson.loads(key)[0] for key, value in bench.log.items() if value is not None}
    assert kept <= {"progress", "model", "rule", "triggered", "ageing"}
    assert bench.task.stats()["panes"] == bench.task.stats()["open_windows"] == 0
