"""The screen shows what the state holds, live on a terminal and in lines elsewhere."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from pipeline.demo.screen import LiveScreen, PlainScreen, make_screen, picture
from pipeline.demo.state import State

Make = Callable[..., dict[str, Any]]


@pytest.fixture
def state(window_event: Make, alert_event: Make, trigger_event: Make) -> State:
    state = State()
    state.observe_offsets("predictions", 400, 40_000)
    state.observe_offsets("predictions", 500, 44_000)
    for start_s in (20, 25):
        state.apply("window-metrics", window_event(start_s), start_s * 1000)
    drift = {name: {"psi": 3.25, "js": 0.6, "drifted": True} for name in ("contrast", "edge_energy")}
    state.shifted_at_ms = 30_000
    state.apply("window-metrics", window_event(30, quality={"accuracy": 0.31}, drift=drift), 36_000)
    metrics = {
        "cpu.usage_ratio": {"mean": 0.625, "min": 0.1, "max": 0.9, "last": 0.5},
        "cpu.load_1m": {"mean": 1.0, "min": 1.0, "max": 1.0, "last": 1.25},
    }
    state.apply("host-metrics", {"host": "box", "window": "5s", "metrics": metrics}, 36_000)
    state.apply("alerts", alert_event("accuracy-drop", 35), 37_500)
    state.apply("retrain-triggers", trigger_event(37), 37_600)
    return state


def _draw(state: State) -> str:
    console = Console(file=io.StringIO(), width=110, force_terminal=False)
    console.print(picture(state, 12.4))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_picture_holds_every_promised_figure(state: State) -> None:
    text = _draw(state)
    for expected in (
        "SHIFTED",
        "12 s left",
        "25.0",  # prediction records a second
        "31.0%",  # accuracy now
        "97.0%",  # accuracy before
        "95.0%",  # label coverage
        "2 of 2",  # drifted features
        "edge_energy",
        "3.25",
        "62.5%",  # CPU
        "accuracy-drop is out of bounds",
        "(+7.5 s)",
        "RETRAIN: retrain digits 1",
    ):
        assert expected in text, f"{expected!r} is not in\n{text}"


def test_the_picture_fits_a_small_terminal(state: State) -> None:
    assert len(_draw(state).splitlines()) <= 30


def test_an_empty_state_can_be_drawn() -> None:
    assert "learning the reference" in _draw(State())


def test_metrics_that_could_not_be_computed_show_as_absent(window_event: Make) -> None:
    state = State()
    unknown = {"mean": None, "p50": None, "p95": None, "p99": None, "max": None}
    event = window_event(
        10,
        label_coverage=None,
        quality={"accuracy": None},
        latency_ms=unknown,
        throughput_per_s=None,
        drift={"contrast": {"psi": None, "drifted": None}},
    )
    state.apply("window-metrics", event, 16_000)
    text = _draw(state)
    assert "nan" not in text.lower()
    assert "None" not in text


def test_lines_tell_each_alert_and_phase_once(state: State) -> None:
    console = Console(file=io.StringIO(), width=80)
    with PlainScreen(console) as screen:
        screen.update(State(), 60)
        screen.update(state, 20)
        screen.update(state, 19)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert text.count("--- learning the reference ---") == 1
    assert text.count("--- SHIFTED") == 1
    assert text.count("accuracy-drop is out of bounds") == 1
    assert text.count("RETRAIN") == 1


def test_the_terminal_decides_how_to_show() -> None:
    assert isinstance(make_screen(Console(file=io.StringIO())), PlainScreen)
    assert isinstance(
        make_screen(Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "dumb"})), PlainScreen
    )
    live = make_screen(Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "xterm"}))
    assert isinstance(live, LiveScreen)


def test_the_live_screen_redraws_and_gives_the_terminal_back(state: State) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=110, height=40, _environ={"TERM": "xterm"})
    with LiveScreen(console) as screen:
        screen.update(State(), 60)
        screen.update(state, 20)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "learning the reference" in text
    assert "SHIFTED" in text
    assert text.rstrip().endswith("\x1b[?25h")
