"""The exactly-once promise, held against a real broker by a processor that counts the records of each key.

For each input record the toy emits its key's running count. Read back with read_committed, a key with n input records
must show 1, 2, …, n: a lost record or state shows as a repeated number, a repeated one as a gap at the end.
Run as a script it is a worker process that can be killed and stopped.
"""

import os
import signal
import subprocess
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from pipeline.config import Config
from pipeline.core.events import Flush, OutputRecord, RecordBatch
from pipeline.engine import state_cache
from pipeline.engine.failpoints import ENVIRONMENT, arm_from_environment
from pipeline.engine.shell import ProcessorRunner
from pipeline.engine.status import RunnerStatus
from pipeline.processes import tied_command

INPUTS = ("left", "right")
KEYS = 17
ROOT = Path(__file__).parents[2]
Entry = tuple[bytes, bytes | None]


class ToyTask:
    """Counts per key; a value of ``boom`` raises, ``huge`` makes an output that no broker takes, ``bad`` is refused."""

    def __init__(self) -> None:
        self.counts: Counter[bytes] = Counter()
        self.out: list[OutputRecord] = []
        self.dirty: set[bytes] = set()
        self.pause: frozenset[str] = frozenset()
        self.ends_seen: set[str] = set()
        self.rows = 0

    def restore(self, entries: Iterable[Entry]) -> None:
        self.counts.update({key: int(value or 0) - self.counts[key] for key, value in dict(entries).items()})

    def process(self, batch: RecordBatch, now_ms: int) -> None:
        for key, value in zip(batch.keys, batch.values, strict=True):
            assert key is not None
            self.rows += 1
            if value == b"boom":
                raise ZeroDivisionError("a bug in a processor")
            if value == b"bad":
                self.out.append(OutputRecord("dead-letters", key, value))
                continue
            self.counts[key] += 1
            self.dirty.add(key)
            body = os.urandom(3_000_000) if value == b"huge" else str(self.counts[key]).encode()
            self.out.append(OutputRecord("counts", key, body, schema="count.v1"))

    def flush(self, now_ms: int, at_end: frozenset[str]) -> Flush:
        self.ends_seen |= at_end
        flush = Flush(self.out, [(key, str(self.counts[key]).encode()) for key in self.dirty], self.rows)
        self.out, self.dirty, self.rows = [], set(), 0
        return flush

    def paused(self, at_end: frozenset[str]) -> frozenset[str]:
        return self.pause

    def stats(self) -> Mapping[str, float]:
        return {"keys": len(self.counts)}


class Toy:
    name = "toy"
    inputs: tuple[str, ...] = INPUTS

    def __init__(self, tables: tuple[str, ...] = ()) -> None:
        self.tables = tables
        self.tasks: dict[int, ToyTask] = {}
        self.table: dict[bytes, bytes | None] = {}

    def task(self, partition: int, partitions: Mapping[str, int]) -> ToyTask:
        assert partitions["left"] > partition
        self.tasks[partition] = ToyTask()
        return self.tasks[partition]

    def on_table(self, topic: str, key: bytes, value: bytes | None) -> None:
        self.table[key] = value


def config_for(servers: str, prefix: str, name: str = "a", **engine: Any) -> Config:
    properties = {key: engine.pop(key) for key in list(engine) if "." in key}
    return Config(
        kafka={"bootstrap_servers": servers, "topic_prefix": prefix, **properties},
        worker={"name": name},
        engine={
            "commit_interval_ms": 30,
            "batch_events": 100,
            "max_uncommitted_events": 100,  # a transaction a batch: many of them in little time
            "session_timeout": "1s",
            "transaction_timeout": "2s",
            **engine,
        },
    )


