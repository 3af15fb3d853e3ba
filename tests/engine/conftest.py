"""The test's own side of the broker, closed after each test."""

from collections.abc import Iterator

import pytest

from pipeline.local_broker import LocalBroker
from tests.engine.toy import Bench


@pytest.fixture
def bench(broker: LocalBroker, topic_prefix: str) -> Iterator[Bench]:
    bench = Bench(broker.bootstrap_servers, topic_prefix)
    yield bench
    if bench.follower is not None:
        bench.follower.close()
