"""The joiner alone: what it sends, refuses, remembers and waits for."""

import random
from typing import Any

import pytest

from pipeline.core.codec import encode_columns
from pipeline.processors import joiner
from tests.processors.joiner_bench import (
    START,
    Bench,
    S,
    cells,
    label,
    prediction,
    progress,
    reasons,
    snapshot,
    total,
    values,
)
from tests.processors.loop import Loop
from tests.processors.traffic import make_traffic, put_log

BOTH = {"predictions", "labels", "resources"}


def test_a_prediction_and_its_label_are_counted_where_the_prediction_is() -> None:
    bench = Bench()
    bench.predict(1, 3)
    first = cells(bench.flush())
    assert {key: one["counts"] for key, one in first.items()} == {
        ("1", "", 0): {"predictions": 1},
        ("1", "", 2): {"predictions": 1},
    }
    bench.label(1, label="no")
    second = cells(bench.flush())
    assert second["1", "", 0]["counts"] == {"labelled": 1, "labels": 1}
    assert second["1", "", 0]["confusion"] == [["no", "yes"], [1, 0, 1]]
    assert second["1", "", 0]["offsets"] == {"labels": {"0": [0, 0]}}
    assert cells(bench.flush()) == {}


def test_rows_count_once_more_in_each_of_their_segments() -> None:
    bench = Bench()
    bench.predict(1, segments={"country": "DE", "tier": 1})
    assert {segment for _, segment, _ in cells(bench.flush())} == {"", "country=DE", "tier=1"}


def test_a_row_whose_window_is_final_goes_to_dead_letters() -> None:
    """
    ::

        0                 20  22        25
        P=================H             newest, the watermark is 23: P could have no label any more
    """
    bench = Bench()
    bench.predict(25)
    bench.predict(2, 3, 4)
    outputs = bench.flush()
    assert reasons(outputs) == [(1, "too_late")]
    assert total(outputs, "predictions") == 3
    assert total(outputs, "late") == 2


def test_of_a_batch_only_its_late_rows_go() -> None:
    bench = Bench()
    rows = [prediction(second) for second in (0, 30, 1, 29)]
    columns = {name: [row[name] for row in rows] for name in rows[0]} | {"task": "binary"}
    bench.send("predictions", encode_columns(columns, 4), headers=[("layout", b"columns")])
    outputs = bench.flush()
    letters = values(outputs, "dead-letters")
    assert [(letter["offset"], letter["row"], letter["reason"]) for letter in letters] == [(0, 2, "too_late")]
    assert total(outputs, "predictions") == 3


@pytest.mark.parametrize("topic", ["predictions", "labels", "resources"])
def test_a_clock_a_year_ahead_closes_nobodys_windows(topic: str) -> None:
    bench = Bench()
    year = (365 * 86_400) + 3_600
    events: dict[str, Any] = {
        "predictions": prediction(year),
        "labels": label(year),
        "resources": {"host": "h", "timestamp_ms": START + year * S, "metrics": {"cpu": 1, "gpu": 2}},
    }
    bench.send(topic, events[topic])
    bench.predict(1)
    outputs = bench.flush()
    assert [reason for _, reason in reasons(outputs)] == ["too_far_in_future"]
    assert (progress(outputs) or {"predictions_ms": -2})["predictions_ms"] < 2
    assert total(outputs, "predictions") == 1


@pytest.mark.parametrize("topic", ["predictions", "labels"])
def test_a_clock_a_year_behind_neither_holds_windows_open_nor_closes_any(topic: str) -> None:
    told = []
    for events in ([], [-365 * 86_400]):
        bench = Bench()
        bench.predict(20)
        bench.label(20)
        (bench.predict if topic == "predictions" else bench.label)(*events)
        bench.predict(25)
        bench.label(25)
        outputs = bench.flush()
        told.append((progress(outputs), total(outputs, "predictions"), total(outputs, "labelled")))
    assert told[0] == told[1]
    assert told[0][0] is not None


def test_a_workers_clock_that_is_set_back_takes_no_watermark_back() -> None:
    bench = Bench()
    bench.now = START + 100 * S
    bench.flush(BOTH)
    bench.now += 6 * S
    assert (progress(bench.flush(BOTH)) or {})["final_ms"] == 98
    bench.now -= 3_600 * S
    assert progress(bench.flush(BOTH)) is None
    bench.now += 3_610 * S
    assert (progress(bench.flush(BOTH)) or {})["final_ms"] > 98


