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
import pytest

from pipeline import Publisher
from pipeline.core.errors import ConfigError
from pipeline.local_broker import BrokerOptions, LocalBroker
from pipeline.publishing.spool_file import SpoolFile
from tests.conftest import Eventually

Topics: TypeAlias = Any
NOWHERE = "127.0.0.1:1"
FRAUD: dict[str, Any] = {"model": "fraud", "model_version": "3", "task": "binary"}


def held_rows(folder: Path) -> list[int]:
    """The rows of each file whose owner is gone."""
    found = []
    for path in sorted(folder.glob("*.sqlite3")):
        file = SpoolFile(path, "rw")
        found.append(sum(held.rows for held in file.held().values()))
        file.close()
    return found


def total(publisher: Publisher) -> int:
    stats = publisher.stats
    kinds = ("queued", "spooled", "in_flight", "acknowledged", "failed", "dropped", "rejected")
    counts: dict[str, Any] = {**stats}
    return sum(counts[kind] for kind in kinds)


def test_many_more_rows_than_the_buffer_holds_wait_on_disk(tmp_path: Path, eventually: Eventually) -> None:
    publisher = Publisher(NOWHERE, buffer_rows=200, spool_dir=tmp_path / "deep" / "spool")
    for _ in range(20):
        publisher.log_predictions(**FRAUD, prediction=np.ones(100))
        eventually(lambda: publisher.stats["queued"] <= 100)
    eventually(lambda: publisher.stats["spooled"] == 2_000)
    assert publisher.stats["spool_bytes"] > 0
    assert not publisher.flush(0)
    publisher.log_label(model="fraud", prediction_id="last", label=1)
    assert not publisher.close(0)
    assert (publisher.stats["spooled"], publisher.stats["dropped"], total(publisher)) == (2_001, 0, 2_001)
    assert held_rows(tmp_path / "deep" / "spool") == [2_001]


def test_the_next_publisher_takes_over_before_it_has_rows_of_its_own(tmp_path: Path, eventually: Eventually) -> None:
    with Publisher(NOWHERE, spool_dir=tmp_path) as first:
        first.log_predictions(**FRAUD, prediction=np.ones(300))
        first.close(0)
    other_topics = Publisher(NOWHERE, topic_prefix="other-", spool_dir=tmp_path)
    second = Publisher(NOWHERE, spool_dir=tmp_path)
    eventually(lambda: second.stats["adopted"] == 300)
    third = Publisher(NOWHERE, spool_dir=tmp_path)  # finds a file, but one with a living owner
    third.log_prediction(**FRAUD, prediction=1)
    for publisher in (other_topics, second, third):
        publisher.close(0)
    assert (other_topics.stats["adopted"], third.stats["adopted"]) == (0, 0)
    assert (second.stats["spooled"], total(second)) == (300, 300)
    assert held_rows(tmp_path) == [300, 1]


