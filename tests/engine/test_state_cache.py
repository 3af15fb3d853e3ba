"""The local copy of the state in a running worker: it is used when it is true, and never otherwise.

Whether a worker has used its copy shows by a ghost: a key put into the copy that the changelog does not have.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import NewTopic

from pipeline.engine import cache_follower, changelog, failpoints, state_cache
from pipeline.engine.cache_file import CacheFile, CacheUnusableError
from pipeline.engine.cache_follower import CacheFollower
from pipeline.engine.state_cache import StateCache
from tests.conftest import Eventually
from tests.engine.conftest import Arm
from tests.engine.toy import KEYS, Bench, Running, config_for, process, running

GHOST = b"ghost"
NOW_MS = time.time_ns() // 1_000_000


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where workers keep their copies; they follow every commit."""
    monkeypatch.setenv("DRIFTLINE_WORKER__STATE_DIR", str(tmp_path))
    monkeypatch.setattr(state_cache, "EVERY_S", 0.0)
    return tmp_path


def copies(folder: Path, worker: str = "a") -> list[Path]:
    return sorted(folder.glob(f"*driftline-toy/{worker}/*.sqlite"))


def haunt(path: Path, position: Callable[[int], int] = int) -> int:
    """Put the ghost into a copy; returns the position that it had."""
    database = sqlite3.connect(path)
    identity = database.execute("select identity from head").fetchone()[0]
    database.close()
    file = CacheFile(path, identity)
    held = file.head.position
    file.write([(GHOST, b"1")], position(held), NOW_MS)
    file.close()
    return held


def haunted(run: Running) -> list[int]:
    return [partition for partition, task in run.toy.tasks.items() if task.counts[GHOST]]


def work(bench: Bench, eventually: Eventually, n: int = 500) -> Running:
    """Have a worker do some work."""
    bench.send(n)
    with running(config_for(bench.servers, bench.prefix)) as run:
        eventually(bench.complete)
        eventually(lambda: run.status.partitions)
    return run


def test_a_restart_reads_the_copy_and_the_rest(bench: Bench, eventually: Eventually, folder: Path) -> None:
    bench.create()
    work(bench, eventually)
    assert [path.name for path in copies(folder)] == [f"{bench.prefix}toy-changelog-{p}.sqlite" for p in (0, 1)]
    for path in copies(folder):
        haunt(path)
    bench.send(300)
    with running(config_for(bench.servers, bench.prefix, "b")) as elsewhere:  # it has no copy, and writes on
        eventually(bench.complete)
        assert haunted(elsewhere) == []
    run = work(bench, eventually)
    assert haunted(run) == [0, 1]
    bench.check()


def test_a_clean_stop_leaves_almost_nothing_to_read(
    bench: Bench, eventually: Eventually, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_cache, "EVERY_S", 3600.0)
    bench.create(partitions=1)
    work(bench, eventually)
    left = haunt(copies(folder)[0])
    end = Consumer({"bootstrap.servers": bench.servers, "group.id": "-"}).get_watermark_offsets(
        TopicPartition(f"{bench.prefix}toy-changelog", 0), timeout=5
    )[1]
    assert end > 1_000 / KEYS
    assert end - left <= 2 * KEYS  # what the last commit wrote, and its marker


def _no_follower(_: object) -> CacheFollower:
    raise AssertionError


@pytest.mark.parametrize(
    ("position", "age_ms", "reason"),
    [
        (100, 0, None),
        (100, 10**12, None),  # nothing was written since then
        (99, state_cache.MAX_AGE_MS - 1, None),
        (101, 0, "ahead of the changelog"),
        (99, state_cache.MAX_AGE_MS, "too old"),
        (99, -3_600_000, "too old"),  # a clock that went back says nothing about its age
    ],
)
def test_which_copies_can_be_true(tmp_path: Path, position: int, age_ms: int, reason: str | None) -> None:
    file = CacheFile(tmp_path / "0.sqlite", "me")
    file.write([(GHOST, b"1")], position, NOW_MS - age_ms)
    cache = StateCache({0: file}, _no_follower, lambda: NOW_MS)
    if reason is None:
        assert list(cache.load(0, 100)) == [([(GHOST, b"1")], position)]
        assert cache.position(0) == position
    else:
        with pytest.raises(CacheUnusableError, match=reason):
            list(cache.load(0, 100))
        cache.reject(0, reason)
        assert cache.position(0) == 0
    cache.close()