def test_readings_are_late_when_a_pane_has_closed() -> None:
    """
    ::

        0        2        4        6
        |--------|--------|---w        the watermark 4.5 has closed what ends at 4
                       ^3.9  ^4.1      too late, in time
    """
    bench = Bench()
    for second in (6.5, 3.9, 4.1):
        reading = {"host": "h", "timestamp_ms": START + int(second * S), "metrics": {"cpu": second, "gpu": 1}}
        bench.send("resources", reading)
    outputs = bench.flush()
    assert reasons(outputs) == [(1, "too_late")]
    (record,) = [record for record in values(outputs, "partials") if record["kind"] == "hosts"]
    assert sorted((start - START) // S for start, _ in record["cells"]) == [4, 6]


def test_a_class_too_many_goes_to_dead_letters_and_spoils_no_other_model() -> None:
    bench = Bench(joiner={"max_classes": 2})
    for number, name in enumerate(["a", "b", "c"]):
        bench.predict(1 + number / 10, model="junk", prediction=name)
    bench.predict(2, prediction="fine")
    bench.label(2, label="other")
    bench.label(1, model="junk", label="d")
    outputs = bench.flush()
    assert sorted(reasons(outputs)) == [(1, "too_many"), (2, "too_many")]
    assert total(outputs, "predictions") == 3
    assert total(outputs, "labelled") == 1


def test_a_version_too_many_goes_to_dead_letters_and_leaves_nothing_behind() -> None:
    bench = Bench(joiner={"max_versions": 2})
    for number in range(4):
        bench.predict(1 + number / 10, model_version=str(number), segments={"country": number})
        bench.label(1 + number / 10, model=f"m{number}", label=f"class {number}")
    outputs = bench.flush()
    assert sorted(reasons(outputs)) == [(2, "too_many"), (2, "too_many"), (3, "too_many"), (3, "too_many")]
    assert {version for version, _, _ in cells(outputs)} == {"0", "1"}
    assert not any(b"2" in (value or b"") for key, value in bench.log.items() if key.startswith(b"dictionary/classes"))
    bench.crash()
    bench.predict(2, model_version="2")
    bench.predict(2.1, model_version="1")
    outputs = bench.flush()
    assert reasons(outputs) == [(4, "too_many")]
    assert ("1", "", 2) in cells(outputs)


def test_segments_without_end_are_counted_together() -> None:
    bench = Bench(joiner={"max_segment_values": 2})
    for number in range(5):
        bench.predict(1 + number / 10, segments={"user": number})
    found = cells(bench.flush())
    assert found["1", "user=(other)", 0]["counts"]["predictions"] == 3
    assert {segment for _, segment, _ in found} == {"", "user=0", "user=1", "user=(other)"}
    bench.crash()
    bench.predict(1.7, segments={"user": 9})
    assert ("1", "user=(other)", 0) in cells(bench.flush())


# --- time ------------------------------------------------------------------------------------------------------------


def test_progress_is_told_pane_by_pane_and_holds_with_the_slower_topic() -> None:
    bench = Bench()
    bench.predict(11)
    assert (progress(bench.flush()) or {})["predictions_ms"] == 8
    bench.label(7)
    told = progress(bench.flush())
    assert told is not None
    assert (told["predictions_ms"], told["final_ms"]) == (8, 5)
    bench.predict(11.5)
    assert progress(bench.flush()) is None  # nothing has closed


def test_a_quiet_topic_holds_windows_open_until_it_is_idle() -> None:
    """Idle means read to its end *and* quiet; then time itself moves its watermark, pane by pane."""
    bench = Bench()
    bench.now = START + 30 * S
    bench.flush()
    bench.predict(1)
    bench.flush()
    bench.now += 4 * S
    assert progress(bench.flush(BOTH)) is None  # at its end, but not quiet for long enough
    bench.now += 60 * S
    told = progress(bench.flush({"labels", "resources"}))
    assert told is not None
    assert told["predictions_ms"] == -2  # quiet, but it lags: nobody knows what is still to come
    bench.now += S
    told = progress(bench.flush(BOTH))
    assert told is not None
    # now 95, idle 5, lateness 2: 88
    assert told["predictions_ms"] == told["resources_ms"] == told["final_ms"] == 88
    bench.now += S // 2
    assert progress(bench.flush(BOTH)) is None
    bench.now += 2 * S
    assert (progress(bench.flush(BOTH)) or {})["final_ms"] == 90


def test_an_empty_partition_speaks_once_it_is_idle() -> None:
    bench = Bench()
    bench.now = START + 100 * S
    assert progress(bench.flush(BOTH)) is None
    bench.now += 5 * S
    assert (progress(bench.flush(BOTH)) or {})["predictions_ms"] == 98


@pytest.fixture
def few_rows_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joiner, "STEP_ROWS", 1)


