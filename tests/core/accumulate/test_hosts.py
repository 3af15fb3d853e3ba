"""Readings against plain lists: any cut, any order, the same bits."""

import random
from fractions import Fraction
from typing import Any

import numpy as np
import orjson
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.accumulate.hosts import Readings, fold_resources
from pipeline.core.events import Resources

HOSTS, METRICS = ["a", "b"], ["cpu", "gpu"]
PANE_MS = 10

Row = tuple[int, int, int, float]
rows_of = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 35), st.floats(-1e100, 1e100)), max_size=20
)


def resources(rows: list[Row]) -> Resources:
    return Resources(
        offset=np.arange(len(rows), dtype=np.int64),
        row=np.zeros(len(rows), np.int32),
        timestamp_ms=np.array([row[2] for row in rows], np.int64),
        host=np.array([row[0] for row in rows], np.int32),
        metric=np.array([row[1] for row in rows], np.int32),
        value=np.array([row[3] for row in rows], np.float64),
        hosts=HOSTS,
        metrics=METRICS,
        events=len(rows),
    )


def fold(rows: list[Row]) -> dict[Any, Readings]:
    return fold_resources(resources(rows), np.arange(len(rows), dtype=np.int32), PANE_MS)


def by_loops(rows: list[Row]) -> dict[Any, dict[str, float]]:
    cells: dict[Any, list[tuple[int, float]]] = {}
    for host, metric, time_ms, value in rows:
        cells.setdefault((HOSTS[host], METRICS[metric], time_ms // PANE_MS * PANE_MS), []).append((time_ms, value))
    return {
        key: {
            "mean": float(sum(Fraction(value) for _, value in cell) / len(cell)),
            "min": min(value for _, value in cell),
            "max": max(value for _, value in cell),
            "last": max(cell)[1],
        }
        for key, cell in cells.items()
    }


@given(rows_of)
def test_a_pane_tells_mean_least_greatest_and_last(rows: list[Row]) -> None:
    assert {key: state.report() for key, state in fold(rows).items()} == by_loops(rows)


@given(rows_of, st.randoms(use_true_random=False), st.integers(0, 20))
def test_any_cut_in_any_order_gives_the_same_bits(rows: list[Row], rng: random.Random, cut: int) -> None:
    shuffled = rng.sample(rows, len(rows))
    merged: dict[Any, Readings] = {}
    for part in (shuffled[:cut], shuffled[cut:]):
        for key, state in fold(part).items():
            again = Readings.from_wire(orjson.loads(orjson.dumps(state.to_wire())))
            if key in merged:
                merged[key].merge(again)
            else:
                merged[key] = again
    assert {key: state.to_wire() for key, state in merged.items()} == {
        key: s.to_wire() for key, s in fold(rows).items()
    }


def test_only_the_chosen_rows_count() -> None:
    readings = resources([(0, 0, 1, 5.0), (0, 0, 2, 7.0), (1, 0, 3, 9.0)])
    folded = fold_resources(readings, np.array([0, 2], np.int32), PANE_MS)
    assert {key: state.report()["mean"] for key, state in folded.items()} == {
        ("a", "cpu", 0): 5.0,
        ("b", "cpu", 0): 9.0,
    }
    assert fold_resources(readings, np.zeros(0, np.int32), PANE_MS) == {}


def test_two_last_readings_of_one_moment_do_not_depend_on_their_order() -> None:
    assert fold([(0, 0, 5, 1.0), (0, 0, 5, 2.0)])["a", "cpu", 0].report()["last"] == 2.0
    assert fold([(0, 0, 5, 2.0), (0, 0, 5, 1.0)])["a", "cpu", 0].report()["last"] == 2.0
