import os
import subprocess
import sys
from typing import Any

import psutil
import pytest

from pipeline.host_readers.processes import ProcessReader
from pipeline.host_readers.reader import Notices


def test_nothing_watched_nothing_read(source: Any, notices: Notices) -> None:
    assert ProcessReader(source, (), (), notices).read(0) == {}


def test_sums_by_name_and_over_all(source: Any, process: Any, notices: Notices) -> None:
    source.processes = {
        1: process(1, "init", rss=999),
        5: process(5, "gunicorn", rss=100, cpu_s=10),
        6: process(6, "gunicorn", rss=50, cpu_s=20),
        7: process(7, "triton", rss=30, cpu_s=0),
    }
    reader = ProcessReader(source, (7,), ("gunicorn",), notices)
    assert reader.read(0) == {
        "process.gunicorn.count": 2,
        "process.gunicorn.rss_bytes": 150,
        "process.triton.count": 1,
        "process.triton.rss_bytes": 30,
        "process.count": 3,
        "process.rss_bytes": 180,
    }
    source.processes[5].cpu_s += 1
    source.processes[6].cpu_s += 2
    metrics = reader.read(5_000)
    # 3 of the 10 seconds that two processors had.
    assert metrics["process.gunicorn.cpu_ratio"] == pytest.approx(0.3)
    assert metrics["process.triton.cpu_ratio"] == 0
    assert metrics["process.cpu_ratio"] == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("python3.11", ["/usr/bin/python3.11", "/srv/serve.py", "--port", "80"]),
        ("python3.11", ["python3.11", "-m", "serve.py"]),
        ("serve.py", ["other"]),
        ("x", ["/opt/serve.py"]),
    ],
)
def test_what_a_name_matches(source: Any, process: Any, notices: Notices, name: str, line: list[str]) -> None:
    source.processes = {5: process(5, name, cmdline=line, rss=1), 6: process(6, "vi", cmdline=["vi", "-R", "serve.py"])}
    assert ProcessReader(source, (), ("serve.py",), notices).read(0)["process.serve.py.rss_bytes"] == 1


def test_a_process_that_ends_is_absent_and_found_when_it_comes_back(
    source: Any, process: Any, notices: Notices, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    reader = ProcessReader(source, (), ("triton",), notices)
    source.processes = {7: process(7, "triton", rss=30, cpu_s=100)}
    reader.read(0)
    source.processes.pop(7).ended = True
    for now_ms in (5_000, 10_000):
        assert reader.read(now_ms) == {"process.triton.count": 0, "process.count": 0}
    source.processes = {8: process(8, "triton", rss=40, cpu_s=1)}
    metrics = reader.read(15_000)
    assert metrics["process.triton.rss_bytes"] == 40
    assert "process.cpu_ratio" not in metrics
    assert reader.read(20_000)["process.cpu_ratio"] == 0
    assert caplog.messages == [
        "no process 'triton': it does not run; it is looked for at every reading",
        "process 'triton' is back",
    ]


def test_an_id_that_another_process_got_is_a_new_process(source: Any, process: Any, notices: Notices) -> None:
    reader = ProcessReader(source, (7,), (), notices)
    source.processes = {7: process(7, "old", rss=1, cpu_s=5)}
    reader.read(0)
    source.processes[7].ended = True
    source.processes[7] = process(7, "new", rss=2, cpu_s=50)
    assert reader.read(5_000) == {"process.count": 0}
    metrics = reader.read(10_000)
    assert metrics["process.new.rss_bytes"] == 2
    assert "process.cpu_ratio" not in metrics


@pytest.mark.parametrize("change", [{"ends_in_mid_read": True}, {"state": psutil.STATUS_ZOMBIE}])
def test_a_process_that_ends_in_the_middle_of_a_reading(
    source: Any, process: Any, notices: Notices, change: dict[str, Any]
) -> None:
    source.processes = {5: process(5, "web", rss=1), 6: process(6, "web", rss=2)}
    for name, value in change.items():
        setattr(source.processes[5], name, value)
    metrics = ProcessReader(source, (), ("web",), notices).read(0)
    assert metrics == {"process.web.count": 1, "process.web.rss_bytes": 2, "process.count": 1, "process.rss_bytes": 2}


def test_no_permission_is_said_once(
    source: Any, process: Any, notices: Notices, caplog: pytest.LogCaptureFixture
) -> None:
    source.processes = {5: process(5, "web", rss=1)}
    reader = ProcessReader(source, (), ("web",), notices)
    reader.read(0)
    source.processes[5].fault = psutil.AccessDenied(5)
    for now_ms in (5_000, 10_000):
        assert reader.read(now_ms) == {"process.web.count": 0, "process.count": 0}
    assert len(caplog.messages) == 1
    source.processes[5].fault = None
    assert reader.read(15_000)["process.web.rss_bytes"] == 1


def test_only_new_processes_are_looked_at_between_rescans(source: Any, process: Any, notices: Notices) -> None:
    source.processes = {pid: process(pid, "bash") for pid in range(1, 50)}
    reader = ProcessReader(source, (), ("triton",), notices)
    for now_ms in range(0, 60_000, 5_000):
        reader.read(now_ms)
    assert {process.looks for process in source.processes.values()} == {1}
    # A shell's child became the server by exec: the full look of every minute finds it.
    source.processes[9].title, source.processes[9].line = "triton", ["triton"]
    assert reader.read(60_000)["process.triton.count"] == 1


def test_names_for_the_gpu_reader(source: Any, process: Any, notices: Notices) -> None:
    source.processes = {5: process(5, "python", cmdline=["python", "serve.py"]), 6: process(6, "Xorg")}
    reader = ProcessReader(source, (), ("serve.py",), notices)
    reader.read(0)
    assert reader.name_of(5) == "serve.py"
    assert reader.name_of(6) == "Xorg"
    assert reader.name_of(404) is None


def test_the_real_psutil_sees_this_process_and_a_child_that_ends(notices: Notices) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        reader = ProcessReader(psutil, (os.getpid(), child.pid), (), notices)
        first = reader.read(0)
        assert first["process.count"] == 2
        assert first["process.rss_bytes"] > 2_000_000
        sum(range(3_000_000))
        assert 0 < reader.read(1_000)["process.cpu_ratio"] <= 1
        child.kill()
        # Not yet waited for: a zombie, at the latest once the kernel has torn it down.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert reader.read(2_000)["process.count"] == 1
