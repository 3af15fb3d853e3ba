"""Anything on an input topic: it goes to dead-letters as it came, the rows beside it count, and the worker goes on."""

import base64
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from pipeline.config import Config
from pipeline.core.codec import encode_columns
from pipeline.topics import create_topics
from tests.broker.worker_process import read_all, worker
from tests.conftest import TEST_PARTITIONS, Eventually, MakeConfig
from tests.processors.schema import check

YEAR_MS = 365 * 86_400_000
COLUMNS = {"layout": b"columns"}
GOOD_ROWS = 5

Bad = tuple[str, bytes | None, dict[str, bytes], dict[int | None, str]]
"""Topic, value, headers, and the reasons by row."""


def prediction(now_ms: int, **changes: Any) -> dict[str, Any]:
    event = {
        "prediction_id": "bad",
        "model": "fraud",
        "model_version": "1",
        "timestamp_ms": now_ms,
        "task": "binary",
        "prediction": 1,
    }
    return {**event, **changes}


def encoded(event: dict[str, Any], *without: str) -> bytes:
    return json.dumps({name: value for name, value in event.items() if name not in without}).encode()


def bad_predictions(now: int) -> list[Bad]:
    def single(reason: str, value: bytes | None, headers: dict[str, bytes] | None = None) -> Bad:
        return "predictions", value, headers or {}, {None: reason}

    ids = [f"c{number}" for number in range(4)]
    columns = prediction(now, prediction_id=ids, prediction=[1, 0, "x" * 200, 1], score=[0.1, 7, 0.2, None])
    return [
        single("null_record", None),
        single("not_json", b""),
        single("not_json", b"\xff\xfe\x00"),
        single("not_json", b'{"prediction_id": "x"'),
        single("not_json", b"[" * 5_000),
        single("not_an_object", b"[1,2]"),
        single("not_an_object", b'"text"'),
        *(single("missing_field", encoded(prediction(now), name)) for name in prediction(now)),
        single("wrong_type", encoded(prediction(now, model=7))),
        single("wrong_type", encoded(prediction(now, timestamp_ms="now"))),
        single("wrong_type", encoded(prediction(now, prediction=[1]))),
        single("wrong_type", encoded(prediction(now, features=[1]))),
        single("wrong_type", encoded(prediction(now, prediction=0.5))),
        single("too_long", encoded(prediction(now, model="m" * 129))),
        single("too_long", encoded(prediction(now, features={"x": "y" * 500_000}))),
        single("too_many", encoded(prediction(now, features={f"f{number}": 1 for number in range(513)}))),
        single("not_finite", encoded(prediction(now, features={"x": float("nan")}))),
        single("not_finite", encoded(prediction(now, score=float("inf")))),
        single("out_of_range", encoded(prediction(now, prediction=2**70))),
        single("out_of_range", encoded(prediction(now, features={"x": 10**101}))),
        single("out_of_range", encoded(prediction(now, timestamp_ms=-1))),
        single("unknown_value", encoded(prediction(now, task="guess"))),
        single("bad_name", encoded(prediction(now, segments={"a=b": 1}))),
        single("too_far_in_future", encoded(prediction(now + YEAR_MS))),
        single("too_late", encoded(prediction(now - YEAR_MS))),
        single("unknown_schema", encoded(prediction(now)), {"schema": b"label.v1"}),
        single("unknown_schema", encoded(prediction(now)), {"schema": b"prediction.v9"}),
        single("unknown_layout", encoded(prediction(now)), {"layout": b"rows"}),
        single("not_json", b"\x00\x01", COLUMNS),
        single("missing_field", encoded(columns), COLUMNS),
        single("length_mismatch", encode_columns({**columns, "prediction": [1]}, 4), COLUMNS),
        ("predictions", encode_columns(columns, 4), COLUMNS, {1: "out_of_range", 2: "too_long"}),
        (
            "predictions",
            encode_columns(prediction(now, prediction_id=["d0", "d1"], timestamp_ms=[now, now + YEAR_MS]), 2),
            COLUMNS,
            {1: "too_far_in_future"},
        ),
    ]


def bad_others(now: int) -> list[Bad]:
    label = {"prediction_id": "x", "model": "fraud", "timestamp_ms": now, "label": 1}
    reading = {"host": "h", "timestamp_ms": now, "metrics": {"cpu": 0.5}}
    model = {"model": "fraud", "model_version": "1", "timestamp_ms": now, "task": "binary", "stage": "champion"}
    columns = {**reading, "timestamp_ms": [now, now + 1], "metrics": {"cpu": [0.5, "hot"]}}
    return [
        ("labels", None, {}, {None: "null_record"}),
        ("labels", encoded(label, "label"), {}, {None: "missing_field"}),
        ("labels", encoded({**label, "label": 2**70}), {}, {None: "out_of_range"}),
        ("labels", encoded({**label, "label": {"item": float("nan")}}), {}, {None: "not_finite"}),
        ("labels", encoded({**label, "timestamp_ms": now + YEAR_MS}), {}, {None: "too_far_in_future"}),
        ("labels", encode_columns({**label, "prediction_id": ["a", 5]}, 2), COLUMNS, {1: "wrong_type"}),
        ("resources", b"{", {}, {None: "not_json"}),
        ("resources", encoded({**reading, "metrics": {"cpu": "hot"}}), {}, {None: "wrong_type"}),
        ("resources", encoded({**reading, "timestamp_ms": now + YEAR_MS}), {}, {None: "too_far_in_future"}),
        ("resources", encode_columns(columns, 2), COLUMNS, {1: "wrong_type"}),
        ("models", b"null", {}, {None: "not_an_object"}),
        ("models", encoded({**model, "stage": "king"}), {}, {None: "unknown_value"}),
        ("models", encoded(model), COLUMNS, {None: "unknown_layout"}),
        ("partials", b'{"kind":"dance"}', {}, {None: "not_json"}),
        ("references", b'{"what":1}', {}, {}),  # read by every worker whole: passed over and counted
    ]


