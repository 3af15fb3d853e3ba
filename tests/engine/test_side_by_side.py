"""Partitions are restored side by side: each in its order, no two batches of one at a time, no failure is lost."""

import threading

import pytest

from pipeline.engine.changelog import Entry
from pipeline.engine.outside import REAL
from pipeline.engine.side_by_side import SideBySide

BATCHES: list[list[Entry]] = [[(b"%d" % n, None)] for n in range(50)]


def test_each_partition_takes_its_batches_in_order() -> None:
    taken: dict[int, list[list[Entry]]] = {0: [], 1: [], 2: []}
    with SideBySide("toy", REAL) as builders:
        for batch in BATCHES:
            for partition, list_ in taken.items():
                builders.give(partition, list_.append, batch)
    assert taken == dict.fromkeys(taken, BATCHES)


def test_partitions_do_not_wait_for_each_other() -> None:
    both = threading.Barrier(2, timeout=10)
    with SideBySide("toy", REAL) as builders:
        for partition in (0, 1):
            builders.give(partition, lambda _: both.wait(), [])
    assert not both.broken


def test_a_batch_waits_for_the_one_before() -> None:
    under_way = threading.Lock()

    def take(_entries: list[Entry]) -> None:
        assert under_way.acquire(blocking=False)
        under_way.release()

    with SideBySide("toy", REAL) as builders:
        for batch in BATCHES:
            builders.give(0, take, batch)


@pytest.mark.parametrize("others_fail", [False, True])
def test_what_fails_is_raised_when_all_have_ended(*, others_fail: bool) -> None:
    gate, ended = threading.Event(), threading.Event()

    def fail(_entries: list[Entry]) -> None:
        raise ValueError("broken")

    def slow(_entries: list[Entry]) -> None:
        gate.wait(10)
        ended.set()
        if others_fail:
            raise ValueError("broken")

    def run() -> None:
        with SideBySide("toy", REAL) as builders:
            builders.give(0, fail, [])
            builders.give(1, slow, [])
            gate.set()

    with pytest.raises(ValueError, match="broken"):
        run()
    assert ended.is_set()


def test_what_fails_is_raised_with_the_next_batch() -> None:
    def fail(_entries: list[Entry]) -> None:
        raise ValueError("broken")

    with SideBySide("toy", REAL) as builders:
        builders.give(0, fail, [])
        with pytest.raises(ValueError, match="broken"):
            builders.wait(0)