def test_a_full_spool_drops_the_newest_rows_and_says_so_once(
    tmp_path: Path, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    publisher = Publisher(NOWHERE, buffer_rows=200, spool_dir=tmp_path, spool_max_bytes=1_000_000)

    def log_until_dropped() -> int:
        publisher.log_predictions(**FRAUD, prediction=np.ones(50), principal=["x" * 900] * 50)
        return publisher.stats["dropped"]

    dropped = eventually(log_until_dropped)
    publisher.close(0)
    stats = publisher.stats
    assert 500 < stats["spooled"] < 1_100
    assert stats["spool_bytes"] <= 1_000_000
    assert stats["dropped"] >= dropped
    assert total(publisher) % 50 == 0
    assert [message for message in caplog.messages if "the spool is full" in message][1:] == []
    assert held_rows(tmp_path) == [stats["spooled"]]


def test_a_folder_that_cannot_be_written_is_refused_with_the_mend(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="give a folder") as caught:
        Publisher(NOWHERE, spool_dir=tmp_path / "file" / "spool", spool_max_bytes=1)
    assert {fault.place for fault in caught.value.faults} == {"spool_dir", "spool_max_bytes"}


def test_a_forked_child_has_a_file_of_its_own(tmp_path: Path, eventually: Eventually) -> None:
    publisher = Publisher(NOWHERE, spool_dir=tmp_path)
    publisher.log_predictions(**FRAUD, prediction=np.ones(10))
    eventually(lambda: publisher.stats["spooled"] == 10)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(60)
            assert publisher.stats["spooled"] == publisher.stats["spool_bytes"] == 0
            publisher.log_predictions(**FRAUD, prediction=np.ones(7))
            publisher.close(0)
            status = 0 if publisher.stats["spooled"] == 7 else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    publisher.log_predictions(**FRAUD, prediction=np.ones(5))
    publisher.close(0)
    assert publisher.stats["spooled"] == 15
    assert held_rows(tmp_path) == [15, 7]


_KILLED = """
import os, signal, sys, time
import numpy as np
from pipeline import Publisher
publisher = Publisher(sys.argv[1], topic_prefix=sys.argv[2], spool_dir=sys.argv[3], buffer_rows=1_000)
for first in range(0, 5_000, 500):
    ids = [f"k{number}" for number in range(first, first + 500)]
    publisher.log_labels(model="fraud", prediction_id=ids, label=np.ones(500))
    while publisher.stats["queued"] > 500:
        time.sleep(0.01)
while publisher.stats["spooled"] < 5_000:
    time.sleep(0.01)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_an_outage_in_mid_stream_loses_nothing_even_of_a_killed_process(
    tmp_path: Path, topics_at: Callable[[str], Topics], eventually: Eventually
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    topics = topics_at(f"127.0.0.1:{port}")
    options = {"topic_prefix": topics.prefix, "buffer_rows": 1_000}
    broker = LocalBroker(BrokerOptions(data_dir=tmp_path / "data", port=port, heap_mb=256))
    publisher = Publisher(topics.address, spool_dir=tmp_path / "living", linger_ms=20, **options)
    ids: list[str] = []

    def log(rows: int) -> None:
        for _ in range(0, rows, 100):
            ids.extend(publisher.log_predictions(**FRAUD, prediction=np.ones(100), timestamp_ms=len(ids)))
            eventually(lambda: publisher.stats["queued"] <= 500)

    with broker:
        topics.make()
        log(1_000)
        eventually(lambda: publisher.stats["acknowledged"] == 1_000)
        # On a busy machine some may have been on disk for a moment.
        eventually(lambda: not list((tmp_path / "living").iterdir()))
        broker.stop()
        arguments = [topics.address, topics.prefix, str(tmp_path / "killed")]
        killed = subprocess.Popen([sys.executable, "-c", _KILLED, *arguments])
        log(10_000)
        eventually(lambda: publisher.stats["spool_bytes"] > 0)  # that Kafka is away has been seen
        log(10_000)
        assert killed.wait(60) == -signal.SIGKILL
        broker.start()
        log(1_000)
        heir = Publisher(topics.address, spool_dir=tmp_path / "killed", **options)
        eventually(lambda: heir.stats["acknowledged"] == 5_000, 30)
        assert (heir.stats["adopted"], heir.stats["replayed"]) == (5_000, 5_000)
        assert heir.close()
        assert publisher.close(30)
        stats = publisher.stats
        assert stats["replayed"] > 5_000
        assert (stats["acknowledged"], stats["dropped"], stats["failed"]) == (22_000, 0, 0)
        assert not list((tmp_path / "living").iterdir())
        assert not list((tmp_path / "killed").iterdir())
        rows = topics.rows("predictions")
        assert Counter(row["prediction_id"] for _, row in rows) == Counter(ids)
        for partition in range(topics.partitions):
            times = [row["timestamp_ms"] for found, row in rows if found == partition]
            assert times == sorted(times)
        labels = topics.rows("labels")
        assert {row["prediction_id"] for _, row in labels} == {f"k{number}" for number in range(5_000)}
        placed = topics.keyed_partitions([f"k{number}" for number in range(100)])
        found = {row["prediction_id"]: partition for partition, row in labels}
        assert {key: found[key] for key in placed} == placed
