"""``python -m bench.restore``: how fast the joiner comes back, from Kafka and from the copy on the local disk."""

import argparse
import json
import logging
import os
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from confluent_kafka import Consumer, Producer, TopicPartition
from rich.console import Console
from rich.table import Table

from pipeline.config import Config
from pipeline.core.kernels.join_rows import EMPTY, NO_LABEL, PREDICTION, ROW, STATED
from pipeline.core.store_rows import StoreRows
from pipeline.engine.cold_rows import open_cold_folder
from pipeline.engine.kafka import log
from pipeline.engine.shell import ProcessorRunner
from pipeline.engine.status import RunnerStatus
from pipeline.local_broker import BrokerOptions, LocalBroker
from pipeline.processors.joiner import make_joiner
from pipeline.topics import create_topics

TARGET_ROWS_PER_S = 3_000_000
PART_ROWS = 5_000  # of a changelog record, as the joiner writes them under load
_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Restore:
    """One restore: from the assignment until the tasks are ready for the first record.

    Attributes:
        source: ``kafka`` or ``disk``.
        rows: open predictions restored.
        wall_s: seconds, in all.
        read_s: of these, until everything was read.
        cpu_s: CPU seconds of this process.
        peak_mb: its largest resident memory since it began.
        copy_s: seconds after that until the copies on the local disk were whole; 0 where they were before.
    """

    source: str
    rows: int
    wall_s: float
    read_s: float
    cpu_s: float
    peak_mb: float
    copy_s: float


class Copies(logging.Handler):
    """Waits until copies on the local disk are whole, which the log tells."""

    def __init__(self, copies: int) -> None:
        super().__init__()
        self._left = copies
        self.whole = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self._left -= record.getMessage().endswith("is whole")
        if not self._left:
            self.whole.set()


def fill(config: Config, rows: int) -> None:
    """Write a joiner changelog of that many open predictions, and offsets that go with it."""
    chance = np.random.default_rng(7)
    producer = Producer({**config.kafka.properties, "compression.type": "lz4", "linger.ms": 5})
    topic, partitions = config.kafka.topic("joiner-changelog"), config.kafka.partitions
    now_ms = time.time_ns() // 1_000_000
    for number, start in enumerate(range(0, rows, PART_ROWS)):
        part = np.zeros(min(PART_ROWS, rows - start), ROW)
        part["key0"], part["key1"] = chance.integers(0, 2**63, (2, len(part)), np.uint64)
        part["timestamp_ms"] = part["effective_ms"] = now_ms - rows // 1_000 + (start + np.arange(len(part))) // 1_000
        part["value"] = chance.integers(0, 2, len(part))
        part["kind"], part["label_kind"], part["next"], part["label"] = PREDICTION, NO_LABEL, EMPTY, EMPTY
        record = StoreRows(part, np.zeros(0, STATED)).encode()
        while True:
            try:
                producer.produce(topic, record, b"rows/%d" % (number // partitions), number % partitions)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    if producer.flush(_TIMEOUT_S):
        raise RuntimeError("the broker did not take the changelog")
    member = Consumer({**config.kafka.properties, "group.id": f"{config.kafka.topic_prefix}driftline-joiner"})
    inputs = [TopicPartition(config.kafka.topic("predictions"), partition, 0) for partition in range(partitions)]
    member.commit(offsets=inputs, asynchronous=False)
    member.close()


def measure(config: Config, source: str, rows: int) -> Restore:
    """Restore once and stop again."""
    began_s: list[float] = []
    read_s: list[float] = []
    done = threading.Event()

    def watch(status: RunnerStatus) -> None:
        now_s = time.perf_counter()
        if status.state == "restoring" and not began_s:
            began_s.append(now_s)
        if status.state == "running" and status.partitions and not read_s:
            read_s.append(now_s)
        if sum(figures["open_rows"] for figures in status.tasks.values()) >= rows and not done.is_set():
            read_s.append(now_s)
            done.set()

    joiner = make_joiner(config, None, open_cold_folder(config).blocks)
    runner = ProcessorRunner(joiner, config, on_status=watch)
    thread = threading.Thread(target=runner.run)
    process = psutil.Process()
    cpu_s = sum(process.cpu_times()[:2])
    copies = Copies(config.kafka.partitions)
    log.addHandler(copies)
    log.setLevel(logging.INFO)
    thread.start()
    while not done.wait(0.5) and thread.is_alive():
        pass
    cpu_s = sum(process.cpu_times()[:2]) - cpu_s
    if not done.is_set():
        raise RuntimeError(f"the joiner stopped: {runner.status().last_error}")
    if source == "kafka" and config.worker.state_dir and not copies.whole.wait(_TIMEOUT_S):
        raise RuntimeError("the copies on the local disk were never whole")
    copy_s = time.perf_counter() - read_s[-1] if source == "kafka" else 0.0
    log.removeHandler(copies)
    runner.stop()
    thread.join()
    with Path("/proc/self/status").open() as lines:
        peak_kb = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return Restore(source, rows, read_s[-1] - began_s[0], read_s[0] - began_s[0], cpu_s, peak_kb / 1024, copy_s)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.restore", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory-mb", type=int, default=1_024, help="joiner.memory_mb; rows beyond it go to disk")
    arguments = parser.parse_args()
    console = Console()
    os.environ.pop("DRIFTLINE_WORKER__STATE_DIR", None)
    with tempfile.TemporaryDirectory(prefix="driftline-bench-") as folder:
        options = BrokerOptions(data_dir=Path(folder) / "kafka", port=0, heap_mb=1024)
        with LocalBroker(options) as broker:

            def config_of(prefix: str) -> Config:
                return Config(
                    kafka={"bootstrap_servers": broker.bootstrap_servers, "topic_prefix": prefix, "partitions": 2},
                    engine={"commit_interval_ms": 10, "session_timeout": "6s"},
                    joiner={"memory_mb": arguments.memory_mb},
                    worker={"name": "bench", "state_dir": f"{folder}/state"},
                )

            config = config_of(f"warm-{uuid.uuid4().hex[:6]}-")
            create_topics(config)
            fill(config, 20_000)
            measure(config, "kafka", 20_000)  # compiles the kernels
            restores = []
            for _ in range(arguments.rounds):
                config = config_of(f"r-{uuid.uuid4().hex[:6]}-")
                create_topics(config)
                fill(config, arguments.rows)
                for source in ("kafka", "disk"):
                    restores.append(measure(config, source, arguments.rows))
                    console.print(restores[-1], highlight=False)
    table = Table("from", "rows", title=f"Restore of the joiner, 2 partitions; target {TARGET_ROWS_PER_S:,} rows/s")
    for name in ("rows/s", "seconds", "of it reading", "CPU s", "peak MB", "copied after s"):
        table.add_column(name, justify="right")
    for one in restores:
        table.add_row(
            one.source, f"{one.rows:,}", f"{one.rows / one.wall_s:,.0f}", f"{one.wall_s:.2f}", f"{one.read_s:.2f}",
            f"{one.cpu_s:.1f}", f"{one.peak_mb:,.0f}", f"{one.copy_s:.1f}",
        )  # fmt: skip
    console.print(table)
    sys.stdout.write(json.dumps([{name: getattr(one, name) for name in Restore.__slots__} for one in restores]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
