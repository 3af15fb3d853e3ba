"""The worker process with a real broker: its page, its roles, its ends."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from pipeline.config import Config, WorkerConfig
from pipeline.core.errors import StartupError
from pipeline.processes import tied_command
from pipeline.reactions.metrics import Metrics
from pipeline.topics import create_topics
from pipeline.worker_page import Page

TOY = Path(__file__).with_name("worker_with_toy.py")
FAUST = [sys.executable, "-m", "faust"]
Eventually = Callable[..., Any]


class Process:
    """A worker process, with what it has written so far."""

    def __init__(self, command: list[str], environment: dict[str, str], folder: Path) -> None:
        self.popen = subprocess.Popen(
            tied_command(command),
            env={**os.environ, **environment},
            cwd=folder,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        self.log = ""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            self.log += line.decode()

    def get(self, path: str) -> tuple[int, str] | None:
        """The page's answer; None while it does not serve yet."""
        found = re.search(r"(http://127\.0\.0\.1:\d+)/health", self.log)
        if found is None:
            return None
        try:
            with urllib.request.urlopen(found[1] + path, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return None

    def is_healthy(self) -> bool:
        assert self.popen.poll() is None, self.log
        answer = self.get("/health")
        return answer is not None and answer[0] == 200


def environment(config: Config, roles: str, **more: str) -> dict[str, str]:
    return {
        "DRIFTLINE_KAFKA__BOOTSTRAP_SERVERS": config.kafka.bootstrap_servers,
        "DRIFTLINE_KAFKA__TOPIC_PREFIX": config.kafka.topic_prefix,
        "DRIFTLINE_WORKER__ROLES": json.dumps(roles.split(",")),
        "DRIFTLINE_WORKER__WEB_PORT": "0",
        "DRIFTLINE_ENGINE__SESSION_TIMEOUT": "6s",
        "PYTHONPATH": str(Path(__file__).parent.parent),
        **more,
    }


@contextmanager
def running(settings: dict[str, str], folder: Path, command: list[str] | None = None) -> Iterator[Process]:
    process = Process(command or [sys.executable, str(TOY)], settings, folder)
    try:
        yield process
    finally:
        process.popen.kill()
        process.popen.wait(10)


def send(config: Config, topic: str, value: bytes) -> None:
    producer = Producer(config.kafka.properties)
    producer.produce(config.kafka.topic(topic), value)
    assert producer.flush(20) == 0


def test_a_worker_with_all_roles_tells_how_it_does_reacts_and_stops_cleanly(
    make_config: Callable[..., Config], tmp_path: Path, eventually: Eventually
) -> None:
    config = make_config()
    create_topics(config)
    (tmp_path / "my_reactions.py").write_text(
        "from pipeline.worker import app\n"
        "@app.reaction('alerts')\n"
        "async def page_somebody(alert):\n"
        "    open('paged', 'a').write(alert['alert_id'])\n"
    )
    settings = environment(config, "joiner,monitor,reactions", DRIFTLINE_REACTIONS__MODULES='["my_reactions"]')
    with running(settings, tmp_path) as worker:
        eventually(worker.is_healthy, 40)
        answer = worker.get("/health")
        assert answer is not None
        health = json.loads(answer[1])
        assert health["status"] == "ok"
        assert health["processors"].keys() == {"joiner", "monitor"}
        assert health["processors"]["joiner"]["partitions"] == [0, 1]
        assert health["reactions"]["state"] == "running"
        alert = {"alert_id": "a1", "state": "firing", "rule": "drop", "severity": "critical", "model": "fraud"}
        send(config, "alerts", json.dumps({**alert, "summary": "it broke"}).encode())
        send(config, "predictions", b"anything")
        wanted = [
            'driftline_alerts_firing{host="",model="fraud",rule="drop",severity="critical"} 1.0',
            'driftline_processor_commits_total{processor="joiner"} 1.0',
            'driftline_processor_lag{partition="predictions-0",processor="joiner"} 0.0',
            'driftline_reactions_total{outcome="finished",reaction="page_somebody",topic="alerts"} 1.0',
        ]
        eventually(lambda: all(line in (worker.get("/metrics") or (0, ""))[1] for line in wanted))
        assert (tmp_path / "paged").read_text() == "a1"
        assert "CRITICAL pipeline.reactions.notify: firing a1: it broke" in worker.log
        worker.popen.send_signal(signal.SIGTERM)
        assert worker.popen.wait(10) == 0
    assert "Traceback" not in worker.log
    assert {path.name for path in tmp_path.iterdir()} <= {"my_reactions.py", "paged", "__pycache__"}


def test_processors_without_reactions_run_and_a_failing_one_ends_the_worker_with_1(
    make_config: Callable[..., Config], tmp_path: Path, eventually: Eventually
) -> None:
    config = make_config()
    create_topics(config)
    with running(environment(config, "joiner"), tmp_path) as worker:
        eventually(worker.is_healthy, 40)
        answer = worker.get("/health")
        assert answer is not None
        assert "reactions" not in json.loads(answer[1])
        send(config, "labels", b"poison")
        assert worker.popen.wait(15) == 1
    assert "the toy met its poison" in worker.log
    assert "the state in Kafka is intact" in worker.log


def test_fausts_own_command_starts_the_same_worker_once_the_broker_is_there(
    make_config: Callable[..., Config], tmp_path: Path, eventually: Eventually
) -> None:
    config = make_config()
    create_topics(config)
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{door.getsockname()[1]}"
        settings = environment(config, "reactions", DRIFTLINE_KAFKA__BOOTSTRAP_SERVERS=address)
        with running(settings, tmp_path, [*FAUST, "-A", "pipeline.worker", "worker"]) as worker:
            answer = eventually(lambda: worker.get("/health"), 20)
            assert answer[0] == 503
            assert json.loads(answer[1])["status"] == "starting"
            # Only the first contact goes through the door: the broker tells its true address there.
            door.listen()
            threading.Thread(target=relay, args=(door, config.kafka.bootstrap_servers), daemon=True).start()
            eventually(worker.is_healthy, 40)
            worker.popen.send_signal(signal.SIGINT)
            assert worker.popen.wait(10) == 0


def relay(door: socket.socket, target: str) -> None:
    host, port = target.rsplit(":", 1)

    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65_536):
                sink.sendall(data)
        except OSError:
            pass
        finally:
            sink.close()

    while True:
        try:
            guest, _ = door.accept()
        except OSError:
            return
        inside = socket.create_connection((host, int(port)))
        for pair in ((guest, inside), (inside, guest)):
            threading.Thread(target=pump, args=pair, daemon=True).start()


def test_missing_topics_end_the_worker_with_their_mend(make_config: Callable[..., Config], tmp_path: Path) -> None:
    with running(environment(make_config(), "joiner,reactions"), tmp_path) as worker:
        assert worker.popen.wait(20) == 1
    assert "driftline topics create" in worker.log
    assert "Traceback" not in worker.log


def test_a_taken_port_is_told_with_its_variable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        page = Page(WorkerConfig(web_port=taken.getsockname()[1]), Metrics().registry, list, None)
        with pytest.raises(StartupError, match=r"is taken: set DRIFTLINE_WORKER__WEB_PORT"):
            page.bind()


def test_importing_the_module_needs_no_configuration_and_starts_nothing(tmp_path: Path) -> None:
    script = "import threading, pipeline.worker as w; print(threading.active_count(), w._current)"
    broken = {**os.environ, "DRIFTLINE_CONFIG": str(tmp_path / "missing.toml")}
    done = subprocess.run([sys.executable, "-c", script], env=broken, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "None"]