class Bench:
    """The test's own side of the broker: topics, input, truth and the committed output."""

    def __init__(self, servers: str, prefix: str) -> None:
        self.servers, self.prefix = servers, prefix
        self.admin = AdminClient({"bootstrap.servers": servers})
        self.producer = Producer({"bootstrap.servers": servers, "partitioner": "murmur2_random", "linger.ms": 1})
        self.truth: Counter[bytes] = Counter()
        self.follower: Any = None
        self.outputs = 0

    def create(self, partitions: int = 2, **counts: int) -> None:
        wanted = dict.fromkeys((*INPUTS, "toy-changelog", "counts"), partitions) | counts
        futures = self.admin.create_topics([NewTopic(self.prefix + name, n, 1) for name, n in wanted.items()])
        for future in futures.values():
            future.result()

    def send(self, n: int) -> None:
        for i in range(n):
            key = f"key-{(self.truth.total() * 7) % KEYS}".encode()
            self.truth[key] += 1
            self.producer.produce(self.prefix + INPUTS[i % 2], b"x", key)
        self.producer.flush()

    def send_value(self, value: bytes) -> None:
        self.producer.produce(self.prefix + "left", value, b"key-0")
        self.producer.flush()

    def reader(self, topic: str) -> tuple[Any, int]:
        """A consumer of all partitions of a topic, committed records only, and the number of partitions."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.servers,
                "group.id": "-",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "enable.auto.commit": False,
            }
        )
        partitions = consumer.list_topics(self.prefix + topic, 10).topics[self.prefix + topic].partitions
        consumer.assign([TopicPartition(self.prefix + topic, p, 0) for p in partitions])
        return consumer, len(partitions)

    def read(self, topic: str) -> list[Entry]:
        """All committed records of a topic, in log order within each key."""
        consumer, left = self.reader(topic)
        records: list[Entry] = []
        while left:
            for message in consumer.consume(1000, 0.02):
                if message.error() is None:
                    records.append((message.key() or b"", message.value()))
                else:
                    assert message.error().code() == KafkaError._PARTITION_EOF
                    left -= 1
        consumer.close()
        return records

    def committed(self) -> int:
        """How many outputs came so far; cheap to ask again and again."""
        if self.follower is None:
            self.follower, _ = self.reader("counts")
        self.outputs += sum(message.error() is None for message in self.follower.consume(10_000, 0.02))
        return self.outputs

    def complete(self) -> bool:
        """Whether as much came out as went in; a wrong output may never get here, or go beyond."""
        return self.committed() >= self.truth.total()

    def seen(self) -> dict[bytes, list[int]]:
        seen: dict[bytes, list[int]] = defaultdict(list)
        for key, value in self.read("counts"):
            seen[key].append(int(value or b"0"))
        return seen

    def check(self) -> None:
        assert self.seen() == {key: list(range(1, n + 1)) for key, n in self.truth.items()}
        changelog = dict(self.read("toy-changelog"))
        assert changelog == {key: str(n).encode() for key, n in self.truth.items()}


class Running:
    """A runner in a thread of its own."""

    def __init__(self, config: Config, toy: Toy | None = None) -> None:
        self.toy = toy or Toy()
        self.error: BaseException | None = None
        self.states: list[str] = []
        self.runner = ProcessorRunner(self.toy, config, on_status=self._status)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _status(self, status: RunnerStatus) -> None:
        if not self.states or self.states[-1] != status.state:
            self.states.append(status.state)

    def _run(self) -> None:
        try:
            self.runner.run()
        except BaseException as error:  # noqa: BLE001 - handed to the test
            self.error = error

    @property
    def status(self) -> RunnerStatus:
        return self.runner.status()

    def end(self) -> None:
        self.runner.stop()
        self.thread.join(30)
        assert not self.thread.is_alive()


@contextmanager
def running(config: Config, toy: Toy | None = None) -> Iterator[Running]:
    run = Running(config, toy)
    try:
        yield run
    finally:
        run.end()


@contextmanager
def process(bench: Bench, name: str, failpoints: str = "", **engine: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A worker process; ``failpoints`` as ``pipeline.engine.failpoints`` takes them from the environment."""
    arguments = [bench.servers, bench.prefix, name, *(f"{key}={value}" for key, value in engine.items())]
    environ = {**os.environ, ENVIRONMENT: failpoints}
    command = tied_command([sys.executable, "-m", "tests.engine.toy", *arguments])
    worker = subprocess.Popen(command, cwd=ROOT, env=environ)
    try:
        yield worker
    finally:
        worker.kill()
        worker.wait()


def main() -> None:
    servers, prefix, name, *engine = sys.argv[1:]
    config = config_for(servers, prefix, name, **dict(pair.split("=") for pair in engine))
    arm_from_environment()
    state_cache.EVERY_S = 0.0
    runner = ProcessorRunner(Toy(), config)
    signal.signal(signal.SIGTERM, lambda *_: runner.stop())
    thread = threading.Thread(target=runner.run)
    thread.start()
    while thread.is_alive():
        thread.join(0.1)


def is_stopped(worker: subprocess.Popen[bytes]) -> bool:
    return psutil.Process(worker.pid).status() == psutil.STATUS_STOPPED


if __name__ == "__main__":
    main()
