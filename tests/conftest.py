"""What many tests share: one real broker a session, a prefix of its own for each test, and waiting with a deadline."""

import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

import pytest
from hypothesis import settings

from pipeline.config import Config
from pipeline.local_broker import BrokerOptions, LocalBroker

T = TypeVar("T")

TEST_PARTITIONS = 2

# A test that wants a local copy of the state says so; no other leaves anything in the home directory.
os.environ["DRIFTLINE_WORKER__STATE_DIR"] = ""

# A shell starts what runs beside it with Ctrl-C ignored, which the processes of tests would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A kernel's first call loads it, and the machine may be busy: how long an example takes says nothing.
settings.register_profile("driftline", deadline=None)
settings.load_profile("driftline")


class Eventually(Protocol):
    """Calls a predicate until it gives something true, and returns that; fails the test after ``timeout_s``."""

    def __call__(self, predicate: Callable[[], T | None], timeout_s: float = 20.0) -> T: ...


class MakeConfig(Protocol):
    """Builds a configuration for the session's broker and the test's own topics; each section is a dict."""

    def __call__(self, **sections: Any) -> Config: ...


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBroker]:
    """A real Apache Kafka on a free port; started by the first test that asks for it."""
    options = BrokerOptions(data_dir=tmp_path_factory.mktemp("broker") / "data", port=0)
    with LocalBroker(options) as running:
        yield running


@pytest.fixture
def topic_prefix() -> str:
    """A prefix that no other test uses: tests share the broker, never a topic."""
    return f"t{uuid.uuid4().hex[:10]}-"


@pytest.fixture
def make_config(broker: LocalBroker, topic_prefix: str) -> MakeConfig:
    def make(**sections: Any) -> Config:
        kafka = {
            "bootstrap_servers": broker.bootstrap_servers,
            "topic_prefix": topic_prefix,
            "partitions": TEST_PARTITIONS,
            **sections.pop("kafka", {}),
        }
        return Config(kafka=kafka, **sections)

    return make


@pytest.fixture
def eventually() -> Eventually:
    def wait(predicate: Callable[[], T | None], timeout_s: float = 20.0) -> T:
        deadline = time.monotonic() + timeout_s
        while True:
            value = predicate()
            if value:
                return value
            if time.monotonic() > deadline:
                pytest.fail(f"still {value!r} after {timeout_s} s")
            time.sleep(0.02)

    return wait
