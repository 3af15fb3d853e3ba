"""Rows that wait for their reference: what is learned from them, when they are counted, and when they are given up."""

import random
from typing import Any

import numpy as np
import orjson
import pytest

from pipeline.core.events import FeatureColumn
from pipeline.core.reference import ReferenceProfile, build_profile
from tests.processors.joiner_bench import HORIZON, Bench, S, cells, prediction, total, values


def featured(count: int, first: int = 0, **more: Any) -> list[dict[str, Any]]:
    rng = random.Random(first)
    return [
        prediction(1 + (first + number) / 1_000, features={"x": rng.gauss(0, 1), f"only-{number}": 1.0}, **more)
        for number in range(count)
    ]


def learned(bench: Bench, steps: list[int], crash_after: int | None = None) -> list[bytes | None]:
    """Send 60 rows in steps, commit after each; crash once before a commit, and read again what was not committed."""
    rows, place, outputs = featured(60), 0, []
    for number, step in enumerate(steps):
        if number == crash_after:
            bench.send("predictions", *rows[place : place + step])
            bench.offsets["predictions"] -= len(rows[place : place + step])
            bench.crash()
        bench.send("predictions", *rows[place : place + step])
        place += step
        outputs += bench.flush()
    return [record.value for record in outputs if record.topic == "references"]


@pytest.mark.parametrize("steps", [[60], [1] * 60, [19, 1, 40], [19, 2, 39], [7] * 9, [30, 30]])
@pytest.mark.parametrize("crash_after", [None, 0, 1])
def test_the_reference_is_that_of_the_first_rows_however_they_are_read(
    steps: list[int], crash_after: int | None
) -> None:
    expected = learned(Bench(), [20])
    assert len(expected) == 1
    assert learned(Bench(), steps, crash_after) == expected
    profile = ReferenceProfile.from_json(orjson.loads(expected[0] or b""))
    assert profile.rows == 20
    assert set(profile.features) == {"x", *(f"only-{number}" for number in range(20))}


def test_a_small_buffer_still_learns_from_the_first_rows() -> None:
    small = {"max_buffered_feature_rows": 25}
    assert learned(Bench(joiner=small), [60]) == learned(Bench(joiner=small), [10] * 6) == learned(Bench(), [20])


def test_only_one_partition_learns() -> None:
    bench = Bench(partition=1)
    bench.send("predictions", *featured(60))
    assert values(bench.flush(), "references") == []


def test_a_version_that_changes_its_task_learns_once() -> None:
    bench = Bench()
    bench.send("predictions", *featured(30), *featured(30, first=40, task="regression", prediction=1.5))
    assert len(values(bench.flush(), "references")) == 1


def kinds(outputs: list[Any]) -> list[str]:
    found = []
    for record in values(outputs, "partials"):
        has_bins = record["kind"] == "cells" and any("bins" in cell[4] for cell in record["cells"])
        found.append("bins" if has_bins else record["kind"])
    return found


@pytest.mark.parametrize("crash", [False, True])
def test_rows_wait_for_their_reference_and_the_monitor_hears_of_it_first(crash: bool) -> None:  # noqa: FBT001 - two cases
    bench = Bench()
    bench.send("predictions", *featured(20))
    first = bench.flush()
    assert "bins" not in kinds(first)
    assert "reference" not in kinds(first)
    bench.teach(first)
    if crash:
        bench.crash()
    bench.send("predictions", *featured(3, first=30))
    second = bench.flush()
    assert kinds(second)[:2] == ["reference", "bins"]
    assert sum(one["bins"][1] for one in cells(second).values()) == 23
    assert total(second, "predictions") == 3
    bench.crash()
    bench.send("predictions", *featured(3, first=40))
    assert "reference" not in kinds(bench.flush())  # told once


def given(model_version: str = "*") -> dict[Any, ReferenceProfile]:
    column = {"x": FeatureColumn(np.linspace(-3, 3, 50))}
    return {
        ("m", model_version): build_profile(column, model="m", model_version="*", rows=50, bins=5, max_categories=3)
    }


def test_a_given_reference_needs_no_learning() -> None:
    bench = Bench(references=given())
    bench.send("predictions", *featured(30))
    outputs = bench.flush()
    assert kinds(outputs)[:2] == ["reference", "bins"]
    assert values(outputs, "references") == []
    assert bench.task.stats()["waiting_rows"] == 0


@pytest.mark.parametrize("crash", [False, True])
def test_rows_are_told_as_unbinned_until_they_are_in_their_bins(*, crash: bool) -> None:
    bench = Bench()
    bench.send("predictions", *featured(22))
    first = bench.flush()
    assert total(first, "unbinned") == 22
    bench.teach(first)
    if crash:
        bench.crash()
    bench.send("predictions", *featured(3, first=30))
    second = bench.flush()
    assert sum(one["bins"][1] for one in cells(second).values()) == 25
    assert total(second, "unbinned") == -22


def test_rows_beyond_the_buffer_stay_unbinned() -> None:
    bench = Bench(joiner={"max_buffered_feature_rows": 25})
    bench.send("predictions", *featured(60))
    first = bench.flush()
    assert total(first, "unbinned") == 60
    assert bench.task.stats()["waiting_rows"] == 25
    bench.teach(first)
    assert total(bench.flush(), "unbinned") == -25


def test_rows_whose_windows_are_final_fold_into_nothing() -> None:
    """The reference comes long after its rows: their tumbling windows have ended, and nothing may reach the monitor.

    ::

        0    1 row ... 2                      the 2s window ends, long before the 8s window that began at 0
        |----|----|----|----|  8s
    """
    bench = Bench(sizes=("2s", "8s"))
    bench.send("predictions", *featured(19))
    bench.flush()
    bench.predict(7.5 + HORIZON / S)
    bench.label(9.5 + HORIZON / S)  # final up to 7.5: the 2s window of the rows is over, the 8s window is not
    bench.flush()
    bench.send("predictions", *featured(1, first=25_500 - 1_000))
    outputs = bench.flush()
    assert len(values(outputs, "references")) == 1
    bench.teach(outputs)
    last = bench.flush()
    assert sum(one["bins"][1] for one in cells(last).values() if "bins" in one) == 20
    assert total(last, "unbinned") == -20
    other = Bench(sizes=("2s", "8s"))
    other.send("predictions", *featured(19))
    other.flush()
    other.predict(12 + HORIZON / S)
    other.label(12 + HORIZON / S)  # final up to 10: both are over
    other.flush()
    other.send("predictions", *featured(1, first=30_000))
    outputs = other.flush()
    other.teach(outputs)
    last = other.flush()
    assert sum(one["bins"][1] for one in cells(last).values() if "bins" in one) == 1
    assert total(last, "unbinned") == -1  # the others' windows are final without them, and say so


def test_a_foreign_record_among_the_references_is_passed_over() -> None:
    bench = Bench()
    bench.joiner.on_table("references", b"x", b"{}")
    bench.joiner.on_table("references", b"x", None)
    assert bench.task.stats()["unreadable_references"] == 1
