"""Drift against scipy and by simulation of what chance alone does."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2

from pipeline.core.accumulate.bins import Bins
from pipeline.core.events import FeatureColumn, Float64s, Int64s, Task
from pipeline.core.family import Context, Report
from pipeline.core.metrics.drift import (
    MIN_ROWS,
    jensen_shannon_distance,
    population_stability_index,
    psi_by_chance,
    report_drift,
)
from pipeline.core.reference import ReferenceProfile, build_profile

counts = st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=1, max_size=20).filter(
    lambda pairs: all(map(sum, zip(*pairs, strict=True)))
)


def arrays(pairs: list[tuple[int, int]]) -> tuple[Int64s, Int64s]:
    reference, current = np.array(pairs, np.int64).T
    return reference, current


def profile_of(values: Float64s) -> ReferenceProfile:
    return build_profile(
        {"x": FeatureColumn(values)}, model="m", model_version="1", rows=len(values), bins=10, max_categories=10
    )


def report(profile: ReferenceProfile | None, values: Float64s) -> Report:
    state = Bins()
    if profile is not None and len(values):
        feature = profile.features["x"]
        counts = np.bincount(feature.slot(FeatureColumn(values)), minlength=feature.slots)[:-1]
        state = Bins(profile.id, len(values), counts)
    return report_drift(state, Context("m", "1", Task.BINARY, "", 60_000, False, profile, 0.2, 0.1))  # noqa: FBT003 - final


@given(pairs=counts)
@settings(max_examples=100, deadline=None)
def test_jensen_shannon_is_scipys(pairs: list[tuple[int, int]]) -> None:
    reference, current = arrays(pairs)
    expected = float(np.nan_to_num(jensenshannon(reference, current, base=2)))
    assert jensen_shannon_distance(reference, current) == pytest.approx(expected, abs=1e-7)


@given(pairs=counts)
@settings(max_examples=100, deadline=None)
def test_psi_is_the_symmetric_sum_over_smoothed_shares(pairs: list[tuple[int, int]]) -> None:
    reference, current = arrays(pairs)
    psi = population_stability_index(reference, current)
    p, q = ((one + 0.5) / (one + 0.5).sum() for one in (current, reference))
    assert psi == pytest.approx(float(((p - q) * np.log(p / q)).sum()), abs=1e-12)
    assert psi == pytest.approx(population_stability_index(current, reference), abs=1e-12)
    assert psi >= -1e-15


def test_psi_of_large_samples_is_the_textbooks() -> None:
    reference, current = np.array([500_000, 300_000, 200_000]), np.array([400_000, 350_000, 250_000])
    p, q = current / current.sum(), reference / reference.sum()
    assert population_stability_index(reference, current) == pytest.approx(((p - q) * np.log(p / q)).sum(), rel=1e-4)


@pytest.mark.parametrize("slots", [2, 5, 12, 66])
def test_the_bound_of_chance_is_the_chi_squares(slots: int) -> None:
    sample = np.full(slots, 100)
    expected = chi2.ppf(0.999, slots - 1) * 2 / (100 * slots)
    assert psi_by_chance(sample, sample) == pytest.approx(expected, rel=0.04)
    assert psi_by_chance(sample[:1], sample[:1]) == 0.0


def test_rows_like_the_reference_do_not_drift_and_shifted_ones_do() -> None:
    generator = np.random.default_rng(8)
    profile = profile_of(generator.normal(size=1000))
    found = [report(profile, generator.normal(size=MIN_ROWS)).values["drift"]["x"] for _ in range(300)]
    assert max(one["psi"] for one in found) > 0.2  # chance alone passes the threshold at this size,
    assert sum(one["drifted"] for one in found) <= 3  # and is not taken for drift
    shifted = report(profile, generator.normal(1.0, size=MIN_ROWS)).values
    assert shifted["drift"]["x"]["drifted"]
    assert shifted["drift_summary"] == {"features": 1, "drifted_features": 1, "drifted_share": 1.0}


@pytest.mark.parametrize(
    ("reference", "current"),
    [
        ([7.0] * 200, [8.0] * 200),
        ([7.0] * 200, [math.nan] * 200),
        ([math.nan] * 200, [1.0] * 200),
        ([0.0, 1.0] * 100, [1.0] * 200),
        (list(map(float, range(200))), [1e9] * 200),
    ],
    ids=["constant moves", "goes missing", "appears", "one of two", "beyond the range"],
)
def test_degenerate_features_drift_too(reference: list[float], current: list[float]) -> None:
    profile = profile_of(np.array(reference))
    assert report(profile, np.array(current)).values["drift"]["x"]["drifted"]
    still = report(profile, np.array(reference)).values["drift"]["x"]
    assert still == {"psi": 0.0, "js": 0.0, "drifted": False}


def test_nothing_to_compare_gives_nulls_with_reasons() -> None:
    learning = report(None, np.empty(0))
    assert learning.values["drift"] == {}
    assert learning.reasons["drift"] == learning.reasons["drift_summary.drifted_share"] == "reference_learning"
    profile = profile_of(np.arange(100.0))
    few = report(profile, np.arange(MIN_ROWS - 1.0))
    assert few.values["drift"] == {"x": {"psi": None, "js": None, "drifted": None}}
    assert few.reasons["drift.x.psi"] == few.reasons["drift_summary.features"] == "too_few_rows"
    nothing = ReferenceProfile("m", "1", 5, {})
    assert report(nothing, np.empty(0)).reasons["drift"] == "no_features"


def test_counts_of_another_reference_are_not_compared() -> None:
    context = Context("m", "1", Task.BINARY, "", 1, False, profile_of(np.arange(9.0)), 0.2, 0.1)  # noqa: FBT003 - final
    found = report_drift(Bins("else", 500), context)
    assert found.values["drift"] == {"x": {"psi": None, "js": None, "drifted": None}}
    assert found.reasons["drift.x.psi"] == "reference_changed"
