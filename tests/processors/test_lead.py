"""A topic is held back only when it is far ahead both in time and in rows, and only while the other has more."""

from collections import defaultdict

import orjson
import pytest

from pipeline.config import Config
from pipeline.core.events import RecordBatch
from pipeline.processors import joiner
from pipeline.processors.joiner import STEP_MS, JoinerTask, make_joiner

NOW_MS = 1_800_000_000_000
START_MS = NOW_MS - 3_600_000


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> JoinerTask:
    monkeypatch.setattr(joiner, "STEP_ROWS", 30)
    made = make_joiner(Config()).task(0, defaultdict(lambda: 1))
    made.restore([])
    return made


def read(task: JoinerTask, topic: str, timestamp_ms: int, rows: int = 10) -> frozenset[str]:
    """Read some rows of one moment; returns what is held back then."""
    fields = {"n": rows, "model": "m", "timestamp_ms": timestamp_ms, "prediction_id": [f"p{i}" for i in range(rows)]}
    if topic == "predictions":
        fields |= {"model_version": "1", "task": "binary", "prediction": 1}
    else:
        fields |= {"label": 1}
    columns = [("layout", b"columns")]
    task.process(RecordBatch(topic, 0, [timestamp_ms], [None], [orjson.dumps(fields)], [columns]), NOW_MS)
    return task.paused(frozenset())


@pytest.mark.parametrize(("ahead", "behind"), [("predictions", "labels"), ("labels", "predictions")])
def test_a_topic_waits_when_it_is_far_ahead_in_time_and_in_rows(task: JoinerTask, ahead: str, behind: str) -> None:
    far_ms = START_MS + STEP_MS + 1
    assert read(task, behind, START_MS) == frozenset()
    assert read(task, ahead, far_ms - 1, rows=100) == frozenset(), "many rows, but not far in time"
    assert read(task, ahead, far_ms) == frozenset(), "far in time, but few rows"
    assert read(task, ahead, far_ms) == frozenset()
    assert read(task, ahead, far_ms) == frozenset((ahead,))
    assert task.paused(frozenset((behind,))) == frozenset(), "the other has nothing more to read"
    assert read(task, behind, START_MS + 1) == frozenset(), "near again"
    assert read(task, ahead, far_ms + 10) == frozenset(), "the rows are counted anew"


def test_one_bad_clock_holds_nothing_back(task: JoinerTask) -> None:
    read(task, "labels", START_MS)
    for row in range(40):
        read(task, "predictions", START_MS + row)
    assert read(task, "predictions", START_MS + 10 * STEP_MS, rows=1) == frozenset()
    assert read(task, "predictions", START_MS + 50) == frozenset()
