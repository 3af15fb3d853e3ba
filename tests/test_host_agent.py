import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
from confluent_kafka import Consumer
from jsonschema import Draft202012Validator

from pipeline.config import HostAgentConfig
from pipeline.host_agent import HostAgent, SystemClock, system_readers
from pipeline.host_readers.reader import Notices, Reader
from pipeline.topics import create_topics

SCHEMA = json.loads((Path(__file__).parent.parent / "schemas" / "resource.v1.json").read_text(encoding="utf-8"))


class FakeClock:
    """A clock that stands still but for waiting; ends the agent at a given time."""

    def __init__(self, until_ms: float) -> None:
        self.steady = 7_000.0
        self.until = 7_000.0 + until_ms

    def wall_ms(self) -> int:
        return 1_750_000_000_000 + int(self.steady)

    def steady_ms(self) -> float:
        return self.steady

    def wait_until(self, steady_ms: float) -> bool:
        if steady_ms >= self.until:
            return True
        self.steady = max(self.steady, steady_ms)
        return False


class Readings:
    """A reader with fixed readings."""

    def __init__(self, metrics: Mapping[str, float] | Exception) -> None:
        self.metrics = metrics
        self.closed = 0

    def read(self, now_ms: float) -> dict[str, float]:
        if isinstance(self.metrics, Exception):
            raise self.metrics
        return dict(self.metrics)

    def close(self) -> None:
        self.closed += 1
        if isinstance(self.metrics, Exception):
            raise self.metrics


class Sink:
    """Takes events as ``Publisher.log_resource`` does, and may be slow."""

    def __init__(self, clock: FakeClock, takes_ms: float = 0) -> None:
        self.events: list[dict[str, Any]] = []
        self.clock = clock
        self.takes_ms = takes_ms

    def __call__(self, **event: Any) -> None:
        self.events.append(event)
        self.clock.steady += self.takes_ms


def _agent(clock: FakeClock, sink: Sink, readers: Mapping[str, Reader], **config: Any) -> HostAgent:
    return HostAgent(HostAgentConfig.model_validate({"interval": "5s", **config}), readers, sink, clock)


def _times_s(takes_ms: float) -> list[float]:
    clock = FakeClock(until_ms=25_000)
    sink = Sink(clock, takes_ms)
    _agent(clock, sink, {"a": Readings({"a": 1})}).run()
    return [(event["timestamp_ms"] - 1_750_000_007_000) / 1_000 for event in sink.events]


def test_the_schedule_does_not_drift() -> None:
    assert _times_s(takes_ms=0) == [0, 5, 10, 15, 20]
    assert _times_s(takes_ms=1_300) == [0, 5, 10, 15, 20]


def test_missed_times_are_skipped_not_made_up_for() -> None:
    assert _times_s(takes_ms=7_000) == [0, 10, 20]


def test_an_event_carries_host_time_and_model() -> None:
    clock = FakeClock(until_ms=1)
    sink = Sink(clock)
    _agent(clock, sink, {"a": Readings({"a": 1})}, host="gpu-7", model="fraud", model_version="3").run()
    assert sink.events == [
        {
            "host": "gpu-7",
            "timestamp_ms": 1_750_000_007_000,
            "metrics": {"a": 1},
            "model": "fraud",
            "model_version": "3",
        }
    ]


def test_without_a_name_the_hosts_own_is_used() -> None:
    clock = FakeClock(until_ms=1)
    assert _agent(clock, Sink(clock), {}).host == socket.gethostname()


