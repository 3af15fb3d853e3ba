"""The guard against losing speed: what counts as lost."""

import json

import pytest

from bench.check import ALLOWED_FALL, BASELINE, fallen, ratios_of
from bench.run import FLOOR, JOB, Run


def run(what: str, events_per_s: float, cpu_us: float, layout: str = "single") -> Run:
    return Run(what, layout, 1_000_000, 1_000_000 / events_per_s, cpu_us)


def test_a_ratio_is_that_of_the_medians_and_larger_is_better() -> None:
    runs = [run(FLOOR, 800_000, 1.5), run(JOB, 400_000, 2.0)]
    runs += [run(FLOOR, 600_000, 1.5), run(JOB, 100_000, 9.0)]  # a bad minute
    runs += [run(FLOOR, 1_000_000, 1.5), run(JOB, 500_000, 2.0)]
    assert ratios_of(runs) == pytest.approx({"single.rate": 0.5, "single.cpu": 0.75})


def test_layouts_have_ratios_of_their_own() -> None:
    runs = [run(what, 1_000, 1.0, layout) for layout in ("single", "columns") for what in (FLOOR, JOB)]
    assert set(ratios_of(runs)) == {"single.rate", "single.cpu", "columns.rate", "columns.cpu"}


@pytest.mark.parametrize(("now", "has_fallen"), [(0.50, False), (0.43, False), (0.42, True), (0.60, False)])
def test_more_than_the_allowed_fall_is_a_failure(now: float, has_fallen: bool) -> None:  # noqa: FBT001 - a parameter
    assert pytest.approx(0.15) == ALLOWED_FALL
    assert fallen({"single.rate": now}, {"single.rate": 0.5}) == (["single.rate"] if has_fallen else [])


def test_what_was_not_measured_has_fallen() -> None:
    assert fallen({}, {"columns.cpu": 0.2}) == ["columns.cpu"]


def test_the_kept_baseline_covers_both_layouts() -> None:
    kept = json.loads(BASELINE.read_text())["ratios"]
    assert set(kept) == {"single.rate", "single.cpu", "columns.rate", "columns.cpu"}
    assert all(0 < value < 2 for value in kept.values())
