"""Single faults at chosen moments: what some seed once found, kept whatever seeds come to mean."""

from dataclasses import replace

import pytest

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
