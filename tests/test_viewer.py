import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from pipeline.config import Config
from pipeline.viewer import show_alerts, show_metrics

PARTITIONS = 2
MINUTE_MS = 60_000


@pytest.fixture
def config(make_config: Callable[..., Config]) -> Config:
    made = make_config()
    make_topics(made)
    return made


def make_topics(config: Config) -> None:
    admin = AdminClient(config.kafka.properties)
    topics = [NewTopic(config.kafka.topic(name), PARTITIONS, 1) for name in ("alerts", "window-metrics")]
    for made in admin.create_topics(topics).values():
        made.result(20)


def write(config: Config, name: str, *events: dict[str, Any] | bytes, commit: bool = True) -> None:
    producer = Producer({**config.kafka.properties, "transactional.id": uuid.uuid4().hex})
    producer.init_transactions(20)
    producer.begin_transaction()
    for at, event in enumerate(events):
        value = event if isinstance(event, bytes) else orjson.dumps(event)
        producer.produce(config.kafka.topic(name), value, partition=at % PARTITIONS)
    assert producer.flush(20) == 0
    if commit:
        producer.commit_transaction(20)
    else:
        producer.abort_transaction(20)


def alert(number: int, state: str = "firing", **fields: Any) -> dict[str, Any]:
    return {
        "alert_id": f"id-{number}",
        "state": state,
        "rule": "accuracy-drop",
        "severity": "critical",
        "model": "fraud",
        "model_version": "3",
        "segment": "",
        "metric": "quality.accuracy",
        "value": 0.71234,
        "threshold": 0.85,
        "window": "1m",
        "window_start_ms": number * MINUTE_MS,
        "window_end_ms": (number + 1) * MINUTE_MS,
        "started_ms": number * MINUTE_MS,
        "summary": f"accuracy fell [number {number}]",
        **fields,
    }


def window(minute: int, revision: int = 0, **fields: Any) -> dict[str, Any]:
    return {
        "model": "fraud",
        "model_version": "3",
        "segment": "",
        "window": "1m",
        "window_start_ms": minute * MINUTE_MS,
        "window_end_ms": (minute + 1) * MINUTE_MS,
        "revision": revision,
        "final": False,
        "counts": {"predictions": 1_234, "labelled": 617},
        "label_coverage": 0.5,
        "quality": {"f1.cat": 0.5, "accuracy": 0.87654, "macro_f1": None},
        "latency_ms": {"p95": 12.5},
        "drift": {"amount": {"psi": 0.3, "drifted": True}, "age": {"psi": 0.01, "drifted": False}},
        **fields,
    }


def lines(text: str) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in text.splitlines()]


def test_alerts_stand_in_the_order_of_time_and_aborted_ones_nowhere(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    write(config, "alerts", alert(3), alert(1), alert(2), b"no JSON", b"[]")
    write(config, "alerts", alert(9), commit=False)
    assert show_alerts(config, follow=False, as_json=True) == 0
    assert lines(capsys.readouterr().out) == [alert(1), alert(2), alert(3)]


def test_the_alert_table_says_it_all_and_each_alert_once(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    host: dict[str, Any] = {"model": None, "host": "gpu-7", "severity": "warning", "value": None}
    write(config, "alerts", alert(1), alert(1), alert(1, "resolved"), alert(2, **host))
    assert show_alerts(config, follow=False, as_json=False) == 0
    shown = capsys.readouterr().out
    rows = [line for line in shown.splitlines() if "accuracy fell" in line]
    assert len(rows) == 3
    for word in ("1970-01-01 00:02:00", "firing", "critical", "fraud 3", "0.7123", "0.85", "[number 1]"):
        assert word in rows[0]
    assert "resolved" in rows[1]
    assert "host gpu-7" in rows[2]


def test_the_latest_revision_of_each_window(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    other = window(1, model="churn")
    segment = window(1, segment="country=DE")
    write(config, "window-metrics", window(2), window(1, 2), window(1, 1), other, segment)
    assert show_metrics(config, model=None, as_json=True) == 0
    assert lines(capsys.readouterr().out) == [other, window(1, 2), window(2), segment]
    assert show_metrics(config, model="churn", as_json=True) == 0
    assert lines(capsys.readouterr().out) == [other]


def test_the_metrics_table_has_the_last_windows_of_each_series(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    write(config, "window-metrics", *map(window, range(25)), window(24, 1, final=True, label_coverage=None))
    assert show_metrics(config, model=None, as_json=False) == 0
    shown = capsys.readouterr().out
    rows = [line for line in shown.splitlines() if "fraud 3" in line]
    assert len(rows) == 10
    for word in ("1970-01-01 00:15:00", "1,234", "50%", "12.5", "accuracy 0.8765, f1.cat 0.5", "amount"):
        assert word in rows[0]
    assert "age" not in rows[0]
    assert "1 final" in rows[-1]
    assert "all 25" in shown


@pytest.mark.parametrize("as_json", [True, False])
def test_empty_topics_are_said_to_be_empty(
    config: Config, *, as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show_alerts(config, follow=False, as_json=as_json) == 0
    assert show_metrics(config, model="fraud", as_json=as_json) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "no alerts yet\nno windows yet of model fraud\n"


def test_missing_topics_are_named_with_the_mend(
    make_config: Callable[..., Config], capsys: pytest.CaptureFixture[str]
) -> None:
    config = make_config()
    assert show_alerts(config, follow=False, as_json=True) == 1
    assert show_metrics(config, model=None, as_json=True) == 1
    told = capsys.readouterr().err
    assert f"topic {config.kafka.topic('alerts')} does not exist: run `driftline topics`" in told
    assert f"topic {config.kafka.topic('window-metrics')} does not exist" in told


def test_a_kafka_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("pipeline.viewer._REQUEST_TIMEOUT_S", 0.3)
    away = Config(kafka={"bootstrap_servers": "127.0.0.1:1"})
    assert show_alerts(away, follow=False, as_json=True) == 1
    assert "Kafka at 127.0.0.1:1 does not answer" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_following_shows_what_comes_and_stops_cleanly(
    make_config: Callable[..., Config], number: signal.Signals
) -> None:
    config = make_config()
    environment = {
        **os.environ,
        "DRIFTLINE_KAFKA__BOOTSTRAP_SERVERS": config.kafka.bootstrap_servers,
        "DRIFTLINE_KAFKA__TOPIC_PREFIX": config.kafka.topic_prefix,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", "alerts", "--follow", "--json"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert "waiting: topic" in process.stderr.readline()
    make_topics(config)
    assert process.stderr.readline() == "no alerts yet\n"
    for at in (1, 2):
        write(config, "alerts", alert(at))
        assert orjson.loads(process.stdout.readline()) == alert(at)
    process.send_signal(number)
    assert process.wait(20) == 0
    assert process.communicate() == ("", "")
