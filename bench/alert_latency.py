"""How long an alert takes: from the event that closes a window to the alert in a subscriber's hands.

python -m bench.alert_latency [--windows 200] [--commit-interval-ms 500]

A real worker, windows of a minute in event time, a rule that fires in every second window, so that each window that
closes gives one alert event. Beside the measured rows goes a steady stream of others.
"""

import argparse
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
import orjson
from confluent_kafka import Producer
from rich.console import Console

from bench.job import worker_process
from pipeline import subscribe_alerts
from pipeline.config import Config
from pipeline.local_broker import BrokerOptions, LocalBroker
from pipeline.topics import create_topics

PARTITIONS = 2
WINDOW_MS = 60_000
LATENESS_MS = 10_000  # the default

_MANY, _FEW = 20, 2  # rows a partition and window
_ALERT_TIMEOUT_S = 120.0  # the first start on a machine compiles kernels
_WARM_UP = 5
_TOML = """\
[kafka]
bootstrap_servers = "{bootstrap_servers}"
partitions = {partitions}

[engine]
commit_interval_ms = {commit_interval_ms}

[worker]
name = "bench"
roles = ["joiner", "monitor"]
web_port = 0
state_dir = ""

[[rules]]
name = "crowd"
model = "measured"
metric = "counts.predictions"
window = "1m"
above = {limit}
"""


class Stream:
    """Rows in event time, and a steady stream of others beside them.

    Args:
        address: the bootstrap servers.
        rate: rows a second of the stream beside.
    """

    def __init__(self, address: str, rate: int) -> None:
        self._producer = Producer({"bootstrap.servers": address, "enable.idempotence": True, "linger.ms": 0})
        self._rate = rate
        self._sent = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._others, daemon=True)
        self.now_ms = 0
        """The event time that has been reached."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._producer.flush(10)

    def send(self, model: str, timestamp_ms: int, rows: int) -> None:
        """Send rows to each partition."""
        for partition in range(PARTITIONS):
            for _ in range(rows):
                self._sent += 1
                key = f"{model}-{self._sent}"
                event = {
                    "prediction_id": key,
                    "model": model,
                    "model_version": "1",
                    "timestamp_ms": timestamp_ms,
                    "task": "binary",
                    "prediction": 1,
                }
                self._producer.produce("predictions", orjson.dumps(event), key, partition)
        self._producer.poll(0)

    def flush(self) -> None:
        """Wait until everything is with Kafka."""
        self._producer.flush(10)

    def _others(self) -> None:
        while not self._stopped.wait(0.05):
            self.send("other", self.now_ms, max(1, round(self._rate * 0.05 / PARTITIONS)))


def latencies_ms(address: str, windows: int, rate: int) -> Iterator[float]:
    """Close windows one by one.

    Args:
        address: the bootstrap servers.
        windows: how many.
        rate: rows a second beside.

    Yields:
        Milliseconds from before the closing rows were handed to librdkafka until the alert was read.
    """
    # The last window ends a while before now: nothing may lie in the future.
    start_ms = (int(time.time() * 1000) // WINDOW_MS - windows - 5) * WINDOW_MS
    arrived: dict[int, float] = {}
    news = threading.Condition()

    def read() -> None:
        for alert in subscribe_alerts(address, group="bench", model="measured"):
            with news:
                arrived[alert["window_start_ms"]] = time.perf_counter()
                news.notify()
            if len(arrived) == windows:
                break  # which closes the subscription

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    chance = random.Random(1)
    with Stream(address, rate) as stream:
        for window in range(windows):
            window_ms = start_ms + window * WINDOW_MS
            stream.now_ms = window_ms + LATENESS_MS
            stream.send("measured", window_ms + LATENESS_MS, _FEW if window % 2 else _MANY)
            stream.flush()
            time.sleep(chance.uniform(0.2, 0.9))  # at any moment between two commits
            sent = time.perf_counter()
            stream.send("measured", window_ms + WINDOW_MS + LATENESS_MS, 1)
            stream.flush()
            with news:
                if not news.wait_for(partial(arrived.__contains__, window_ms), _ALERT_TIMEOUT_S):
                    raise RuntimeError(f"no alert for window {window} within {_ALERT_TIMEOUT_S:.0f} s")
            if window >= _WARM_UP:
                yield (arrived[window_ms] - sent) * 1_000
    reader.join(_ALERT_TIMEOUT_S)


def main() -> None:
    """Measure with the default commit interval and a short one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=200)
    parser.add_argument("--rate", type=int, default=1_000, help="rows a second beside the measured ones")
    parser.add_argument("--commit-interval-ms", type=int, nargs="*", default=[500, 100])
    options = parser.parse_args()
    console = Console()
    for interval_ms in options.commit_interval_ms:
        with (
            tempfile.TemporaryDirectory() as folder,
            LocalBroker(BrokerOptions(Path(folder) / "kafka", port=0)) as local,
        ):
            config = Config(kafka={"bootstrap_servers": local.bootstrap_servers, "partitions": PARTITIONS})
            create_topics(config)
            path = Path(folder) / "driftline.toml"
            path.write_text(
                _TOML.format(
                    bootstrap_servers=local.bootstrap_servers,
                    partitions=PARTITIONS,
                    commit_interval_ms=interval_ms,
                    limit=PARTITIONS * (_FEW + _MANY) / 2,
                )
            )
            with worker_process(path, path.with_suffix(".log")):
                found = np.array(list(latencies_ms(local.bootstrap_servers, options.windows, options.rate)))
        median, high, highest = np.quantile(found, [0.5, 0.99, 1.0])
        console.print(
            f"commit_interval_ms = {interval_ms}: {len(found)} alerts, median {median:,.0f} ms, p99 {high:,.0f} ms, at"
            f" most {highest:,.0f} ms"
        )


if __name__ == "__main__":
    main()
