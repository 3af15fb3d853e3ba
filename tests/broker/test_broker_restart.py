"""A broker that is away at the start, and again in mid-stream: worker and publisher wait and go on by themselves."""

import socket
import time
from pathlib import Path
from typing import Any

from pipeline import Publisher
from pipeline.config import Config
from pipeline.local_broker import BrokerOptions, LocalBroker
from pipeline.topics import create_topics
from tests.broker.worker_process import read_all, worker
from tests.conftest import TEST_PARTITIONS, Eventually


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_everything_goes_on_by_itself_when_the_broker_comes_back(tmp_path: Path, eventually: Eventually) -> None:
    port = free_port()
    config = Config(kafka={"bootstrap_servers": f"127.0.0.1:{port}", "partitions": TEST_PARTITIONS})
    broker = LocalBroker(BrokerOptions(data_dir=tmp_path / "kafka", port=port))

    def log(publisher: Publisher, first: int, count: int) -> None:
        for number in range(first, first + count):
            publisher.log_prediction(
                model="m", model_version="1", task="regression", prediction=1.5, prediction_id=f"p{number}"
            )

    def counted() -> int:
        newest: dict[Any, int] = {}
        for _, event, _ in read_all(config, "window-metrics"):
            newest[event["window_start_ms"]] = event["counts"]["predictions"]
        return sum(newest.values())

    with Publisher(config.kafka.bootstrap_servers) as publisher:
        log(publisher, 0, 100)  # nobody listens yet
        broker.start()
        create_topics(config)
        with worker(config, "lonely", tmp_path) as process:
            eventually(lambda: publisher.stats["acknowledged"] == 100, timeout_s=30)
            eventually(lambda: counted() == 100, timeout_s=40)
            broker.stop()
            log(publisher, 100, 100)
            time.sleep(1.5)  # long enough for both to see that it is gone
            assert process.poll() is None
            broker.start()
            try:
                eventually(lambda: publisher.stats["acknowledged"] == 200, timeout_s=60)
                eventually(lambda: counted() == 200, timeout_s=60)
                assert process.poll() is None
                assert publisher.stats["dropped"] == publisher.stats["failed"] == 0
            finally:
                broker.stop()