def test_bad_records_go_to_dead_letters_and_the_rows_beside_them_count(
    make_config: MakeConfig, eventually: Eventually, tmp_path: Path
) -> None:
    config = make_config()
    create_topics(config)
    now = int(time.time() * 1000) - 20_000
    good, expected = produce(config, [*bad_predictions(now), *bad_others(now)], now)
    with worker(config, "one", tmp_path) as process:
        eventually(lambda: len(list(read_all(config, "dead-letters"))) >= len(expected), timeout_s=60)
        letters = [letter for _, letter, _ in read_all(config, "dead-letters")]
        eventually(lambda: counted(config) == good, timeout_s=60)
        eventually(lambda: labelled(config) == good["good"], timeout_s=60)
        # And it takes in what comes next.
        more, _ = produce(config, [], int(time.time() * 1000))
        eventually(lambda: counted(config) == good + more, timeout_s=60)
        assert process.poll() is None, "the worker still runs"
    for letter in letters:
        check("dead_letter.v1", letter)
    found = {(one["topic"], one["partition"], one["offset"], one["row"]): one for one in letters}
    assert len(found) == len(letters), "nothing goes twice"
    assert {place: letter["reason"] for place, letter in found.items()} == {
        place: reason for place, (reason, _) in expected.items()
    }
    for place, (_, value) in expected.items():
        letter = found[place]
        came = base64.b64decode(letter["value"])
        if place[3] is None:
            assert came == (value or b"")[: 1 << 16]
            assert (letter["value_bytes"], letter["truncated"]) == (len(value or b""), len(value or b"") > 1 << 16)
        else:
            assert isinstance(json.loads(came), dict)
    assert "Traceback" not in (tmp_path / "one.log").read_text()


def produce(config: Config, bad: list[Bad], now: int) -> tuple[Counter[str], dict[Any, tuple[str, bytes | None]]]:
    """Good rows before, between and after the bad ones; the good ones by model, and where each bad row lies."""
    producer = Producer({**config.kafka.properties, "message.max.bytes": 2_000_000})
    good: Counter[str] = Counter()
    placed: list[tuple[Bad, Any]] = []

    def put(one: Bad, number: int) -> None:
        topic, value, headers, _ = one
        partition = 0 if topic == "references" else number % TEST_PARTITIONS

        def delivered(error: Any, message: Any) -> None:
            assert error is None
            placed.append((one, (topic, message.partition(), message.offset())))

        producer.produce(
            config.kafka.topic(topic),
            value,
            key=b"key-%d" % number,  # a compacted topic takes no record without one
            partition=partition,
            headers=list(headers.items()),
            on_delivery=delivered,
        )
        producer.flush()

    def put_good(number: int) -> None:
        event = prediction(now + number, prediction_id=f"good-{now}-{number}", model="good")
        put(("predictions", encoded(event), {}, {}), number)
        put(("labels", encoded({**event, "label": 1}, "prediction", "task", "model_version"), {}, {}), number)
        good["good"] += 1

    for number in range(GOOD_ROWS):
        put_good(number)
    for number, one in enumerate(bad):
        put(one, number)
        put_good(GOOD_ROWS + number)
        rows = json.loads(one[1] or b"null") if one[2] == COLUMNS and None not in one[3] else {}
        if one[0] == "predictions" and rows:
            good["fraud"] += rows["n"] - len(one[3])
    expected = {(*place, row): (reason, one[1]) for one, place in placed for row, reason in one[3].items()}
    return good, expected


def counted(config: Config) -> Counter[str]:
    """Predictions by model, in the last revision of each window."""
    latest: dict[Any, Any] = {}
    for _, event, _ in read_all(config, "window-metrics"):
        latest[event["model"], event["model_version"], event["window_start_ms"]] = event["counts"]["predictions"]
    counts: Counter[str] = Counter()
    for (model, _, _), predictions in latest.items():
        counts[model] += predictions
    return +counts


def labelled(config: Config) -> int:
    """The good rows that met their labels, in final windows."""
    count = 0
    for _, event, _ in read_all(config, "window-metrics"):
        if event["final"] and event["model"] == "good":
            assert event["counts"]["labelled"] == event["counts"]["predictions"]
            assert event["quality"]["accuracy"] == 1.0
            count += event["counts"]["labelled"]
    return count
