"""The test's own side of the broker, closed after each test; failpoints, switched off after each test."""

from collections.abc import Iterator
from typing import Protocol

import pytest

from pipeline.engine import failpoints
from pipeline.local_broker import LocalBroker
from tests.engine.toy import Bench


class Arm(Protocol):
    """Switches on the failpoints of a plan; gives the plan, which counts passes."""

    def __call__(self, text: str) -> failpoints.Plan: ...


@pytest.fixture
def armed() -> Iterator[Arm]:
    def arm(text: str) -> failpoints.Plan:
        plan = failpoints.Plan(text)
        failpoints.arm(plan)
        return plan

    yield arm
    failpoints.arm(None)


@pytest.fixture
def bench(broker: LocalBroker, topic_prefix: str) -> Iterator[Bench]:
    bench = Bench(broker.bootstrap_servers, topic_prefix)
    yield bench
    if bench.follower is not None:
        bench.follower.close()
