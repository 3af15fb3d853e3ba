"""Exactly once whatever happens: the committed output equals the truth, see ``tests.engine.toy``."""

import signal

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from tests.conftest import Eventually
from tests.engine.conftest import Arm
from tests.engine.toy import KEYS, Bench, config_for, is_stopped, process, running


def test_kills_in_mid_stream(bench: Bench, eventually: Eventually) -> None:
    bench.create()
    for _ in range(3):
        bench.send(2000)
        enough = bench.committed() + 200
        with process(bench, "a"):
            while bench.committed() < enough:  # pytest's timeout is the deadline
                pass
    with running(config_for(bench.servers, bench.prefix)):
        eventually(bench.complete)
    bench.check()


def test_one_runner_two_and_one_again(bench: Bench, eventually: Eventually) -> None:
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


def test_an_aborted_transaction_is_done_again(bench: Bench, eventually: Eventually, armed: Arm) -> None:
    armed("before_commit=retriable@2; before_commit=retriable@5")
    bench.create()
    bench.send(2000)
    with running(config_for(bench.servers, bench.prefix)) as run:
        eventually(bench.complete)
        assert run.status.counters.aborts == 2
        assert run.status.counters.rejoins == 0
        assert "failpoint" in str(run.status.last_error)
    bench.check()


@pytest.mark.parametrize("point", ["before_send_offsets", "before_commit"])
def test_a_zombie_writes_nothing_more(bench: Bench, eventually: Eventually, point: str) -> None:
    bench.create()
    bench.send(3000)
    with process(bench, "zombie", f"{point}=stop@3") as zombie:  # in mid-stream
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


def test_a_rebalance_waits_no_longer_than_allowed_for_a_commit_that_hangs(bench: Bench, eventually: Eventually) -> None:
    bench.create()
    bench.send(3000)
    # Far longer than anybody here waits; the thread that writes sleeps, the rounds go on.
    with process(bench, "slow", "before_commit=sleep:600@3", revoke_timeout="300ms", session_timeout="6s") as slow:
        eventually(lambda: bench.committed() >= 100)
        with running(config_for(bench.servers, bench.prefix, "b")) as second:
            eventually(lambda: len(second.status.partitions) == 1)  # the other one is the slow worker's again
            bench.send(500)
            eventually(bench.complete)
            assert slow.poll() is None
    bench.check()


def test_a_commit_that_was_under_way_at_the_takeover_is_restored(bench: Bench, eventually: Eventually) -> None:
    """The stopped owner has sent its offsets in time, so its commit is valid and the heir must wait for it.

    Its records are still in its queue: an heir that read the changelog before it asked for the offsets would miss them.
    """
    bench.create(partitions=1)
    bench.send(3000)
    with process(bench, "late", "before_commit=stop@3", **{"transaction_timeout": "30s", "linger.ms": 5_000}) as late:
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
                ).committed([TopicPartition(f"{bench.prefix}left", 0)], timeout=1.0)
            assert heir.status.state == "restoring"
            late.send_signal(signal.SIGCONT)
            eventually(lambda: bench.committed() > before)
            eventually(bench.complete)
    bench.check()


def test_a_restore_passes_aborted_records_and_markers(bench: Bench, eventually: Eventually) -> None:
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


def test_state_without_offsets_is_refused(bench: Bench, eventually: Eventually) -> None:
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


def test_two_workers_of_one_name_end_in_a_clear_error(bench: Bench, eventually: Eventually) -> None:
    bench.create()
    bench.send(100)
    config = config_for(bench.servers, bench.prefix)
    with running(config) as one, running(config) as two:
        eventually(lambda: not (one.thread.is_alive() and two.thread.is_alive()), 40)
        bench.send(100)
        eventually(bench.complete)
    assert any("share the name" in str(run.error) for run in (one, two))
    bench.check()
