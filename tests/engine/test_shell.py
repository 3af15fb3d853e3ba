"""The exactly-once promise, held against a real broker by a processor that counts the records of each key.

For each input record the toy emits its key's running count. Read back with read_committed, a key with n input records
must show 1, 2, …, n: a lost record or state shows as a repeated number, a repeated one as a gap at the end.
Run as a script it is a worker process that can be killed and stopped.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psutil
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from pipeline.config import Config
from pipeline.core.errors import StartupError
from pipeline.core.events import Flush, OutputRecord, RecordBatch
from pipeline.engine.shell import ProcessorRunner
from pipeline.engine.status import RunnerStatus

INPUTS = ("left", "right")
KEYS = 17
Entry = tuple[bytes, bytes | None]


class ToyTask:
    """Counts per key; a value of ``boom`` raises, ``huge`` makes an output that no broker takes."""

    def __init__(self) -> None:
        self.counts: Counter[bytes] = Counter()
        self.out: list[OutputRecord] = []
        self.dirty: set[bytes] = set()
        self.pause: frozenset[str] = frozenset()
        self.ends_seen: set[str] = set()

    def restore(self, entries: Iterable[Entry]) -> None:
        self.counts.update({key: int(value or 0) - self.counts[key] for key, value in dict(entries).items()})

    def process(self, batch: RecordBatch, now_ms: int) -> None:
        for key, value in zip(batch.keys, batch.values, strict=True):
            assert key is not None
            if value == b"boom":
                raise ZeroDivisionError("a bug in a processor")
            self.counts[key] += 1
            self.dirty.add(key)
            body = os.urandom(3_000_000) if value == b"huge" else str(self.counts[key]).encode()
            self.out.append(OutputRecord("counts", key, body, schema="count.v1"))

    def flush(self, now_ms: int, at_end: frozenset[str]) -> Flush:
        self.ends_seen |= at_end
        flush = Flush(self.out, [(key, str(self.counts[key]).encode()) for key in self.dirty])
        self.out, self.dirty = [], set()
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
    return Config(
        kafka={"bootstrap_servers": servers, "topic_prefix": prefix},
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


@pytest.fixture
def bench(broker: Any, topic_prefix: str) -> Iterator[Bench]:
    bench = Bench(broker.bootstrap_servers, topic_prefix)
    yield bench
    if bench.follower is not None:
        bench.follower.close()


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
def process(bench: Bench, name: str, freeze: str = "", **engine: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A worker process; ``freeze`` names the broker call before which it stops itself, in mid-transaction."""
    arguments = [bench.servers, bench.prefix, name, freeze, *(f"{key}={value}" for key, value in engine.items())]
    worker = subprocess.Popen([sys.executable, __file__, *arguments])
    try:
        yield worker
    finally:
        worker.kill()
        worker.wait()


def main() -> None:
    servers, prefix, name, freeze, *engine = sys.argv[1:]
    config = config_for(servers, prefix, name, **dict(pair.split("=") for pair in engine))
    runner = ProcessorRunner(Toy(), config)
    if freeze:
        from pipeline.engine.transaction import Transactions  # noqa: PLC0415 - only the zombie needs it

        call, times = Transactions._call, Counter[str]()

        def freezing(self: Transactions, doing: str, *args: Any) -> Any:
            times[doing] += 1
            if doing == freeze and times[doing] == 3:  # in mid-stream
                os.kill(os.getpid(), signal.SIGSTOP)
                time.sleep(0.2)  # the signal may reach another thread first: do not run on into the call
            return call(self, doing, *args)

        Transactions._call = freezing  # type: ignore[method-assign,assignment]
    signal.signal(signal.SIGTERM, lambda *_: runner.stop())
    thread = threading.Thread(target=runner.run)
    thread.start()
    while thread.is_alive():
        thread.join(0.1)


def is_stopped(worker: subprocess.Popen[bytes]) -> bool:
    return psutil.Process(worker.pid).status() == psutil.STATUS_STOPPED


def test_a_clean_stop_and_a_restart_go_on_where_it_was(bench: Bench, eventually: Any) -> None:
    bench.create()
    for _ in range(2):
        bench.send(500)
        with running(config_for(bench.servers, bench.prefix)) as run:
            eventually(bench.complete)
            eventually(lambda: len(run.status.at_end) == 4)
            assert run.status.lag == {f"{t}-{p}": 0 for t in INPUTS for p in (0, 1)}
        assert run.states == ["restoring", "running", "stopping", "stopped"]
        assert run.error is None
    counters = run.status.counters
    assert (counters.records, counters.outputs, counters.rejoins, counters.aborts) == (500, 500, 0, 0)
    assert counters.restored_records >= KEYS
    assert run.toy.tasks[0].ends_seen == set(INPUTS)
    bench.check()


def test_a_stop_commits_what_was_processed(bench: Bench, eventually: Any) -> None:
    bench.create()
    bench.send(300)
    with running(
        config_for(bench.servers, bench.prefix, commit_interval_ms=60_000, max_uncommitted_events=1_000)
    ) as run:
        eventually(
            lambda: run.status.state == "running" and sum(t.counts.total() for t in run.toy.tasks.values()) == 300
        )
        assert bench.seen() == {}
    bench.check()


