"""Samples and threads are shared out to stages without losing any time."""

import pytest

from bench.stage_profile import costs_of, stages_of

ROUND = "_round (pipeline/engine/shell.py:267)"
PROCESS = "process (pipeline/processors/joiner.py:164)"
FLUSH = "flush (pipeline/processors/joiner.py:187)"


@pytest.mark.parametrize(
    ("frames", "stage"),
    [
        (f"{ROUND};_gather (pipeline/engine/shell.py:301)", "consume"),
        (f"{ROUND};{PROCESS};decode_labels (pipeline/core/codec/labels.py:67)", "decode"),
        (f"{ROUND};{PROCESS};insert_labels (pipeline/core/join.py:232)", "join"),
        (f"{ROUND};{PROCESS};fold_counts (pipeline/core/accumulate/counts.py:52)", "fold"),
        (f"{ROUND};{FLUSH};take (pipeline/processors/pieces.py:40)", "outputs"),
        (f"{ROUND};{FLUSH};sweep (pipeline/core/join.py:254)", "join"),
        (
            f"{ROUND};{FLUSH};changelog (pipeline/processors/joiner_state.py:2);take (pipeline/core/join.py:1)",
            "outputs",
        ),
        (f"{ROUND};begin (pipeline/engine/commits.py:60);start (threading.py:9)", "commit"),
    ],
)
def test_a_sample_of_the_joiner_belongs_to_one_stage(frames: str, stage: str) -> None:
    assert stages_of([f"thread (12): joiner;{frames} 3"]) == {stage: 3}


def test_samples_of_other_threads_do_not_count() -> None:
    lines = ["thread (13): joiner commits;x (a.py:1) 5", f"thread (14): monitor;{PROCESS} 5", ""]
    assert not stages_of(lines)


def test_all_time_is_shared_out_and_what_ended_was_a_commit() -> None:
    seen = stages_of([f"thread (1): joiner;{PROCESS} 3", "thread (1): joiner;_gather (pipeline/engine/shell.py:3) 1"])
    threads_s = {"joiner": 4.0, "monitor": 1.0, "rdk:broker1": 1.0, "rdk:main": 0.5, "MainThread": 0.25}
    costs = costs_of(8.0, threads_s, seen)
    assert costs == {"fold": 3.0, "librdkafka": 1.5, "commit": 1.25, "consume": 1.0, "monitor": 1.0, "hosting": 0.25}
    assert list(costs.values()) == sorted(costs.values(), reverse=True)
    assert sum(costs.values()) == 8.0
