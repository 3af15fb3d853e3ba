import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from pipeline import cli
from pipeline.local_broker import LocalBroker
from tests.conftest import Eventually

COMMANDS = (
    ["up"],
    ["worker"],
    ["host-agent"],
    ["broker"],
    ["topics"],
    ["topics", "create"],
    ["topics", "check"],
    ["check-config"],
    ["metrics"],
    ["alerts"],
    ["demo"],
    ["reference", "build"],
)


def driftline(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *arguments],
        cwd=cwd,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


class Running:
    """A long-running command whose output goes to a file."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self.process = process
        self._output = output

    @property
    def said(self) -> str:
        return self._output.read_text(encoding="utf-8")

    def has_said(self, text: str) -> bool:
        assert self.process.poll() is None, self.said
        return text in self.said


@contextmanager
def running(*arguments: str, cwd: Path, **variables: str) -> Iterator[Running]:
    output = cwd / "output.txt"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli", *arguments],
            cwd=cwd,
            env={**os.environ, **variables},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Running(process, output)
    finally:
        process.kill()
        process.wait()


def in_process(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code without the half second that a new Python takes."""
    monkeypatch.setattr(sys, "argv", ["driftline", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_help_teaches_the_order_and_names_every_command(tmp_path: Path) -> None:
    done = driftline("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert (
        done.stdout.index("check-config --config") < done.stdout.index("topics create") < done.stdout.index("worker ")
    )
    for command in COMMANDS:
        assert f"\n  {command[0]}" in done.stdout


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert in_process(monkeypatch, *command, "--help") == 0
    assert f"Usage: driftline {' '.join(command)}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["worker", "--nonsense"],
        ["broker", "--port", "70000"],
        ["topics"],
        ["demo", "--duration", "x"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_2(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    assert in_process(monkeypatch, *arguments) == 2


def test_all_faults_of_the_configuration_are_told_and_2(tmp_path: Path) -> None:
    (tmp_path / "driftline.toml").write_text(
        '[kafka]\n"lingr.ms" = 5\n[windows]\nsizes = ["1q"]\n[worker]\nweb_port = -1\n', encoding="utf-8"
    )
    done = driftline("check-config", cwd=tmp_path, DRIFTLINE_ENGIN__BATCH_EVENTS="5")
    assert done.returncode == 2
    for place in ('kafka."lingr.ms"', "windows.sizes", "worker.web_port", "DRIFTLINE_ENGIN__BATCH_EVENTS"):
        assert place in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["up", "worker", "host-agent", "metrics", "alerts"])
def test_a_missing_configuration_file_is_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert in_process(monkeypatch, command, "--config", "/no/such/file.toml") == 2
    assert "/no/such/file.toml: No such file" in capsys.readouterr().err


def test_check_config_shows_what_is_in_force(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('[kafka]\n"sasl.password" = "hunter2"\n', encoding="utf-8")
    done = driftline("check-config", "--config", "mine.toml", "--bootstrap-servers", "here:1", cwd=tmp_path)
    assert done.returncode == 0
    assert 'kafka.bootstrap_servers = "here:1"' in done.stdout
    assert "hunter2" not in done.stdout + done.stderr


def test_topics_are_checked_created_and_checked(
    broker: LocalBroker, topic_prefix: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DRIFTLINE_KAFKA__TOPIC_PREFIX", topic_prefix)
    at = ("--bootstrap-servers", broker.bootstrap_servers)
    assert in_process(monkeypatch, "topics", "check", *at) == 1
    assert f"{topic_prefix}alerts: is missing (run: driftline topics create)" in capsys.readouterr().err
    assert in_process(monkeypatch, "topics", "create", *at) == 0
    assert f"created {topic_prefix}alerts" in capsys.readouterr().out
    assert in_process(monkeypatch, "topics", "check", *at) == 0


def test_no_broker_is_one_clear_line_and_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("pipeline.topics._REQUEST_TIMEOUT_S", 0.5)
    assert in_process(monkeypatch, "topics", "check", "--bootstrap-servers", "127.0.0.1:1") == 1
    said = capsys.readouterr().err
    assert said.startswith("driftline: no Kafka broker answers at 127.0.0.1:1")
    assert said.count("\n") == 1


@pytest.mark.parametrize("command", ["broker", "up"])
def test_a_taken_port_is_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert in_process(monkeypatch, command, "--port", port, "--data-dir", str(tmp_path / "data")) == 1
    assert f"port {port} on 127.0.0.1 is not free" in capsys.readouterr().err


def test_the_broker_runs_until_sigterm(tmp_path: Path, eventually: Eventually) -> None:
    with running("broker", "--port", "0", "--heap-mb", "256", cwd=tmp_path) as command:
        eventually(lambda: command.has_said("Ctrl-C stops it"), 90)
        java = psutil.Process(command.process.pid).children()
        command.process.send_signal(signal.SIGTERM)
        assert command.process.wait(40) == 0
        assert command.said.endswith("Kafka is stopped\n")
        assert len(java) == 1
        assert not java[0].is_running()
    assert (tmp_path / ".driftline" / "broker" / "kafka" / "meta.properties").exists()


def test_up_runs_all_parts_until_sigint_and_fails_when_one_dies(tmp_path: Path, eventually: Eventually) -> None:
    def parts_of(command: Running) -> list[psutil.Process]:
        return psutil.Process(command.process.pid).children()

    with running("up", "--port", "0", "--heap-mb", "256", cwd=tmp_path, DRIFTLINE_WORKER__WEB_PORT="0") as command:
        eventually(lambda: command.has_said("driftline alerts --follow"), 90)
        parts = parts_of(command)
        assert len(parts) == 3
        command.process.send_signal(signal.SIGINT)
        assert command.process.wait(60) == 0, command.said
        assert command.said.endswith("everything is stopped\n")
        assert not any(part.is_running() for part in parts)

    with running("up", "--port", "0", "--heap-mb", "256", cwd=tmp_path, DRIFTLINE_WORKER__WEB_PORT="0") as command:
        eventually(lambda: command.has_said("driftline alerts --follow"), 90)
        parts = parts_of(command)
        agent = next(part for part in parts if "host-agent" in part.cmdline())
        agent.kill()
        assert command.process.wait(60) == 1
        assert "driftline: host-agent ended by itself (exit code -9), so everything is stopped" in command.said
        assert not any(part.is_running() for part in parts)