@pytest.mark.usefixtures("few_rows_matter")
def test_topics_are_read_in_step() -> None:
    bench = Bench()
    assert bench.task.paused(frozenset()) == frozenset()
    bench.predict(100)
    assert bench.task.paused(frozenset()) == {"predictions"}  # labels have not been read, and there are some
    assert bench.task.paused(frozenset({"labels"})) == frozenset()  # there are none
    bench.label(39)
    assert bench.task.paused(frozenset()) == {"predictions"}
    bench.label(41)
    assert bench.task.paused(frozenset()) == frozenset()
    bench.label(161)
    assert bench.task.paused(frozenset()) == {"labels"}
    assert bench.task.paused(frozenset({"predictions"})) == frozenset()


@pytest.mark.usefixtures("few_rows_matter")
def test_one_bad_clock_does_not_stop_a_topic() -> None:
    """Within max_future a clock may be ahead; the other topic then seems to lag behind the newest event."""
    bench = Bench(windows={"max_future": "1h"})
    bench.label(*range(50, 60))
    bench.predict(50, 51, 52, 50 + 3_000, 53, 54)
    assert bench.task.paused(frozenset()) == frozenset()


@pytest.mark.usefixtures("few_rows_matter")
def test_a_restored_task_stays_in_step() -> None:
    bench = Bench()
    bench.predict(100)
    bench.label(1)
    bench.flush()
    bench.crash()
    bench.predict(100)
    assert bench.task.paused(frozenset()) == {"predictions"}


def test_a_few_rows_are_not_worth_a_pause() -> None:
    """A pause drops what was fetched ahead: it only pays where it holds back many rows."""
    bench = Bench()
    bench.predict(*range(100, 200))
    assert bench.task.paused(frozenset()) == frozenset()


def test_labels_in_vain_are_counted_by_model_and_time_and_the_early_find_their_prediction() -> None:
    bench = Bench()
    bench.label(3, 5)
    bench.predict(5)
    first = bench.flush()
    assert total(first, "labelled") == 1
    bench.predict(60)
    bench.label(60)
    found = cells(bench.flush())
    assert found["", "", 2]["counts"] == {"unmatched_labels": 1}


def test_labels_that_one_id_cannot_keep_are_counted_at_once() -> None:
    bench = Bench()
    bench.send("labels", *[label(5 - number / 1_000, prediction_id="same") for number in range(500)])
    outputs = bench.flush()
    assert total(outputs, "unmatched_labels") == 500 - 64
    bench.predict(5, prediction_id="same")
    assert total(bench.flush(), "labelled") == 1


# --- what is remembered ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_the_changelog_restores_the_live_state_at_every_commit(seed: int) -> None:
    rng = random.Random(seed)
    predictions, labels = make_traffic(rng, 400, ("fraud", "price", "tags"))
    loop = Loop(Bench().config)
    put_log(loop, "predictions", 0, predictions[0], rng)
    put_log(loop, "labels", 0, labels[0], rng)
    now_ms = START + 3_600 * S
    for _ in range(60):
        for topic in ("predictions", "labels"):
            loop.read("joiner", 0, topic, rng.randrange(12), now_ms)
        if rng.random() < 0.5:
            loop.commit("joiner", 0, now_ms)
            live = loop.tasks["joiner", 0]
            loop.restart("joiner", 0)
            restored: Any = loop.tasks["joiner", 0]
            restored._begin(now_ms)
            assert snapshot(restored) == snapshot(live)  # type: ignore[arg-type]  # both are the joiner's
            if rng.random() < 0.6:
                loop.tasks["joiner", 0] = live


def test_records_of_the_changelog_fit_whatever_the_rows_hold() -> None:
    bench = Bench(joiner={"max_segment_values": 10_000})
    wide = "\U0001f600" * 120
    rows = [
        prediction(
            1 + number / 10_000,
            model=wide + str(number % 3),
            prediction=f"{wide}{number}",
            segments={f"{wide}{name}": f"{wide}{number}" for name in range(8)},
            features={f"{wide}{name}": "\x01" * 1_000 for name in range(60)},
        )
        for number in range(120)
    ]
    bench.send("predictions", *rows)
    bench.send("predictions", *[prediction(2 + number / 100_000) for number in range(20_000)])
    outputs = bench.flush()
    assert max(len(value or b"") for value in bench.log.values()) < 800_000
    assert max(len(record.value or b"") for record in outputs) < 800_000
    bench.crash()
    bench.flush()