def test_a_copy_that_cannot_be_true_is_thrown_away_and_made_anew(
    bench: Bench, eventually: Eventually, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench.create()
    work(bench, eventually)
    haunt(copies(folder)[0], lambda held: held + 100)
    haunt(copies(folder)[1])
    with caplog.at_level(logging.WARNING, "driftline.engine"):
        assert haunted(work(bench, eventually)) == [1]
    assert [record.message for record in caplog.records if "ahead of the changelog" in record.message]
    haunt(copies(folder)[0])
    assert haunted(work(bench, eventually)) == [0, 1]
    bench.check()


def test_a_damaged_copy_is_thrown_away_in_the_middle_of_reading(
    bench: Bench, eventually: Eventually, folder: Path
) -> None:
    bench.create()
    work(bench, eventually)
    for path in copies(folder):
        haunt(path)
        database = sqlite3.connect(path)
        database.execute("update entries set value = ? where key <> ?", (b"777", GHOST))
        database.commit()
        database.close()
    assert haunted(work(bench, eventually)) == []
    bench.check()


def test_a_topic_that_was_made_anew_is_another_one(bench: Bench, eventually: Eventually, folder: Path) -> None:
    bench.create()
    work(bench, eventually, 100)
    for path in copies(folder):
        haunt(path, lambda _: 0)
    name = f"{bench.prefix}toy-changelog"
    bench.admin.delete_topics([name])[name].result()
    eventually(lambda: name not in bench.admin.list_topics(timeout=5).topics)

    def made() -> bool:
        return bench.admin.create_topics([NewTopic(name, 2, 1)])[name].exception() is None

    eventually(made)
    eventually(lambda: name in bench.admin.list_topics(timeout=5).topics)
    with running(config_for(bench.servers, bench.prefix)) as run:
        eventually(lambda: len(run.status.partitions) == 2)
        assert haunted(run) == []


def test_a_disk_that_fails_costs_the_copy_and_nothing_else(
    bench: Bench,
    eventually: Eventually,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise CacheUnusableError("database or disk is full")

    bench.create()
    monkeypatch.setattr(CacheFile, "write", full)
    with caplog.at_level(logging.WARNING, "driftline.engine"):
        run = work(bench, eventually, 1_000)
    assert run.error is None
    assert len([record for record in caplog.records if "disk is full" in record.message]) == 1
    monkeypatch.undo()
    bench.check()


def test_a_restore_does_not_wait_for_the_disk(bench: Bench, eventually: Eventually, folder: Path) -> None:
    gate = threading.Event()

    def hold(point: str) -> None:
        if point == "before_cache_write":
            gate.wait(60)

    bench.create()
    bench.send(500)
    failpoints.arm(hold)
    try:
        with running(config_for(bench.servers, bench.prefix)):
            eventually(bench.complete)
            assert not gate.is_set()
            gate.set()
    finally:
        failpoints.arm(None)
    bench.check()


def test_a_copy_that_is_half_filled_is_thrown_away(
    bench: Bench,
    eventually: Eventually,
    folder: Path,
    armed: Arm,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench.create()
    work(bench, eventually)
    for path in copies(folder):
        path.unlink()
    monkeypatch.setattr(cache_follower, "CHUNK_BYTES", 0)
    monkeypatch.setattr(changelog, "_BATCH", 5)  # the first write comes long before the end
    armed("after_cache_write=bug@1")
    work(bench, eventually)
    armed("")
    with caplog.at_level(logging.WARNING, "driftline.engine"):
        work(bench, eventually)
    assert [record for record in caplog.records if "it was not finished" in record.message]
    for path in copies(folder):
        haunt(path)
    assert haunted(work(bench, eventually)) == [0, 1]
    bench.check()


def test_a_folder_that_cannot_be_costs_the_copy_and_nothing_else(
    bench: Bench, eventually: Eventually, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "file").write_text("in the way")
    monkeypatch.setenv("DRIFTLINE_WORKER__STATE_DIR", str(folder / "file"))
    bench.create()
    work(bench, eventually)
    bench.check()


@pytest.mark.parametrize("point", ["before_cache_write", "after_cache_write"])
def test_a_kill_beside_a_write(bench: Bench, eventually: Eventually, folder: Path, point: str) -> None:
    bench.create()
    with process(bench, "a", f"{point}=kill@4") as worker:
        while worker.poll() is None:  # each step is news for the copy
            bench.send(100)
            eventually(lambda: worker.poll() is not None or bench.complete())
        assert worker.wait() == -9
    with running(config_for(bench.servers, bench.prefix)):
        eventually(bench.complete)
    bench.check()


def test_partitions_that_come_and_go_find_an_older_copy(bench: Bench, eventually: Eventually, folder: Path) -> None:
    bench.create()
    with running(config_for(bench.servers, bench.prefix, "a")) as stays:
        for _ in range(2):
            bench.send(500)
            with running(config_for(bench.servers, bench.prefix, "b")) as comes:
                eventually(lambda: len(stays.status.partitions) == len(comes.status.partitions) == 1)
                bench.send(500)
                eventually(bench.complete)
            bench.send(500)
            eventually(bench.complete)
    bench.check()
    assert len(copies(folder, "a")) == 2
    assert copies(folder, "b")


def test_aborts_read_the_copy_again(bench: Bench, eventually: Eventually, folder: Path, armed: Arm) -> None:
    armed("; ".join(f"before_commit=retriable@{n}" for n in range(3, 30, 5)))
    bench.create()
    run = work(bench, eventually, 2_000)
    assert run.status.counters.aborts >= 4
    bench.check()


def test_a_slow_disk_holds_nothing_up(
    bench: Bench, eventually: Eventually, folder: Path, armed: Arm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_cache, "_CLOSE_S", 0.1)
    armed("before_cache_write=sleep:2@3")
    bench.create()
    began_s = time.monotonic()
    work(bench, eventually, 1_000)
    assert time.monotonic() - began_s < 10
    bench.check()
