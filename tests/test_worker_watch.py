"""The worker's watch with a real broker: a stuck worker ends with a diagnosis, one without a broker waits."""

import json
import socket
from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry

from pipeline.config import Config, WorkerConfig
from pipeline.engine.status import RunnerStatus
from pipeline.topics import create_topics
from pipeline.worker_page import Page
from pipeline.worker_watch import ASK_EVERY_S, BrokerWatch
from tests.conftest import Eventually
from tests.test_worker import environment, running, send


def test_a_stuck_worker_ends_with_1_and_says_where_it_stood(
    make_config: Callable[..., Config], tmp_path: Path, eventually: Eventually
) -> None:
    config = make_config()
    create_topics(config)
    settings = environment(
        config, "joiner", DRIFTLINE_ENGINE__WATCHDOG="3s", DRIFTLINE_FAILPOINTS="before_produce=sleep:60@2"
    )
    with running(settings, tmp_path) as worker:
        eventually(worker.is_healthy, 40)
        send(config, "labels", b"one")
        committed = 'driftline_processor_commits_total{processor="joiner"} 1.0'
        eventually(lambda: committed in (worker.get("/metrics") or (0, ""))[1])
        send(config, "labels", b"two")
        eventually(lambda: "joiner has committed nothing for" in (worker.get("/health") or (0, ""))[1], 20)
        assert worker.popen.wait(60) == 1
    assert "joiner has committed nothing for" in worker.log
    assert "in reach" in worker.log  # the frame it stood in


def test_a_worker_that_fails_again_and_again_is_stuck_too(
    make_config: Callable[..., Config], tmp_path: Path, eventually: Eventually
) -> None:
    config = make_config()
    create_topics(config)
    always = "; ".join(f"before_commit=retriable@{n}" for n in range(2, 400))
    settings = environment(
        config, "joiner", DRIFTLINE_ENGINE__WATCHDOG="3s", DRIFTLINE_ENGINE__MAX_RETRIES="2",
        DRIFTLINE_FAILPOINTS=always,
    )  # fmt: skip
    with running(settings, tmp_path) as worker:
        eventually(worker.is_healthy, 40)
        send(config, "labels", b"first")
        committed = 'driftline_processor_commits_total{processor="joiner"} 1.0'
        eventually(lambda: committed in (worker.get("/metrics") or (0, ""))[1])

        def ended() -> bool:
            send(config, "labels", b"more")
            return worker.popen.poll() is not None

        eventually(ended, 60)
        assert worker.popen.returncode == 1
    assert "its lag grows" in worker.log
    assert "failpoint 'retriable'" in worker.log


def test_a_worker_whose_broker_is_away_waits_and_says_so(tmp_path: Path, eventually: Eventually) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        settings = environment(Config(kafka={"bootstrap_servers": address}), "joiner", DRIFTLINE_ENGINE__WATCHDOG="1s")
        with running(settings, tmp_path) as worker:
            told = eventually(lambda: json.loads((worker.get("/health") or (0, "{}"))[1]).get("reasons"), 30)
            assert told[0].startswith(f"no Kafka broker at {address} has answered for")
            answer = worker.get("/health")
            assert answer is not None
            assert answer[0] == 503
            assert worker.popen.poll() is None


def test_a_horizon_longer_than_the_topics_retain_is_refused_with_its_mend(
    make_config: Callable[..., Config], tmp_path: Path
) -> None:
    config = make_config(windows={"label_horizon": "1d"})
    create_topics(config)
    settings = environment(config, "joiner", DRIFTLINE_WINDOWS__LABEL_HORIZON="30d")
    with running(settings, tmp_path) as worker:
        assert worker.popen.wait(30) == 1
    assert "retention.ms" in worker.log
    assert "kafka-configs --alter" in worker.log
    assert "or shorten label_horizon" in worker.log


def test_a_running_worker_with_a_complaint_is_not_healthy() -> None:
    complaints: list[str] = []
    running_one = RunnerStatus("joiner", state="running")
    page = Page(WorkerConfig(), CollectorRegistry(), lambda: [running_one], None, lambda: complaints)
    assert page.health()[0]
    complaints.append("no broker")
    healthy, told = page.health()
    assert (healthy, told["status"], told["reasons"]) == (False, "waiting", ["no broker"])


def test_the_broker_is_asked_now_and_then_and_all_the_time_while_it_is_away() -> None:
    now_s, answers, asked = 0.0, True, 0

    def ask() -> bool:
        nonlocal asked
        asked += 1
        return answers

    broker = BrokerWatch(ask, lambda: now_s)
    for _ in range(10):
        broker.ask()
        now_s += ASK_EVERY_S / 5
    assert asked == 2
    answers = False
    for _ in range(20):
        broker.ask()
        now_s += 1.0
    assert asked >= 12
    assert not broker.answers
    assert broker.away_s >= 15
    answers = True
    broker.ask()
    assert (broker.answers, broker.away_s) == (True, 0.0)
