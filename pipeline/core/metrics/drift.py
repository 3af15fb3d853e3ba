"""The drift sections of a window: how far each feature's counts are from its reference's.

Both methods compare shares over the reference's slots, ``missing`` among them; slots empty on both sides say nothing
and are left out.

- ``psi``, the population stability index, sum of (p - q) ln(p / q). Half a row is added to each slot on both sides
  (the prior of Jeffreys 1946 for shares), so an empty slot gives a finite value that shrinks with the sample, not one
  that depends on an arbitrary small constant.
- ``js``, the Jensen-Shannon distance: the root of the divergence in bits, from 0 to 1, on the plain shares.

Without any drift both are above zero by chance, the more so the fewer rows: psi follows about
(1/n + 1/m) times a chi-square with slots - 1 degrees of freedom (Yurdakul 2018, "Statistical Properties of Population
Stability Index"), and js squared times 8 ln 2 about the same. A feature counts as ``drifted`` when a method reaches its
configured threshold *and* exceeds what chance gives once in a thousand windows.
"""

import math

import numpy as np

from pipeline.core.accumulate.bins import Bins
from pipeline.core.events import Int64s, Json
from pipeline.core.family import Context, Report
from pipeline.core.reference import FeatureProfile

MIN_ROWS = 100
"""The fewest rows that are compared: with ten bins, chance alone gives a psi of about 0.1 there."""

_CHANCE_Z = 3.0902
"""The normal deviate that is exceeded once in a thousand times."""

_SUMMARY = ("features", "drifted_features", "drifted_share")


def report_drift(state: Bins, context: Context) -> Report:
    """Report each feature's distance from its reference.

    Args:
        state: the slots of the window.
        context: the reference and the thresholds.

    Returns:
        The sections ``drift`` and ``drift_summary``.
    """
    profile = context.reference
    if profile is None:
        return _without("reference_learning")
    if not profile.features:
        return _without("no_features")
    if not state.is_zero() and state.reference != profile.id:
        return _without("reference_changed", sorted(profile.features))
    if state.rows < MIN_ROWS:
        return _without("too_few_rows", sorted(profile.features))
    section = {
        name: _compare(feature, state.slots(profile, name), context)
        for name, feature in sorted(profile.features.items())
    }
    drifted = sum(one["drifted"] for one in section.values())
    summary = {"features": len(section), "drifted_features": drifted, "drifted_share": drifted / len(section)}
    return Report({"drift": section, "drift_summary": summary})


def _without(code: str, features: list[str] | None = None) -> Report:
    """Nothing to compare: every number is None, for one reason."""
    methods = ("psi", "js", "drifted")
    section = {name: dict.fromkeys(methods) for name in features or ()}
    reasons = {f"drift_summary.{name}": code for name in _SUMMARY}
    reasons |= {f"drift.{name}.{method}": code for name in section for method in methods}
    if not section:
        reasons["drift"] = code
    return Report({"drift": section, "drift_summary": dict.fromkeys(_SUMMARY)}, reasons)


def _compare(feature: FeatureProfile, counts: Int64s, context: Context) -> dict[str, Json]:
    reference = np.array(feature.counts, np.int64)
    used = (reference + counts) > 0
    reference, counts = reference[used], counts[used]
    psi = population_stability_index(reference, counts)
    js = jensen_shannon_distance(reference, counts)
    chance = psi_by_chance(reference, counts)
    js_by_chance = math.sqrt(chance / (8 * math.log(2)))
    by_psi = psi >= context.psi_threshold and psi > chance
    by_js = js >= context.js_threshold and js > js_by_chance
    return {"psi": psi, "js": js, "drifted": by_psi or by_js}


def population_stability_index(reference: Int64s, counts: Int64s) -> float:
    """The population stability index of two samples over the same slots, half a row added to each slot.

    Args:
        reference: int64[s], rows a slot.
        counts: int64[s], rows a slot.

    Returns:
        0 for equal shares, rising without bound.
    """
    p = (counts + 0.5) / (counts.sum() + 0.5 * len(counts))
    q = (reference + 0.5) / (reference.sum() + 0.5 * len(reference))
    return math.fsum((a - b) * math.log(a / b) for a, b in zip(p.tolist(), q.tolist(), strict=True))


def jensen_shannon_distance(reference: Int64s, counts: Int64s) -> float:
    """The Jensen-Shannon distance of two samples over the same slots, to base 2.

    Args:
        reference: int64[s], rows a slot, at least one row.
        counts: int64[s], rows a slot, at least one row.

    Returns:
        From 0 for equal shares to 1 for nothing in common.
    """
    p = counts / counts.sum()
    q = reference / reference.sum()
    middle = (p + q) / 2
    parts = [
        share * math.log2(share / mid) for side in (p, q) for share, mid in zip(side, middle, strict=True) if share
    ]
    # Rounding can leave the sum a hair outside 0 to 2.
    return math.sqrt(min(max(math.fsum(parts), 0.0) / 2, 1.0))


def psi_by_chance(reference: Int64s, counts: Int64s) -> float:
    """The population stability index that two samples of one source exceed about once in a thousand times.

    Args:
        reference: int64[s], rows a slot, at least one row.
        counts: int64[s], rows a slot, at least one row.

    Returns:
        The bound; the chi-square quantile in it is the approximation of Wilson and Hilferty (1931).
    """
    freedom = len(counts) - 1
    if not freedom:
        return 0.0
    ninth = 2 / (9 * freedom)
    quantile = freedom * (1 - ninth + _CHANCE_Z * math.sqrt(ninth)) ** 3
    return float(quantile * (1 / counts.sum() + 1 / reference.sum()))
