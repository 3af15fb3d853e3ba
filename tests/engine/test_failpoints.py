"""Failpoints: what a plan says, what its actions do, and that they cost nothing while they are off."""

import subprocess
import sys
import timeit
from pathlib import Path

import psutil
import pytest

from pipeline.core.errors import ConfigError, FencedError, RetriableError
from pipeline.engine import failpoints
from pipeline.engine.failpoints import POINTS, Plan, arm_from_environment, reach
from tests.conftest import Eventually
from tests.engine.conftest import Arm

ROOT = Path(__file__).parents[2]
PASS_TWICE = """
from pipeline.engine.failpoints import arm_from_environment, reach
arm_from_environment()
for number in range(1, 4):
    print(number, flush=True)
    reach("before_commit")
"""


@pytest.mark.parametrize(
    ("action", "error"), [("retriable", RetriableError), ("fenced", FencedError), ("bug", RuntimeError)]
)
def test_an_action_is_taken_at_its_pass_alone(armed: Arm, action: str, error: type[Exception]) -> None:
    plan = armed(f"before_commit={action}@2; in_restore=sleep:0")
    reach("before_commit")
    reach("in_restore")
    with pytest.raises(error, match="failpoint"):
        reach("before_commit")
    reach("before_commit")
    assert plan.passes == {"before_commit": 3, "in_restore": 1}


def test_without_a_pass_it_is_taken_every_time(armed: Arm) -> None:
    armed("before_commit=retriable")
    for _ in range(2):
        with pytest.raises(RetriableError):
            reach("before_commit")


@pytest.mark.parametrize("text", ["nowhere=kill", "before_commit=dance", "before_commit=kill@x", "in_restore=sleep:x"])
def test_what_is_not_there_is_refused_with_what_is(text: str) -> None:
    with pytest.raises(ConfigError, match=r"before_commit.*sleep:<s>") as caught:
        arm_from_environment({failpoints.ENVIRONMENT: text})
    assert text in str(caught.value)


def start(plan: str) -> subprocess.Popen[str]:
    environ = {failpoints.ENVIRONMENT: plan}
    return subprocess.Popen(
        [sys.executable, "-c", PASS_TWICE],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_kill_leaves_no_last_words() -> None:
    with start("before_commit=kill@2") as process:
        said, _ = process.communicate(timeout=60)
    assert process.returncode == -9
    assert said == "1\n2\n"


def test_a_stopped_process_goes_on_when_it_is_told_to(eventually: Eventually) -> None:
    with start("before_commit=stop@1") as process:
        child = psutil.Process(process.pid)
        eventually(lambda: child.status() == psutil.STATUS_STOPPED, timeout_s=60)
        child.resume()
        said, warned = process.communicate(timeout=60)
    assert said == "1\n2\n3\n"
    assert "on purpose" in warned


def test_off_is_off_and_costs_nothing() -> None:
    for name in POINTS:
        reach(name)
    # A batch passes about ten of them and takes a millisecond at the least: a microsecond would be 1 %.
    assert min(timeit.repeat(lambda: reach("before_commit"), number=10_000, repeat=5)) / 10_000 < 1e-6


def test_the_empty_plan_does_nothing() -> None:
    assert Plan("").passes == {}
