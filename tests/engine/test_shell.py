"""The shell around a processor: start, stop, back-pressure, tables, and what it refuses."""

import itertools
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest

from pipeline.core.errors import LimitError, StartupError
from pipeline.core.events import Flush
from tests.conftest import Eventually
from tests.engine.conftest import Arm
from tests.engine.toy import INPUTS, KEYS, Bench, Toy, ToyTask, config_for, running


def test_a_clean_stop_and_a_restart_go_on_where_it_was(bench: Bench, eventually: Eventually) -> None:
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


def test_a_stop_commits_what_was_processed(bench: Bench, eventually: Eventually) -> None:
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


def test_a_stop_hands_the_partitions_over_without_waiting_for_the_session(bench: Bench, eventually: Eventually) -> None:
    bench.create()
    with running(config_for(bench.servers, bench.prefix, "stays", session_timeout="60s")) as stays:
        eventually(lambda: stays.status.partitions == (0, 1))
        with running(config_for(bench.servers, bench.prefix, "goes", session_timeout="60s")) as goes:
            eventually(lambda: len(stays.status.partitions) == len(goes.status.partitions) == 1)
        eventually(lambda: stays.status.partitions == (0, 1), timeout_s=15)


def test_a_broker_that_comes_later(bench: Bench, eventually: Eventually) -> None:
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
        with suppress(OSError):  # either side may hang up
            while data := source.recv(65_536):
                sink.sendall(data)

    with suppress(OSError):  # the test's end closes the door
        while True:
            inner, _ = door.accept()
            outer = socket.create_connection((host, int(port)))
            for pair in ((inner, outer), (outer, inner)):
                threading.Thread(target=pump, args=pair, daemon=True).start()


def test_back_pressure_holds_a_topic(bench: Bench, eventually: Eventually) -> None:
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


def test_after_standing_still_the_ends_are_seen_anew(bench: Bench, eventually: Eventually, armed: Arm) -> None:
    """Whoever took the old ends for true would let the clock close windows over what has come meanwhile."""
    flushes: list[tuple[float, frozenset[str]]] = []

    class Watching(ToyTask):
        def flush(self, now_ms: int, at_end: frozenset[str]) -> Flush:
            flushes.append((time.monotonic(), at_end))
            return super().flush(now_ms, at_end)

    class Watched(Toy):
        def task(self, partition: int, partitions: Mapping[str, int]) -> ToyTask:
            return Watching()

    bench.create(partitions=1)
    with running(config_for(bench.servers, bench.prefix), Watched()) as run:
        eventually(lambda: len(run.status.at_end) == 2)
        before = len(flushes)
        armed("after_consume=sleep:1.5@1")
        eventually(lambda: len(flushes) > before + 3)
        gaps = [late - early for (early, _), (late, _) in itertools.pairwise(flushes)]
        first_after = flushes[gaps.index(max(gaps)) + 1]
        assert max(gaps) > 1.4
        assert first_after[1] == frozenset()
        eventually(lambda: flushes[-1][1] == set(INPUTS))


def test_a_transaction_that_hangs_is_no_sign_of_life(bench: Bench, eventually: Eventually, armed: Arm) -> None:
    bench.create()
    with running(config_for(bench.servers, bench.prefix)) as run:
        bench.send(10)
        eventually(bench.complete)
        armed("before_produce=sleep:3@1")
        bench.send(10)  # all that ever comes: its lag does not grow
        eventually(lambda: run.runner.silent_s() > 2)
        eventually(bench.complete)
        eventually(lambda: run.runner.silent_s() < 1)
    bench.check()


def test_tables_are_read_whole_before_and_beside_the_inputs(bench: Bench, eventually: Eventually) -> None:
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


def test_a_bug_stops_the_runner_and_keeps_the_state(bench: Bench, eventually: Eventually) -> None:
    bench.create()
    bench.send(200)
    with running(config_for(bench.servers, bench.prefix)) as run:
        eventually(bench.complete)
        bench.send_value(b"boom")
        eventually(lambda: not run.thread.is_alive())
    assert isinstance(run.error, ZeroDivisionError)
    assert run.status.state == "failed"
    bench.check()


def test_an_output_that_is_too_large_says_so(bench: Bench, eventually: Eventually) -> None:
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
def test_topics_that_cannot_serve_are_refused(bench: Bench, eventually: Eventually, counts: Any, mend: str) -> None:
    if counts is not None:
        bench.create(**counts)
    with running(config_for(bench.servers, bench.prefix)) as run:
        eventually(lambda: not run.thread.is_alive())
    assert isinstance(run.error, StartupError)
    assert mend in str(run.error)


def test_too_many_dead_letters_stop_it_and_the_last_are_read_again(bench: Bench, eventually: Eventually) -> None:
    bench.create(**{"dead-letters": 1})
    bench.send(600)
    for _ in range(700):
        bench.producer.produce(f"{bench.prefix}left", b"bad", b"key-0")
    bench.producer.flush()
    with running(config_for(bench.servers, bench.prefix, dead_letter_limit=0.5)) as run:
        eventually(lambda: not run.thread.is_alive())
    assert isinstance(run.error, LimitError)
    refused = len(bench.read("dead-letters"))
    assert refused < 700
    with running(config_for(bench.servers, bench.prefix)) as run:
        eventually(lambda: run.status.counters.dead_letters == 700 - refused)
        eventually(bench.complete)
    bench.check()
