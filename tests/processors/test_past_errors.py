"""When it is settled which errors to expect, and that it stays so."""

from typing import Any

import numpy as np
import pytest

from pipeline.core.accumulate.binned_errors import BinnedErrors, fold_binned_errors
from pipeline.core.accumulate.errors import Errors
from pipeline.core.events import Cells, Group, LabelChanges, Task
from pipeline.core.families import State
from pipeline.core.metrics.settings import QualitySettings
from pipeline.core.window import parse_window
from pipeline.processors.past_errors import PastErrors

GROUP = Group("m", "1", Task.REGRESSION)
SHORT, LONG = parse_window("2s"), parse_window("1m")


def rows(count: int, error: float = 0.25) -> BinnedErrors:
    """Predictions of 1 that are all off by as much."""
    predicted, zeros = np.ones(count), np.zeros(count, np.int32)
    where = Cells(np.arange(count, dtype=np.int32), zeros, zeros[:1], [""], np.zeros(1, np.int64), [GROUP])
    label = (predicted - error).view(np.int64)
    return fold_binned_errors(LabelChanges(predicted.view(np.int64), label, np.ones(count, np.int64), []), where)[0]


class Kept:
    """Past errors with their changelog."""

    def __init__(self, sizes: Any = (SHORT, LONG)) -> None:
        self.settings = QualitySettings(calibration_rows=100), sizes
        self.past = PastErrors(*self.settings)
        self.log: dict[bytes, bytes | None] = {}

    def crash(self) -> None:
        self.log |= dict(self.past.changelog())
        self.past = PastErrors(*self.settings)
        for key, value in self.log.items():
            assert key == b'["errors","m","1"]'
            self.past.restore(["m", "1"], value)

    def mean(self, end_ms: int = 10_000) -> float | None:
        learned = self.past.get(GROUP, end_ms)
        return float(learned.sizes[0]) if learned else None


def test_enough_rows_settle_it_for_good() -> None:
    kept = Kept()
    for number in range(3):
        assert kept.mean() is None
        kept.past.add(GROUP, SHORT, number * 2_000, rows(40, 0.25 * number))
        kept.crash()
    assert kept.mean() == 0.25
    assert kept.mean(6_000) is None, "it must not matter which window of one end comes first"
    assert kept.mean(6_001) == 0.25
    kept.past.add(GROUP, SHORT, 6_000, rows(5_000, 9.0))
    kept.crash()
    assert kept.mean() == 0.25


def test_a_crash_on_the_way_changes_nothing() -> None:
    calm, shaken = Kept(), Kept()
    for number in range(3):
        for one in (calm, shaken):
            one.past.add(GROUP, SHORT, number * 2_000, rows(40, 0.3 * number))
        shaken.crash()
    calm.crash()
    assert calm.mean() == shaken.mean() == pytest.approx(0.3)
    assert calm.log == shaken.log


def test_no_row_counts_twice() -> None:
    hopping = parse_window("4s/1s")
    kept = Kept(sizes=(hopping, LONG))
    kept.past.add(GROUP, LONG, 0, rows(500))
    for start_ms in (1_000, 2_000, 3_000):
        kept.past.add(GROUP, hopping, start_ms, rows(500))
    assert kept.mean() is None
    assert not list(kept.past.changelog())
    kept.past.add(GROUP, hopping, 4_000, rows(500))
    assert kept.mean() == 0.25


def test_a_window_without_labels_says_nothing() -> None:
    kept = Kept()
    kept.past.add(GROUP, SHORT, 0, BinnedErrors())
    assert not list(kept.past.changelog())


def test_what_is_not_learned_from_any_more_is_not_kept() -> None:
    kept = Kept()
    states: dict[str, State] = {"errors": Errors(), "binned_errors": rows(1)}
    assert kept.past.wanted(GROUP, states) == states
    kept.past.add(GROUP, SHORT, 0, rows(100))
    assert set(kept.past.wanted(GROUP, states)) == {"errors"}
    assert kept.past.wanted(Group("m", "2", Task.REGRESSION), states) == states
