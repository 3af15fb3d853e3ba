"""How far a restore has come, and that it says so."""

import logging

import pytest

from pipeline.engine.progress import SAY_EVERY_S, RestoreMeter, RestoreProgress


def test_share_speed_and_partitions_left() -> None:
    now_s = 10.0
    meter = RestoreMeter("joiner", {0: 100, 1: 300}, lambda: now_s)
    assert meter.progress() == RestoreProgress(0, 0, 0.0, 0.0, 2)
    meter.read(0, 100, records=40, size=4_000)
    meter.read(1, 100, records=60, size=6_000)
    now_s = 12.0
    assert meter.progress() == RestoreProgress(100, 10_000, 0.5, 50.0, 1)
    meter.read(1, 350, records=50, size=5_000)  # a record behind the end that was asked for
    assert (meter.progress().share, meter.progress().partitions_left) == (1.0, 0)
    meter.forget(1)
    assert (meter.progress().share, meter.records) == (0.25, {0: 40, 1: 0})


def test_an_empty_changelog_is_done() -> None:
    assert RestoreMeter("joiner", {0: 0}, lambda: 0.0).progress().share == 1.0


def test_it_is_logged_every_few_seconds(caplog: pytest.LogCaptureFixture) -> None:
    now_s = 0.0
    meter = RestoreMeter("joiner", {0: 100}, lambda: now_s)
    with caplog.at_level(logging.INFO, "driftline.engine"):
        for step in range(10):
            now_s = step * SAY_EVERY_S / 2
            meter.read(0, 10 * step, records=1_000, size=1_000_000)
            meter.progress()
    said = [record.message for record in caplog.records]
    assert len(said) == 4
    assert said[0].startswith("joiner: restoring, 20 % done, 1 of 1 partitions left, 3000 records")
