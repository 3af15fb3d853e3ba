"""The plan of a deployment: it adds up, and what it names is enough."""

import pytest

from pipeline.core.plan import PLANNED_LOAD, Demand, make_plan, plan_lines

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@pytest.mark.parametrize("layout", ["single", "columns"])
@pytest.mark.parametrize("rate", [1.0, 5_000.0, 20_000.0, 1_000_000.0])
@pytest.mark.parametrize("horizon_ms", [HOUR_MS, 3 * DAY_MS])
def test_what_it_names_is_enough(layout: str, rate: float, horizon_ms: int) -> None:
    plan = make_plan(Demand(rate, horizon_ms, 50, 2, layout), 1_024)  # type: ignore[arg-type] # a parameter is a text
    assert plan.workers * PLANNED_LOAD >= plan.cores == pytest.approx(rate * plan.pair_us / 1e6)
    assert plan.partitions >= 2 * plan.workers
    assert plan.state.memory_full_after_ms is None
    assert plan.state.open_rows >= rate * horizon_ms / 1_000


def test_more_of_anything_costs_more() -> None:
    least = make_plan(Demand(20_000, HOUR_MS, 5, 0, "columns"), 1_024)
    for features, segments in ((50, 0), (5, 2)):
        more = make_plan(Demand(20_000, HOUR_MS, features, segments, "columns"), 1_024)
        assert more.pair_us > least.pair_us
    assert make_plan(Demand(20_000, HOUR_MS, 5, 0, "single"), 1_024).pair_us > least.pair_us
    assert make_plan(Demand(20_000, 30 * DAY_MS, 5, 0, "columns"), 1_024).workers > least.workers


def test_it_is_told_in_words() -> None:
    lines = list(plan_lines(Demand(20_000, 3 * DAY_MS, 50, 0, "columns"), 1_024))
    assert lines[0].startswith("20,000 predictions/s and as many labels within 3d, 50 features, 0 segments, records of")
    named = {line.split("  ")[1].strip() for line in lines[1:-1] if not line.startswith("    ")}
    assert named == {"CPU", "workers", "partitions", "memory", "worker disk", "open rows", "Kafka, in", "Kafka, disk"}
