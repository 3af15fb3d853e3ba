"""The demo's configuration is a valid one, and its plan leaves room for what must be seen."""

from pathlib import Path

import pytest

from pipeline.core.durations import parse_duration_ms
from pipeline.demo.settings import MIN_DURATION_S, RATE_PER_S, WINDOW, make_plan, write_config


def test_the_file_is_loaded_back_as_written(tmp_path: Path) -> None:
    config = write_config(tmp_path, "127.0.0.1:4711", 4712)
    assert config.kafka.bootstrap_servers == "127.0.0.1:4711"
    assert config.worker.web_port == 4712
    assert [rule.retrain for rule in config.rules] == [False, True, False]
    assert [str(size) for size in config.windows.sizes] == [WINDOW]


@pytest.mark.parametrize("duration_s", [MIN_DURATION_S, 60, 90, 600])
def test_every_phase_fits_into_the_plan(tmp_path: Path, duration_s: float) -> None:
    config = write_config(tmp_path, "127.0.0.1:1", 1)
    plan = make_plan(duration_s)
    window_s = parse_duration_ms(WINDOW) / 1000
    rows_per_partition_s = RATE_PER_S / config.kafka.partitions
    learnt_after_s = config.reference.learn_rows / rows_per_partition_s
    # A whole window with the reference known, before the shift.
    assert plan.shift_after_s >= learnt_after_s + 2 * window_s
    # The window that straddles the shift, and the two that fire the rule.
    assert plan.traffic_s - plan.shift_after_s >= 3 * window_s + 4
    assert plan.traffic_s < duration_s
