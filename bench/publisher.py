"""What publishing costs: the calling thread's time per log_prediction, and rows per second of log_predictions.

Also in an outage, with a spool: the calling thread's time while rows go to disk.

python bench/publisher.py [--bootstrap-servers localhost:9092]; without the option it starts a local broker.
"""

import argparse
import gc
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from confluent_kafka.admin import AdminClient, NewTopic

from pipeline import Publisher
from pipeline.local_broker import BrokerOptions, LocalBroker

PARTITIONS = 2
FEATURES: Mapping[str, float | str | bool | None] = {
    "amount": 12.5,
    "age": 41,
    "country": "DE",
    "hour": 13,
    "returning": True,
}


@contextmanager
def broker(address: str | None) -> Iterator[str]:
    if address:
        yield address
        return
    with tempfile.TemporaryDirectory() as folder, LocalBroker(BrokerOptions(Path(folder) / "data", port=0)) as local:
        yield local.bootstrap_servers


def call_costs(log: Callable[[], object], calls: int, every_us: float) -> str:
    """Median, p99.9 and maximum of one call's time, at a steady rate or (0) back to back."""
    times = np.empty(calls, np.int64)
    clock = time.perf_counter_ns
    due = clock()
    for call in range(calls):
        while every_us and clock() < due:
            time.sleep(0)
        due += int(every_us * 1_000)
        started = clock()
        log()
        times[call] = clock() - started
    median, high, highest = np.quantile(times, [0.5, 0.999, 1.0]) / 1_000
    return f"median {median:8.2f} us   p99.9 {high:9.1f} us   max {highest:10.1f} us"


def log_one_by_one(address: str, prefix: str, calls: int, every_us: float) -> str:
    with Publisher(address, topic_prefix=prefix, buffer_rows=2_000_000) as publisher:
        publisher.log_prediction(model="warm", model_version="1", task="binary", prediction=1)
        publisher.flush(20)

        def log() -> None:
            publisher.log_prediction(
                model="fraud",
                model_version="3",
                task="binary",
                prediction=1,
                score=0.93,
                features=FEATURES,
                latency_ms=4.1,
            )

        costs = call_costs(log, calls, every_us)
        publisher.flush(60)
        stats = publisher.stats
    assert stats["acknowledged"] == calls + 1, stats
    return f"{costs}   {calls / stats['records']:6.0f} rows a record"


def log_in_an_outage(spool_dir: Path | None, calls: int, every_us: float) -> str:
    """Nobody listens; without a spool, all rows find room in the buffer."""
    publisher = Publisher("127.0.0.1:1", buffer_rows=2_000_000, spool_dir=spool_dir)

    def log() -> None:
        publisher.log_prediction(
            model="fraud", model_version="3", task="binary", prediction=1, score=0.93, features=FEATURES, latency_ms=4.1
        )

    costs = call_costs(log, calls, every_us)
    publisher.close(0)
    stats = publisher.stats
    assert (stats["spooled"] if spool_dir else stats["dropped"]) == calls, stats
    return f"{costs}   {stats['spool_bytes'] / calls:6.0f} bytes a row on disk"


def rows_per_second(address: str, prefix: str, batch: int, rows: int) -> str:
    rng = np.random.default_rng(1)
    scores = rng.random(batch)
    features = {f"f{number}": rng.random(batch).astype(np.float32) for number in range(5)}
    with Publisher(address, topic_prefix=prefix, on_overflow="block", block_timeout_s=30) as publisher:
        cpu, started = time.process_time(), time.perf_counter()
        for _ in range(rows // batch):
            publisher.log_predictions(
                model="fraud",
                model_version="3",
                task="binary",
                prediction=scores > 0.5,
                score=scores,
                features=features,
                latency_ms=4.1,
            )
        publisher.flush(60)
        wall_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu
        stats = publisher.stats
    assert stats["acknowledged"] == rows, stats
    return f"{rows / wall_s:12,.0f} rows/s acknowledged   {cpu_s / rows * 1e6:5.2f} CPU us/row"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap-servers")
    parser.add_argument("--calls", type=int, default=200_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    arguments = parser.parse_args()
    gc.freeze()
    with broker(arguments.bootstrap_servers) as address:
        prefix = f"bench-{uuid.uuid4().hex[:8]}-"
        admin = AdminClient({"bootstrap.servers": address})
        admin.create_topics([NewTopic(prefix + "predictions", PARTITIONS, 1)])[prefix + "predictions"].result(20)
        print("log_prediction, 5 features")
        for name, calls, every_us in (
            ("back to back", arguments.calls, 0),
            ("5,000 a second", arguments.calls // 10, 200),
        ):
            print(f"  {name:15}", log_one_by_one(address, prefix, calls, every_us))
        for name, spooled in (("outage", False), ("outage, spool", True)):
            with tempfile.TemporaryDirectory() as folder:
                costs = log_in_an_outage(Path(folder) if spooled else None, arguments.calls // 10, 200)
                print(f"  {name:15}", costs)
        print("log_predictions, 5 features")
        for batch in (32, 1_000):
            print(f"  {batch:5} a call    ", rows_per_second(address, prefix, batch, arguments.rows // batch * batch))
        admin.delete_topics([prefix + "predictions"])[prefix + "predictions"].result(20)


if __name__ == "__main__":
    main()
