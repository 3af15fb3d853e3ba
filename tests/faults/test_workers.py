"""The suite's own workers: none may live on when the suite is killed."""

import subprocess
import sys
from pathlib import Path

import psutil

from tests.conftest import Eventually
from tests.faults.settings import PROJECT

SUITE = """
import sys, time
from pathlib import Path
from tests.faults.settings import make_config
from tests.faults.workers import Fleet
fleet = Fleet(make_config("127.0.0.1:1", "nobody-"), Path(sys.argv[1]))
fleet.start("a")
print(fleet.pid("a"), flush=True)
time.sleep(600)
"""


def has_ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE  # nobody has asked for its exit code yet
    except psutil.NoSuchProcess:
        return True


def test_workers_go_with_the_suite(tmp_path: Path, eventually: Eventually) -> None:
    command = [sys.executable, "-c", SUITE, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=PROJECT) as suite:
        assert suite.stdout is not None
        worker = psutil.Process(int(suite.stdout.readline()))
        try:
            eventually(lambda: "asking Kafka" in (tmp_path / "a.log").read_text(), 40)
            suite.kill()
            eventually(lambda: has_ended(worker))
        finally:
            suite.kill()
            if not has_ended(worker):
                worker.kill()
