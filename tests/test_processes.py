import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.processes import Stopped, stop_on_signals, tied_command

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]


def start_and_hear(command: list[str]) -> subprocess.Popen[bytes]:
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"up\n"
    child.stdout.close()
    return child


@pytest.mark.parametrize("death_signal", [signal.SIGKILL, signal.SIGTERM])
def test_a_tied_child_goes_with_the_thread_that_started_it(death_signal: signal.Signals) -> None:
    children: list[subprocess.Popen[bytes]] = []
    starter = threading.Thread(target=lambda: children.append(start_and_hear(tied_command(SLEEPER, death_signal))))
    starter.start()
    starter.join()
    assert children[0].wait(20) == -death_signal


def test_a_tied_child_lives_while_its_thread_does() -> None:
    child = start_and_hear(tied_command(SLEEPER))
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.3)
    child.kill()
    child.wait()


def test_a_child_whose_parent_is_gone_already_does_not_start() -> None:
    command = tied_command(SLEEPER)
    command[5] = "1"  # the process that asked, long dead
    assert subprocess.run(command, capture_output=True, check=False, timeout=20).returncode == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("command", ["worker", "host-agent", "broker", "up"])
def test_a_stop_during_the_start_is_a_stop_in_order(command: str, number: signal.Signals, tmp_path: Path) -> None:
    """Even before anything is imported that takes its time."""
    (tmp_path / "pydantic.py").write_text("import time; print('up', flush=True); time.sleep(600)")
    starting = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1])])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert starting.stdout is not None
    assert starting.stdout.readline() == b"up\n"
    starting.send_signal(number)
    assert starting.communicate(timeout=20) == (b"", b"stopped\n")
    assert starting.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_stops_and_later_ones_do_not_disturb(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    steps: list[str] = []

    def work() -> None:
        try:
            signal.raise_signal(number)
            steps.append("never reached")
        finally:
            signal.raise_signal(number)
            steps.append("ended in order")

    with pytest.raises(Stopped), stop_on_signals():
        work()
    assert steps == ["ended in order"]
    assert signal.getsignal(number) == before
