"""No child outlives the demo, and one that dies says why."""

from pathlib import Path

import psutil
import pytest

from pipeline.core.errors import StartupError
from pipeline.demo.children import Children
from tests.conftest import Eventually

SPEAK = """
import json, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print(json.dumps({"hello": 1}), flush=True)
time.sleep(60)
"""
DEAF = """
import json, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(json.dumps({}), flush=True)
time.sleep(60)
"""


def test_a_child_speaks_and_is_ended(tmp_path: Path) -> None:
    with Children(tmp_path / "logs") as children:
        child = children.start("speaker", ["-c", SPEAK], speaks=True)
        assert child.wait_for_line(20) == {"hello": 1}
        children.check()
    assert child.process.poll() == 0


def test_an_error_in_the_parent_ends_the_children_too(tmp_path: Path) -> None:
    pids = []

    def run() -> None:
        with Children(tmp_path) as children:
            child = children.start("speaker", ["-c", SPEAK], speaks=True)
            child.wait_for_line(20)
            pids.append(child.process.pid)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run()
    assert not psutil.pid_exists(pids[0])


def test_a_deaf_child_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.demo.children._STOP_TIMEOUT_S", 0.2)
    with Children(tmp_path) as children:
        child = children.start("deaf", ["-c", DEAF], speaks=True)
        child.wait_for_line(20)
    assert child.process.poll() == -9


def test_a_child_that_dies_is_reported_with_its_last_words(tmp_path: Path, eventually: Eventually) -> None:
    with Children(tmp_path) as children:
        child = children.start("mortal", ["-c", "raise RuntimeError('no more')"])
        eventually(lambda: child.process.poll() is not None)
        with pytest.raises(StartupError, match=r"(?s)mortal ended with exit code 1.*no more"):
            children.check()


def test_waiting_for_the_line_of_a_dead_child_does_not_last(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        child = children.start("mute", ["-c", "raise SystemExit(3)"], speaks=True)
        with pytest.raises(StartupError, match="exit code 3"):
            child.wait_for_line(20)
