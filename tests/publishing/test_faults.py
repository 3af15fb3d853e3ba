import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import orjson
import pytest

from pipeline import Publisher
from pipeline.local_broker import BrokerOptions, LocalBroker

Topics: TypeAlias = Any
FRAUD: dict[str, Any] = {"model": "fraud", "model_version": "3", "task": "binary"}


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def test_a_forked_child_has_its_own_rows_and_ids(topics: Topics) -> None:
    with Publisher(topics.address, topic_prefix=topics.prefix, linger_ms=60_000) as publisher:
        before = [publisher.log_prediction(**FRAUD, prediction=1) for _ in range(50)]
        assert publisher.flush(20)  # the parent's thread and connection are alive when it forks
        before += [publisher.log_prediction(**FRAUD, prediction=1) for _ in range(50)]
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                signal.alarm(60)
                assert publisher.stats["acknowledged"] == publisher.stats["queued"] == 0
                mine = [publisher.log_prediction(**FRAUD, prediction=0) for _ in range(50)]
                os.write(writing, orjson.dumps(mine))
                status = 0 if publisher.close(20) and publisher.stats["acknowledged"] == 50 else 2
            finally:
                os._exit(status)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            theirs = orjson.loads(pipe.read())
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        after = [publisher.log_prediction(**FRAUD, prediction=1) for _ in range(50)]
    arrived = Counter(topics.ids("predictions"))
    assert arrived == Counter(before + theirs + after)
    assert len(arrived) == 200


def test_what_is_buffered_is_sent_when_the_process_ends(topics: Topics) -> None:
    script = """
import os, sys
from pipeline import Publisher
publisher = Publisher(sys.argv[1], topic_prefix=sys.argv[2], linger_ms=60_000)
forgotten = Publisher(sys.argv[1], topic_prefix=sys.argv[2], linger_ms=60_000)
for one in (publisher, forgotten):
    one.log_prediction(model="m", model_version="1", task="binary", prediction=1)
publisher.flush()  # its thread and connection are alive
one.log_prediction(model="m", model_version="3", task="binary", prediction=1)
if os.fork() == 0:
    publisher.log_prediction(model="m", model_version="2", task="binary", prediction=1)
    sys.exit()
assert os.wait()[1] == 0
del forgotten, one
"""
    subprocess.run([sys.executable, "-c", script, topics.address, topics.prefix], check=True, timeout=60)
    versions = sorted(row["model_version"] for _, row in topics.rows("predictions"))
    assert versions == ["1", "1", "2", "3"]


def test_blocking_lets_any_number_of_rows_through(topics: Topics) -> None:
    with Publisher(
        topics.address, topic_prefix=topics.prefix, buffer_rows=100, on_overflow="block", block_timeout_s=20
    ) as publisher:
        publisher.log_predictions(**FRAUD, prediction=np.ones(1_000))
        for _ in range(500):
            publisher.log_prediction(**FRAUD, prediction=1)
    assert publisher.stats["acknowledged"] == 1_500
    assert publisher.stats["dropped"] == 0


def test_a_kafka_that_comes_goes_and_comes_again_gets_every_row_once(
    tmp_path: Path, free_port: int, topics_at: Callable[[str], Topics], eventually: Callable[..., Any]
) -> None:
    topics = topics_at(f"127.0.0.1:{free_port}")
    publisher = Publisher(topics.address, topic_prefix=topics.prefix, linger_ms=5)
    ids = [publisher.log_prediction(**FRAUD, prediction=1) for _ in range(100)]
    broker = LocalBroker(BrokerOptions(data_dir=tmp_path / "data", port=free_port, heap_mb=256))
    with broker:
        topics.make()
        eventually(lambda: publisher.stats["acknowledged"] == 100, 30)
        broker.stop()
        ids += [publisher.log_prediction(**FRAUD, prediction=1) for _ in range(100)]
        assert not publisher.flush(0.3)
        assert publisher.stats["acknowledged"] == 100
        broker.start()
        ids += [publisher.log_prediction(**FRAUD, prediction=1) for _ in range(100)]
        assert publisher.close(60)
        assert publisher.stats["acknowledged"] == 300
        assert Counter(topics.ids("predictions")) == Counter(ids)


def test_rows_wait_for_a_topic_that_is_made_later(unmade_topics: Topics, eventually: Callable[..., Any]) -> None:
    with Publisher(unmade_topics.address, topic_prefix=unmade_topics.prefix) as publisher:
        publisher.log_prediction(**FRAUD, prediction=1)
        eventually(lambda: "driftline topics" in (publisher.stats["last_error"] or ""))
        unmade_topics.make()
        assert publisher.flush(20)
        assert publisher.stats["acknowledged"] == 1
