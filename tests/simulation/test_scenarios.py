"""Single faults at chosen moments: what some seed once found, kept whatever seeds come to mean."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.simulation.faults import MEANWHILE
from tests.simulation.shape import draw_shape
from tests.simulation.simulation import Simulation


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("point", ["after_offsets", "in_changelog"])
def test_a_partition_that_is_used_for_the_first_time_during_a_long_restore(point: str, seed: int) -> None:
    """The restore asked for offsets when there were none; the state that it finds afterwards is another worker's."""
    shape = replace(
        draw_shape(seed), workers=1, partitions=1, partial_partitions=1, session_ms=3_000, live_s=6.0, history=True
    )
    simulation = Simulation(seed, shape=shape)
    simulation.faults.plan({(point, 1): "long freeze"})
    simulation.world.at(3.0, simulation.fleet.more)
    assert simulation.run().differences == []


def test_a_restore_that_stands_still_while_another_worker_goes_on() -> None:
    """What it reads after its thaw is newer than the offsets it asked for; the processor must not see that."""
    said: list[str] = []
    for seed in range(12):
        simulation = overtaken(seed, said.append)
        assert simulation.run().differences == []
    assert sum("another worker used these partitions during the restore" in line for line in said) > 3


def overtaken(seed: int, trace: Callable[[str], None]) -> Simulation:
    shape = replace(
        draw_shape(seed), workers=1, partitions=2, session_ms=3_000, live_s=20.0, predictions=60, commit_ms=300
    )
    simulation = Simulation(seed, trace, shape)
    simulation.faults.plan({("after_offsets", number): "long freeze" for number in (3, 4)})
    for moment_s in (6.0, 12.0, 14.0):
        simulation.world.at(moment_s, simulation.cluster.clean)
    simulation.world.at(5.0, simulation.fleet.more)
    return simulation


@pytest.mark.parametrize("action", ["kill", "long freeze", "stop", "rebalance", "retriable"])
def test_a_fault_in_the_rounds_beside_a_slow_transaction(action: str) -> None:
    """What the tasks have done since they handed the transaction over must neither get into it nor be lost."""
    moment = "after_process" + MEANWHILE
    reached = 0
    for seed in range(12):
        simulation = Simulation(seed)
        simulation.faults.plan({("before_commit", 3): "stall", (moment, 2): action})
        assert simulation.run().differences == []
        reached += simulation.faults.taken == {("before_commit", "stall"): 1, (moment, action): 1}
        if reached == 3:
            return
    pytest.fail(f"the moment came {reached} times")
