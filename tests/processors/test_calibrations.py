"""When it is settled what scores mean, and that it stays so."""

from typing import Any

import numpy as np

from pipeline.core.accumulate.scores import Scores, fold_scores
from pipeline.core.events import Cells, Group, LabelChanges, Task
from pipeline.core.metrics.settings import QualitySettings
from pipeline.core.window import parse_window
from pipeline.processors.calibrations import Calibrations

GROUP = Group("m", "1", Task.BINARY)
SHORT, LONG = parse_window("2s"), parse_window("1m")


def rows(count: int, label: int | None = None, seed: int = 0) -> Scores:
    """Scores that are far too high, half of them for each class or all for one."""
    generator = np.random.default_rng(seed)
    score = (0.5 + generator.random(count) / 2).astype(np.float32).astype(np.float64)
    truth = np.arange(count) % 2 if label is None else np.full(count, label)
    zeros = np.zeros(count, np.int32)
    where = Cells(np.arange(count, dtype=np.int32), zeros, zeros[:1], [""], np.zeros(1, np.int64), [GROUP])
    changes = LabelChanges(np.ones(count, np.int64), truth, np.ones(count, np.int64), ["0", "1"], score=score)
    return fold_scores(changes, where)[0]


class Kept:
    """Calibrations with their changelog."""

    def __init__(self, sizes: Any = (SHORT, LONG), calibration_rows: int = 100) -> None:
        self.settings = QualitySettings(calibration_rows=calibration_rows), sizes
        self.calibrations = Calibrations(*self.settings)
        self.log: dict[bytes, bytes | None] = {}

    def crash(self) -> None:
        self.log |= dict(self.calibrations.changelog())
        self.calibrations = Calibrations(*self.settings)
        for key, value in self.log.items():
            assert key.startswith(b'["calibration","m","1"')
            self.calibrations.restore(["m", "1"], value)

    def method(self) -> str | None:
        fit = self.calibrations.get(GROUP, 10_000)
        return fit.method if fit else None


def test_enough_rows_settle_it_for_good() -> None:
    kept = Kept()
    for number in range(3):
        assert kept.method() is None
        kept.calibrations.add(GROUP, SHORT, number * 2_000, rows(40, seed=number))
        kept.crash()
    assert kept.method() == "isotonic"
    assert kept.calibrations.get(GROUP, 6_000) is None, "it must not matter which window of one end comes first"
    fit = kept.calibrations.get(GROUP, 6_001)
    kept.calibrations.add(GROUP, SHORT, 6_000, rows(5_000, label=1))
    kept.crash()
    again = kept.calibrations.get(GROUP, 6_001)
    assert fit is not None
    assert again is not None
    assert (again.scores, again.rates, again.names) == (fit.scores, fit.rates, fit.names)
    assert len(kept.log) == 1


def test_a_crash_on_the_way_changes_nothing() -> None:
    calm, shaken = Kept(), Kept()
    for number in range(3):
        for one in (calm, shaken):
            one.calibrations.add(GROUP, SHORT, number * 2_000, rows(40, seed=number))
        shaken.crash()
    assert calm.method() == "isotonic"
    calm.crash()
    assert calm.log == shaken.log


def test_rows_of_one_class_settle_nothing() -> None:
    kept = Kept()
    kept.calibrations.add(GROUP, SHORT, 0, rows(500, label=1))
    assert kept.method() is None
    kept.calibrations.add(GROUP, SHORT, 2_000, rows(1, label=0))
    assert kept.method() == "isotonic"


def test_no_row_counts_twice() -> None:
    hopping = parse_window("4s/1s")
    kept = Kept(sizes=(hopping, LONG))
    kept.calibrations.add(GROUP, LONG, 0, rows(500))
    for start_ms in (1_000, 2_000, 3_000):
        kept.calibrations.add(GROUP, hopping, start_ms, rows(500))
    assert kept.method() is None
    assert not list(kept.calibrations.changelog())
    kept.calibrations.add(GROUP, hopping, 4_000, rows(500))
    assert kept.method() == "isotonic"


def test_a_window_without_scores_says_nothing() -> None:
    kept = Kept()
    kept.calibrations.add(GROUP, SHORT, 0, Scores())
    assert not list(kept.calibrations.changelog())
