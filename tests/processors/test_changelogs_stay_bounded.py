"""The changelogs hold one horizon's worth of state, however long traffic has been going on."""

from bench.changelogs import run


def test_what_the_changelogs_hold_stays_flat_after_the_first_horizon() -> None:
    held = list(run(horizons=8, rows_per_horizon=600))
    # A horizon, the time after it in which labels of its last rows come, and no more.
    second, *later = held[1:]
    assert second.joiner_keys > 60 < second.joiner_bytes / 600  # there is something to hold
    assert second.monitor_keys > 20
    for one in later:
        assert one.joiner_keys <= 1.05 * second.joiner_keys
        assert one.joiner_bytes <= 1.1 * second.joiner_bytes
        assert one.monitor_keys <= 1.05 * second.monitor_keys
        assert one.monitor_bytes <= 1.1 * second.monitor_bytes
    assert held[-1].written_bytes > 3 * held[1].written_bytes
    assert held[-1].final_windows > held[1].final_windows + 5 * 12  # twelve windows a horizon, of two sizes and hosts
