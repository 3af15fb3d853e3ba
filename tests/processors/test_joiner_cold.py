"""The joiner where memory has no room for the open predictions."""

import gc
import random
import weakref
from dataclasses import replace
from typing import Any

import pytest

from pipeline.core.events import OutputRecord
from pipeline.processors.joiner import Joiner
from pipeline.processors.joiner_config import joiner_settings
from pipeline.processors.references import ReferenceBook
from tests.cold_blocks import MemoryBlocks
from tests.processors.joiner_bench import Bench, cells


class ColdBench(Bench):
    """Every batch finds its rows outside of memory."""

    def __init__(self) -> None:
        super().__init__()
        settings = joiner_settings(self.config)
        limits = replace(settings.limits, memory_bytes=0)
        self.joiner = Joiner(replace(settings, limits=limits), ReferenceBook(None), MemoryBlocks)
        self.task = self.make()


@pytest.mark.parametrize("seed", range(3))
def test_it_sends_what_it_sends_with_all_rows_in_memory(seed: int) -> None:
    rng = random.Random(seed)
    benches: list[Bench] = [Bench(), ColdBench()]
    outputs: list[list[OutputRecord]] = [[], []]
    for step in range(60):
        predicted = [step + rng.randrange(100) / 100 for _ in range(rng.randrange(8))]
        labelled = [max(0.0, step - rng.choice([-3, 0, 1, 5, 15]) + rng.randrange(100) / 100) for _ in range(6)]
        value, crash = rng.choice(["yes", "no"]), rng.random() < 0.1
        for bench, found in zip(benches, outputs, strict=True):
            bench.predict(*predicted)
            bench.label(*labelled, label=value)
            if step % 3 == 0:
                found.extend(bench.flush())
                if crash:
                    bench.crash()
    assert benches[1].task.stats()["open_rows_on_disk"] > 0
    ends: list[Any] = []
    for bench, found in zip(benches, outputs, strict=True):
        bench.predict(1_000)
        bench.label(1_000)
        found.extend(bench.flush())
        ends.append(sums(found))
    assert ends[0] == ends[1]
    assert {name for counts in ends[0].values() for name in counts} >= {"labelled", "duplicates", "unmatched_labels"}


def sums(outputs: list[OutputRecord]) -> dict[Any, dict[str, int]]:
    """The counts of each cell over all flushes."""
    found: dict[Any, dict[str, int]] = {}
    for record in outputs:
        for place, families in cells([record]).items():
            counts = found.setdefault(place, {})
            for name, count in families.get("counts", {}).items():
                counts[name] = counts.get(name, 0) + count
    return {place: {name: count for name, count in counts.items() if count} for place, counts in found.items()}


def test_more_rows_than_memory_holds_come_back_part_by_part() -> None:
    bench = ColdBench()
    for start in range(0, 3_000, 500):
        bench.predict(*[(start + number) / 1_000 for number in range(500)])
        bench.flush()
    bench.crash()
    assert bench.task.stats()["open_rows_on_disk"] > 2_000
    bench.flush()
    assert bench.task.stats()["open_rows"] == 3_000
    bench.label(*[number / 1_000 for number in range(3_000)])
    found = sums(bench.flush())
    assert sum(counts.get("labelled", 0) for counts in found.values()) == 3_000


def test_a_task_that_is_given_up_frees_its_rows_at_once() -> None:
    """Whatever a rebalance takes away must not stay in memory or on disk until Python looks for cycles."""
    bench = ColdBench()
    bench.predict(*range(10))
    bench.label(*range(5))
    bench.flush()
    store = weakref.ref(bench.task._store)
    gc.disable()
    try:
        del bench.task
        assert store() is None
    finally:
        gc.enable()