def test_a_reader_that_fails_costs_its_own_metrics_and_one_line(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock(until_ms=12_000)
    sink = Sink(clock)
    broken, fine = Readings(RuntimeError("odd /proc")), Readings({"a": 1, "b": float("nan"), "c": float("inf")})
    _agent(clock, sink, {"broken": broken, "fine": fine}).run()
    assert [event["metrics"] for event in sink.events] == [{"a": 1}] * 3
    assert caplog.messages == ["no broken metrics: RuntimeError: odd /proc"]


def test_nothing_readable_publishes_nothing() -> None:
    clock = FakeClock(until_ms=12_000)
    sink = Sink(clock)
    _agent(clock, sink, {"a": Readings({})}).run()
    assert sink.events == []


def test_no_more_metrics_than_an_event_may_carry(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock(until_ms=1)
    many = Readings({f"m{number}": number for number in range(1_500)})
    metrics = _agent(clock, Sink(clock), {"first": Readings({"a": 1}), "many": many}).collect(0)
    assert len(metrics) == SCHEMA["properties"]["metrics"]["maxProperties"] == 1_000
    assert "a" in metrics
    assert caplog.messages == ["no further metrics: of 1501 an event carries the first 1000"]


def test_every_reader_is_closed(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock(until_ms=1)
    readers = {"broken": Readings(RuntimeError("no")), "fine": Readings({})}
    _agent(clock, Sink(clock), readers).close()
    assert [reader.closed for reader in readers.values()] == [1, 1]
    assert caplog.messages == ["closing the broken reader"]


def test_the_system_clock_waits_and_keeps_time() -> None:
    clock = SystemClock()
    start = clock.steady_ms()
    assert clock.wait_until(start + 30) is False
    assert clock.steady_ms() >= start + 30
    assert clock.wait_until(start) is False
    assert abs(clock.wall_ms() - time.time() * 1_000) < 5_000


def test_stop_ends_the_present_wait_and_all_later_ones() -> None:
    clock = SystemClock()
    timer = threading.Timer(0.05, clock.stop)
    timer.start()
    start = time.monotonic()
    assert clock.wait_until(clock.steady_ms() + 60_000) is True
    assert time.monotonic() - start < 10
    assert clock.wait_until(clock.steady_ms() + 60_000) is True
    timer.join()


def test_the_real_machine_gives_sane_readings(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    config = HostAgentConfig(host="here", pids=(os.getpid(),))
    notices = Notices()
    clock = SystemClock()
    agent = HostAgent(config, system_readers(config, notices), lambda **_: None, clock, notices)
    first = agent.collect(clock.steady_ms())
    said = len(caplog.messages)
    assert not any(name.endswith("_per_s") for name in first), "the first reading has no rates"
    clock.wait_until(clock.steady_ms() + 120)
    metrics = agent.collect(clock.steady_ms())
    agent.close()
    event = {"host": agent.host, "timestamp_ms": clock.wall_ms(), "metrics": metrics}
    Draft202012Validator(SCHEMA).validate(event)
    assert {
        "cpu.usage_ratio",
        "cpu.load_1m",
        "memory.used_ratio",
        "memory.used_bytes",
        "memory.available_bytes",
        "swap.used_bytes",
        "disk.root.used_ratio",
        "disk.used_ratio",
        "network.received_bytes_per_s",
        "process.rss_bytes",
        "process.cpu_ratio",
    } <= metrics.keys()
    assert all(0 <= value <= 1 for name, value in metrics.items() if name.endswith("_ratio"))
    assert all(value >= 0 for value in metrics.values())
    assert metrics["process.rss_bytes"] == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)
    assert all(re.fullmatch(r"[a-z]+(\.[A-Za-z0-9_.-]+)+", name) for name in metrics)
    assert len(caplog.messages) == said, "what is missing is said once"


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_the_command_publishes_to_kafka_and_stops_cleanly(
    make_config: Any, eventually: Any, tmp_path: Path, end: signal.Signals
) -> None:
    config = make_config()
    create_topics(config)
    consumer = Consumer(
        {
            "bootstrap.servers": config.kafka.bootstrap_servers,
            "group.id": config.kafka.topic_prefix,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([config.kafka.topic("resources")])
    options = {"--host": "here", "--interval": "150ms", "--process-name": "nobody-here", "--pid": str(os.getpid())}
    with (tmp_path / "log").open("w") as log:
        agent = subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli", "host-agent", *(word for pair in options.items() for word in pair)],
            env=os.environ
            | {
                "DRIFTLINE_KAFKA__BOOTSTRAP_SERVERS": config.kafka.bootstrap_servers,
                "DRIFTLINE_KAFKA__TOPIC_PREFIX": config.kafka.topic_prefix,
                "DRIFTLINE_HOST_AGENT__MODEL": "fraud",
                "DRIFTLINE_HOST_AGENT__MODEL_VERSION": "3",
            },
            stderr=log,
        )
    records: list[Any] = []

    def some_came() -> bool:
        assert agent.poll() is None, (tmp_path / "log").read_text()
        records.extend(record for record in consumer.consume(10, 0.1) if record.error() is None)
        return len(records) >= 3

    try:
        eventually(some_came, timeout_s=60)
        agent.send_signal(end)
        assert agent.wait(timeout=20) == 0
    finally:
        agent.kill()
        agent.wait()
        consumer.close()
    for record in records:
        assert record.key() == b"here"
        event = json.loads(record.value())
        assert (event["model"], event["model_version"]) == ("fraud", "3")
        if ("layout", b"columns") not in (record.headers() or ()):
            Draft202012Validator(SCHEMA).validate(event)
            assert event["metrics"]["process.count"] == 1
    lines = (tmp_path / "log").read_text()
    assert lines.count("no process 'nobody-here'") == 1, "missing things are said once"
    assert "host agent reads here every 0.15 s" in lines
    assert "Traceback" not in lines
    assert "host agent stopped" in lines