def test_kills_in_mid_stream(bench: Bench, eventually: Any) -> None:
    bench.create()
    for _ in range(3):
        bench.send(2000)
        before = bench.committed()
        with process(bench, "a"):
            eventually(lambda before=before: bench.committed() > before + 200)
    with running(config_for(bench.servers, bench.prefix)):
        eventually(bench.complete)
    bench.check()


def test_one_runner_two_and_one_again(bench: Bench, eventually: Any) -> None:
    bench.create()
    bench.send(2000)
    with running(config_for(bench.servers, bench.prefix, "a")) as first:
        eventually(lambda: first.status.counters.commits > 2)
        with running(config_for(bench.servers, bench.prefix, "b")) as second:
            eventually(lambda: len(second.status.partitions) == len(first.status.partitions) == 1)
            bench.send(2000)
            eventually(bench.complete)
            assert second.status.counters.records > 0
        bench.send(2000)
        eventually(bench.complete)
        assert first.status.partitions == (0, 1)
        assert first.status.counters.rebalances == 3
    bench.check()


def test_an_aborted_transaction_is_done_again(bench: Bench, eventually: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.engine.transaction import Transactions  # noqa: PLC0415 - patched here only

    call, times = Transactions._call, Counter[str]()

    def failing(self: Transactions, doing: str, *args: Any) -> Any:
        times[doing] += 1
        if doing == "committing" and times[doing] in {2, 5}:  # after the records and offsets were sent
            raise_as = KafkaError(KafkaError.ILLEGAL_GENERATION, "injected", txn_requires_abort=True)
            return call(self, doing, lambda *_: (_ for _ in ()).throw(KafkaException(raise_as)))
        return call(self, doing, *args)

    monkeypatch.setattr(Transactions, "_call", failing)
    bench.create()
    bench.send(2000)
    with running(config_for(bench.servers, bench.prefix)) as run:
        eventually(bench.complete)
        assert run.status.counters.aborts == 2
        assert run.status.counters.rejoins == 0
        assert "injected" in str(run.status.last_error)
    bench.check()


@pytest.mark.parametrize("call", ["sending offsets", "committing"])
def test_a_zombie_writes_nothing_more(bench: Bench, eventually: Any, call: str) -> None:
    bench.create()
    bench.send(3000)
    with process(bench, "zombie", call) as zombie:
        eventually(lambda: is_stopped(zombie))
        assert not bench.complete()
        with running(config_for(bench.servers, bench.prefix, "heir")) as heir:
            eventually(bench.complete)
            bench.send(500)
            zombie.send_signal(signal.SIGCONT)
            # It comes back as a new member and shares the work.
            eventually(lambda: len(heir.status.partitions) == 1)
            bench.send(500)
            eventually(bench.complete)
            zombie.terminate()
            assert zombie.wait(20) == 0
    bench.check()


def test_a_commit_that_was_under_way_at_the_takeover_is_restored(bench: Bench, eventually: Any) -> None:
    """The stopped owner has sent its offsets in time, so its commit is valid: the heir must wait for it."""
    bench.create()
    bench.send(3000)
    with process(bench, "late", "committing", transaction_timeout="30s") as late:
        eventually(lambda: is_stopped(late))
        before = bench.committed()
        with running(config_for(bench.servers, bench.prefix, "heir")) as heir:
            eventually(lambda: heir.status.counters.rebalances == 1)
            # An answer to the question for offsets would take milliseconds.
            with pytest.raises(KafkaException):
                Consumer(
                    {
                        "bootstrap.servers": bench.servers,
                        "group.id": f"{bench.prefix}driftline-toy",
                        "isolation.level": "read_committed",
                    }
                ).committed([TopicPartition(f"{bench.prefix}left", p) for p in (0, 1)], timeout=1.0)
            assert heir.status.state == "restoring"
            late.send_signal(signal.SIGCONT)
            eventually(lambda: bench.committed() > before)
            eventually(bench.complete)
    bench.check()


def test_a_restore_passes_aborted_records_and_markers(bench: Bench, eventually: Any) -> None:
    bench.create()
    bench.send(200)
    with running(config_for(bench.servers, bench.prefix)):
        eventually(bench.complete)
    intruder = Producer(
        {"bootstrap.servers": bench.servers, "transactional.id": f"{bench.prefix}x", "transaction.timeout.ms": 1500}
    )
    intruder.init_transactions(10)
    for last in (False, False, True):
        intruder.begin_transaction()
        for partition in (0, 1):
            intruder.produce(f"{bench.prefix}toy-changelog", b"999", b"key-1", partition)
        intruder.flush(10)
        if not last:  # two aborted ones at the end of the log, and one that is left open
            intruder.abort_transaction(10)
    bench.send(200)
    with running(config_for(bench.servers, bench.prefix)) as run:
        eventually(bench.complete)
        assert run.status.counters.restored_records >= KEYS
    bench.check()


def test_a_broker_that_comes_later(bench: Bench, eventually: Any) -> None:
    bench.create()
    bench.send(200)
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{door.getsockname()[1]}"
        with running(config_for(address, bench.prefix)) as run:
            eventually(lambda: run.status.last_error is not None)
            assert run.status.state == "starting"
            door.listen()
            threading.Thread(target=forward, args=(door, bench.servers), daemon=True).start()
            eventually(bench.complete)
    bench.check()


def forward(door: socket.socket, servers: str) -> None:
    """Stand in for a broker that has just started: the first connections find the real one through here."""
    host, _, port = servers.partition(":")

    def pump(source: socket.socket, sink: socket.socket) -> None:
        while data := source.recv(65_536):
            sink.sendall(data)

    while True:
        try:
            inner, _ = door.accept()
        except OSError:
            return
        outer = socket.create_connection((host, int(port)))
        for pair in ((inner, outer), (outer, inner)):
            threading.Thread(target=pump, args=pair, daemon=True).start()


def test_back_pressure_holds_a_topic(bench: Bench, eventually: Any) -> None:
    bench.create()
    with running(config_for(bench.servers, bench.prefix)) as run:
        eventually(lambda: len(run.status.at_end) == 4)
        for task in run.toy.tasks.values():
            task.pause = frozenset({"right"})
        eventually(lambda: run.status.paused == ("right-0", "right-1"))
        bench.send(400)
        eventually(lambda: run.status.counters.outputs == 200)
        eventually(lambda: run.status.at_end == ("left-0", "left-1"))
        for task in run.toy.tasks.values():
            task.pause = frozenset()
        eventually(bench.complete)
    bench.check()


def test_tables_are_read_whole_before_and_beside_the_inputs(bench: Bench, eventually: Any) -> None:
    bench.create(settings=3)

    def put(value: bytes) -> None:
        for key in range(20):
            bench.producer.produce(f"{bench.prefix}settings", value, str(key).encode())
        bench.producer.flush()

    put(b"old")
    bench.send(100)
    known_at_first_task = 0

    class Watching(Toy):
        def task(self, partition: int, partitions: Mapping[str, int]) -> ToyTask:
            nonlocal known_at_first_task
            known_at_first_task = len(self.table)
            return super().task(partition, partitions)

    toy = Watching(("settings",))
    with running(config_for(bench.servers, bench.prefix), toy):
        eventually(bench.complete)
        assert known_at_first_task == 20
        put(b"new")
        eventually(lambda: set(toy.table.values()) == {b"new"})


def test_a_bug_stops_the_runner_and_keeps_the_state(bench: Bench, eventually: Any) -> None:
    bench.create()
    bench.send(200)
    with running(config_for(bench.servers, bench.prefix)) as run:
        eventually(bench.complete)
        bench.send_value(b"boom")
        eventually(lambda: not run.thread.is_alive())
    assert isinstance(run.error, ZeroDivisionError)
    assert run.status.state == "failed"
    bench.check()


def test_an_output_that_is_too_large_says_so(bench: Bench, eventually: Any) -> None:
    bench.create()
    bench.send_value(b"huge")
    with running(config_for(bench.servers, bench.prefix)) as run:
        eventually(lambda: not run.thread.is_alive())
    assert isinstance(run.error, StartupError)
    assert "message.max.bytes" in str(run.error)
    assert bench.seen() == {}


@pytest.mark.parametrize(
    ("counts", "mend"),
    [({"right": 3}, "left 2, right 3"), ({"toy-changelog": 1}, "toy-changelog 1"), (None, "driftline topics create")],
)
def test_topics_that_cannot_serve_are_refused(bench: Bench, eventually: Any, counts: Any, mend: str) -> None:
    if counts is not None:
        bench.create(**counts)
    with running(config_for(bench.servers, bench.prefix)) as run:
        eventually(lambda: not run.thread.is_alive())
    assert isinstance(run.error, StartupError)
    assert mend in str(run.error)


def test_state_without_offsets_is_refused(bench: Bench, eventually: Any) -> None:
    bench.create()
    bench.send(100)
    with running(config_for(bench.servers, bench.prefix)):
        eventually(bench.complete)
    group = f"{bench.prefix}driftline-toy"

    def delete() -> bool:
        # A static member stays until its session has passed; until then the broker refuses.
        error = bench.admin.delete_consumer_groups([group])[group].exception()
        return error is None

    eventually(delete)
    with running(config_for(bench.servers, bench.prefix)) as run:
        eventually(lambda: not run.thread.is_alive())
    assert "toy-changelog" in str(run.error)
    bench.check()


def test_two_workers_of_one_name_end_in_a_clear_error(bench: Bench, eventually: Any) -> None:
    bench.create()
    bench.send(100)
    config = config_for(bench.servers, bench.prefix)
    with running(config) as one, running(config) as two:
        eventually(lambda: not (one.thread.is_alive() and two.thread.is_alive()), 40)
        bench.send(100)
        eventually(bench.complete)
    assert any("share the name" in str(run.error) for run in (one, two))
    bench.check()


if __name__ == "__main__":
    main()
