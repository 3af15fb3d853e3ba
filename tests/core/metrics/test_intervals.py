"""Intervals against scipy's, against gradients by differences, and by simulation of how often they hold."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from pipeline.core.accumulate.confusion import Confusion
from pipeline.core.events import Task
from pipeline.core.family import Context
from pipeline.core.metrics import agreement, class_ratios
from pipeline.core.metrics.class_ratios import F1, PRECISION, RECALL, ClassRatio, f_beta
from pipeline.core.metrics.class_table import ClassTable, Gradient, class_table, standard_error
from pipeline.core.metrics.classes import report_classes
from pipeline.core.metrics.intervals import (
    f1_interval,
    mean_interval,
    normal_deviate,
    normal_interval,
    wilson_interval,
)

Z = normal_deviate(0.95)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.999])
def test_the_deviate_is_the_normal_quantile(level: float) -> None:
    assert normal_deviate(level) == pytest.approx(norm.ppf((1 + level) / 2), rel=1e-12)


@given(trials=st.integers(1, 10_000), data=st.data(), level=st.sampled_from([0.8, 0.95, 0.99]))
@settings(max_examples=60, deadline=None)
def test_wilson_is_scipys(trials: int, data: st.DataObject, level: float) -> None:
    hits = data.draw(st.integers(0, trials) | st.sampled_from([0, trials]))
    expected = binomtest(hits, trials).proportion_ci(level, method="wilson")
    found = wilson_interval(hits, trials, normal_deviate(level))
    assert found == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-12)
    assert 0 <= found[0] <= hits / trials <= found[1] <= 1


def test_one_proportion_is_its_own_mean() -> None:
    assert mean_interval([(3, 10)], Z) == pytest.approx(wilson_interval(3, 10, Z), rel=1e-12)


def test_an_error_that_is_rounding_alone_gives_no_interval() -> None:
    assert normal_interval(0.5, 1e-17, Z) is None
    assert normal_interval(0.0, 0.0, Z) is None
    assert normal_interval(0.0, 0.1, 2.0, -0.1) == (-0.1, 0.2)


def table_of(counts: dict[tuple[str, str], int]) -> ClassTable:
    state = Confusion()
    state.counts = dict(counts)
    return class_table(state)


def test_a_table_is_in_the_order_of_names() -> None:
    table = table_of({("b", "a"): 2, ("a", "a"): 3, ("c", "b"): 1})
    assert table.names == ("a", "b", "c")
    assert (table.hits, table.predicted, table.support, table.total) == ((3, 0, 0), (3, 2, 1), (5, 1, 0), 6)


Valued = Callable[[ClassTable], float | None]


def _average(ratio: ClassRatio, kind: str) -> tuple[Valued, Callable[[ClassTable], Gradient]]:
    if kind == "macro":
        return (
            lambda table: class_ratios.macro_average(class_ratios.class_values(ratio, table)),
            lambda table: class_ratios.macro_gradient(ratio, table),
        )
    return (
        lambda table: class_ratios.weighted_average(class_ratios.class_values(ratio, table), table),
        lambda table: class_ratios.weighted_gradient(ratio, table),
    )


def _coefficient(of: Callable[[ClassTable], agreement.Agreement | None]) -> tuple[Valued, Callable[..., Gradient]]:
    def found(table: ClassTable) -> agreement.Agreement:
        one = of(table)
        assert one is not None
        return one

    return lambda table: found(table).value, lambda table: found(table).gradient


COUNTS = {("a", "a"): 40, ("a", "b"): 7, ("b", "b"): 25, ("b", "c"): 11, ("c", "a"): 3, ("c", "c"): 60, ("d", "a"): 9}
DELTA: dict[str, tuple[Valued, Callable[[ClassTable], Gradient]]] = {
    "mcc": _coefficient(agreement.matthews_correlation),
    "cohen_kappa": _coefficient(agreement.cohen_kappa),
    "f2 of a class": (
        lambda table: class_ratios.class_values(f_beta(2), table)[1],
        lambda table: class_ratios.class_gradient(f_beta(2), table, 1),
    ),
    **{
        f"{ratio.name}_{kind}": _average(ratio, kind)
        for ratio in (PRECISION, RECALL, F1, f_beta(0.5))
        for kind in ("macro", "weighted")
    },
}


@pytest.mark.parametrize("name", DELTA)
def test_the_delta_methods_variance_is_that_of_differences(name: str) -> None:
    value, gradient = DELTA[name]
    many = {outcome: count * 10_000 for outcome, count in COUNTS.items()}
    variance, drift = 0.0, 0.0
    for outcome, count in many.items():
        up, down = (value(table_of({**many, outcome: count + step})) for step in (50, -50))
        assert up is not None
        assert down is not None
        slope = (up - down) / 100
        variance += count * slope * slope
        drift += count * slope
    assert drift == pytest.approx(0.0, abs=1e-6)  # nothing changes when all counts double
    table = table_of(many)
    assert standard_error(table, gradient(table)) == pytest.approx(math.sqrt(variance), rel=1e-5)


def test_kappas_error_is_that_of_fleiss_cohen_everitt() -> None:
    shares = np.array([[75, 1, 4], [5, 4, 1], [0, 0, 10]]) / 100
    table = table_of({("abc"[i], "abc"[j]): int(n) for (i, j), n in np.ndenumerate(shares * 100) if n})
    found = agreement.cohen_kappa(table)
    assert found is not None
    guess, truth, kappa = shares.sum(axis=1), shares.sum(axis=0), found.value
    chance = guess @ truth
    right = sum(shares[i, i] * (1 - (guess[i] + truth[i]) * (1 - kappa)) ** 2 for i in range(3))
    wrong = sum(shares[i, j] * (truth[i] + guess[j]) ** 2 for i in range(3) for j in range(3) if i != j)
    variance = right + (1 - kappa) ** 2 * wrong - (kappa - chance * (1 - kappa)) ** 2
    error = math.sqrt(variance / 100) / (1 - chance)
    assert standard_error(table, found.gradient) == pytest.approx(error, rel=1e-12)


def test_intervals_hold_about_as_often_as_they_say() -> None:
    generator = np.random.default_rng(11)
    outcomes = list(COUNTS)
    shares = np.array(list(COUNTS.values())) / sum(COUNTS.values())
    context = Context("m", "1", Task.MULTICLASS, "", 1, False, None, 0.2, 0.1)  # noqa: FBT003 - final
    state = Confusion()
    state.counts = dict(COUNTS)
    true = report_classes(state, context).values["quality"]
    held = dict.fromkeys(true["intervals"], 0)
    rounds = 400
    for drawn in generator.multinomial(300, shares, rounds).tolist():
        state.counts = {outcome: count for outcome, count in zip(outcomes, drawn, strict=True) if count}
        quality = report_classes(state, context).values["quality"]
        for name, interval in quality["intervals"].items():
            held[name] += interval["low"] <= true[name] <= interval["high"]
    assert set(held) >= {"accuracy", "balanced_accuracy", "f1_macro", "f1_weighted", "mcc", "cohen_kappa"}
    # Four standard errors of 400 rounds around 0.95 reach from 0.906 to 0.994; Wilson's err to the safe side.
    assert {name: count for name, count in held.items() if not 0.906 < count / rounds <= 1} == {}


def test_f1_of_few_rows_has_an_honest_interval() -> None:
    generator = np.random.default_rng(4)
    shares = [0.12, 0.03, 0.05, 0.8]  # found, missed, false alarms, rightly left out
    true = 2 * 0.12 / (2 * 0.12 + 0.08)
    held = rounds = 0
    for found, missed, false, _ in generator.multinomial(40, shares, 2_000).tolist():
        if found + missed + false:
            low, high = f1_interval(found, found + false, found + missed, Z)
            held += low <= true <= high
            rounds += 1
    assert 0.93 < held / rounds < 0.98
    assert f1_interval(3, 3, 3, Z)[0] < 0.7
    assert f1_interval(3, 3, 3, Z)[1] == 1.0
    assert f1_interval(0, 3, 3, Z)[0] == 0.0
