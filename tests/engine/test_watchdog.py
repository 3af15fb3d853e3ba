"""The watchdog: what it takes for being stuck and what not, step by step; and what it says about a stuck thread."""

import threading

import pytest

from pipeline.engine.status import RunnerStatus
from pipeline.engine.watchdog import FIRST_COMMIT_S, Sight, Watchdog, diagnosis

LIMIT_S = 60.0


class Scene:
    """A processor that has committed once, and a watchdog that looks every second."""

    def __init__(self) -> None:
        self.dog = Watchdog(LIMIT_S)
        self.now_s = 1_000.0
        self.commits, self.lag, self.silent_s, self.is_working, self.broker = 1, 0.0, 0.0, True, True
        self.knows_ends = True
        self.look()

    def look(self, step_s: float = 1.0) -> bool:
        self.now_s += step_s
        sight = Sight(self.is_working, self.commits, int(self.lag) if self.knows_ends else None, self.silent_s)
        return self.dog.look(self.now_s, sight, broker_answers=self.broker)

    def stuck_after(self, lag_per_s: float = 0.0, limit_s: float = 1_000.0) -> float | None:
        began_s = self.now_s
        while self.now_s - began_s < limit_s:
            self.lag += lag_per_s
            if self.look():
                return self.now_s - began_s
        return None


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_growing_lag_without_commits_is_stuck(scene: Scene) -> None:
    assert scene.stuck_after(lag_per_s=3) == LIMIT_S
    assert scene.dog.is_near


def test_a_slow_worker_that_commits_is_not(scene: Scene) -> None:
    for _ in range(20):
        assert scene.stuck_after(lag_per_s=3, limit_s=LIMIT_S - 2) is None
        scene.commits += 1


def test_an_idle_topic_is_not(scene: Scene) -> None:
    assert scene.stuck_after() is None
    scene.lag = 5
    scene.look()
    scene.lag = 0
    assert scene.stuck_after() is None
    assert scene.dog.stuck_s == 0


def test_lag_that_does_not_grow_is_near_but_not_stuck(scene: Scene) -> None:
    scene.lag, scene.commits = 5, 2
    scene.look()
    assert scene.stuck_after() is None
    assert scene.dog.is_near
    assert scene.stuck_after(lag_per_s=1) == 1


def test_a_broker_that_is_away_is_waited_for_and_then_the_count_begins_anew(scene: Scene) -> None:
    assert scene.stuck_after(lag_per_s=3, limit_s=LIMIT_S - 5) is None
    scene.broker = False
    assert scene.stuck_after(lag_per_s=3) is None
    assert not scene.dog.is_near
    scene.broker = True
    assert scene.stuck_after(lag_per_s=3) == LIMIT_S


def test_a_restore_does_not_count(scene: Scene) -> None:
    assert scene.stuck_after(lag_per_s=3, limit_s=20) is None
    scene.is_working = False
    assert scene.stuck_after(lag_per_s=3) is None
    scene.is_working = True
    assert scene.stuck_after(lag_per_s=3) == LIMIT_S - 20


def test_ends_that_are_not_known_are_no_ends_reached(scene: Scene) -> None:
    assert scene.stuck_after(lag_per_s=3, limit_s=30) is None
    scene.knows_ends = False
    assert scene.stuck_after(lag_per_s=3, limit_s=100) is None
    scene.knows_ends = True
    assert scene.stuck_after() == 1


@pytest.mark.parametrize(("lag", "seen"), [({}, None), ({"a-0": 1}, None), ({"a-0": 1, "a-1": 2}, 3)])
def test_the_lag_is_known_when_every_end_is(lag: dict[str, int], seen: int | None) -> None:
    status = RunnerStatus("joiner", state="running", lag=lag, positions={"a-0": 4, "a-1": 4})
    assert Sight.of(status, 0.0) == Sight(is_working=True, commits=0, lag=seen, silent_s=0.0)


def test_a_silent_thread_is_stuck_whatever_its_last_status_says(scene: Scene) -> None:
    scene.silent_s = 6.0
    assert scene.stuck_after() == LIMIT_S


def test_a_process_that_stood_still_was_not_stuck(scene: Scene) -> None:
    scene.lag = 10
    scene.look()
    scene.lag = 1_000
    assert not scene.look(step_s=3_600.0)
    assert scene.stuck_after(lag_per_s=3, limit_s=LIMIT_S - 2) is None


def test_before_the_first_commit_there_is_time_for_compiling() -> None:
    scene = Scene()
    scene.dog, scene.commits = Watchdog(LIMIT_S), 0
    assert scene.stuck_after(lag_per_s=3, limit_s=FIRST_COMMIT_S - 5) is None
    assert scene.stuck_after(lag_per_s=3) is not None


def test_the_diagnosis_shows_where_the_thread_stands() -> None:
    release = threading.Event()

    def stand_here() -> None:
        release.wait()

    thread = threading.Thread(target=stand_here)
    thread.start()
    status = RunnerStatus(
        "joiner",
        state="running",
        lag={"labels-0": 7},
        positions={"labels-0": 35, "labels-1": 1},
        last_error="the last words",
        paused=("labels-1",),
        tasks={0: {"open_rows": 12.0}},
    )
    text = diagnosis(status, Watchdog(LIMIT_S), thread.ident)
    release.set()
    thread.join()
    for part in ("joiner", "running", "the last words", "{'labels-0': 42}", "labels-1", "open_rows", "stand_here"):
        assert part in text
    assert "has ended" in diagnosis(status, Watchdog(LIMIT_S), thread.ident)
