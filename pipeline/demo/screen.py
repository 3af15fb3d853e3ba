"""Draws the state: a live view on a terminal, plain lines everywhere else."""

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pipeline.demo.feed import INPUTS, OUTPUTS
from pipeline.demo.state import Arrival, State, Window, is_number

WINDOWS_SHOWN = 7
ALERTS_SHOWN = 5
FEATURES_SHOWN = 4

_LINE_EVERY_S = 5.0
_SEVERITY_STYLES = {"info": "cyan", "warning": "yellow", "critical": "bold red"}


class Screen(Protocol):
    """Shows the state until it is left."""

    def __enter__(self) -> Self:
        """Begin to show."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the terminal back."""
        ...

    def update(self, state: State, left_s: float) -> None:
        """Show the state as it is now.

        Args:
            state: everything read from the topics.
            left_s: seconds until the traffic ends.
        """
        ...


def make_screen(console: Console) -> Screen:
    """Choose how to show: live where the terminal can, lines where not.

    Args:
        console: where to.

    Returns:
        The screen.
    """
    return LiveScreen(console) if console.is_terminal and not console.is_dumb_terminal else PlainScreen(console)


class LiveScreen:
    """One picture, redrawn in place.

    Args:
        console: a terminal.
    """

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def update(self, state: State, left_s: float) -> None:
        """Redraw.

        Args:
            state: everything read from the topics.
            left_s: seconds until the traffic ends.
        """
        self._live.update(picture(state, left_s), refresh=True)


class PlainScreen:
    """A line every few seconds, and one for each change of phase, alert and trigger at once.

    Args:
        console: a file, a pipe or a dumb terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._phase = ""
        self._told = 0
        self._due_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def update(self, state: State, left_s: float) -> None:
        """Print what is new.

        Args:
            state: everything read from the topics.
            left_s: seconds until the traffic ends.
        """
        if phase(state) != self._phase:
            self._phase = phase(state)
            self._line(f"--- {self._phase} ---")
        news = _news(state)
        for text in news[self._told :]:
            self._line(f"!!! {text.plain}")
        self._told = len(news)
        if time.monotonic() >= self._due_s:
            self._due_s = time.monotonic() + _LINE_EVERY_S
            self._line(summary_line(state, left_s))

    def _line(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def phase(state: State) -> str:
    """Name the phase the run is in, as the topics show it.

    Args:
        state: everything read from the topics.

    Returns:
        A few words.
    """
    if state.shifted_at_ms is not None:
        return "SHIFTED: rotated, dimmed, noisy inputs"
    if state.reference_is_known:
        return "healthy"
    return "learning the reference"


def summary_line(state: State, left_s: float) -> str:
    """The state in one line.

    Args:
        state: everything read from the topics.
        left_s: seconds until the traffic ends.

    Returns:
        The line.
    """
    parts = [f"{max(0.0, left_s):3.0f} s left"]
    parts += [f"{name} {count.records} ({count.per_s:.1f}/s)" for name, count in state.topics.items() if count.records]
    judged = [window for window in _ordered(state) if window.accuracy is not None]
    if judged:
        newest = judged[-1]
        parts.append(f"accuracy {_percent(newest.accuracy)} at coverage {_percent(newest.coverage)}")
        parts.append(f"before the shift {_percent(state.accuracy_before)}")
    if state.windows:
        newest = _ordered(state)[-1]
        parts.append(f"drifted {len(newest.drifted)} of {len(newest.drift)}")
    parts += [f"{name} {value}" for name, value in _host_figures(state)]
    return " | ".join(parts)


def picture(state: State, left_s: float) -> RenderableType:
    """Everything at one glance.

    Args:
        state: everything read from the topics.
        left_s: seconds until the traffic ends.

    Returns:
        What rich draws; fits 100 columns and about 30 lines.
    """
    style = "bold white on red" if state.shifted_at_ms is not None else "bold black on green"
    title = Text.assemble(
        (" Driftline ", "bold"), (f" {phase(state)} ", style), f"  {max(0.0, left_s):.0f} s left", no_wrap=True
    )
    left = Group(_topics_table(state), _hosts_table(state))
    right = Group(_windows_table(state), _drift_table(state))
    columns = Table.grid(padding=(0, 2))
    columns.add_row(left, right)
    return Group(title, columns, _alerts_table(state))


def _topics_table(state: State) -> Table:
    table = Table("topic", title="Kafka, committed records", title_justify="left", box=None, header_style="dim")
    table.add_column("records", justify="right")
    table.add_column("/s", justify="right")
    for name in (*INPUTS, *OUTPUTS):
        if name in state.topics:
            count = state.topics[name]
            table.add_row(name, f"{count.records:,}", f"{count.per_s:.1f}")
    throughput = [window.throughput_per_s for window in _ordered(state) if window.throughput_per_s is not None]
    if throughput:
        table.add_row(
            "predicted rows", f"{sum(w.predictions for w in state.windows.values()):,}", f"{throughput[-1]:.0f}"
        )
    return table


def _hosts_table(state: State) -> Table:
    table = Table("host", "", title="Host", title_justify="left", box=None, header_style="dim", show_header=False)
    for name, value in _host_figures(state):
        table.add_row(name, value)
    return table


def _windows_table(state: State) -> Table:
    table = Table("window", title="Quality by window", title_justify="left", box=None, header_style="dim")
    for name in ("rows", "labelled", "accuracy", "before", "p95 ms", "drifted"):
        table.add_column(name, justify="right")
    before = state.accuracy_before
    for window in _ordered(state)[-WINDOWS_SHOWN:]:
        low = window.accuracy is not None and before is not None and window.accuracy < before - 0.1
        table.add_row(
            time.strftime("%H:%M:%S", time.localtime(window.start_ms / 1000)),
            str(window.predictions),
            _percent(window.coverage),
            Text(_percent(window.accuracy), "bold red" if low else "green"),
            _percent(before),
            "-" if window.latency_p95_ms is None else f"{window.latency_p95_ms:.1f}",
            Text(f"{len(window.drifted)} of {len(window.drift)}", "bold red" if window.drifted else ""),
        )
    return table


def _drift_table(state: State) -> Table:
    table = Table("feature", title="Drifted, newest window", title_justify="left", box=None, header_style="dim")
    newest = _ordered(state)[-1:]
    drifted = [(name, window.drift[name]) for window in newest for name in window.drifted]
    methods = sorted({method for _, figures in drifted for method, value in figures.items() if is_number(value)})
    for method in methods:
        table.add_column(method, justify="right")
    for name, figures in drifted[:FEATURES_SHOWN]:
        cells = (figures.get(method) for method in methods)
        table.add_row(name, *("-" if value is None else f"{value:.2f}" for value in cells))
    if not drifted:
        table.add_row("none", *("" for _ in methods))
    elif len(drifted) > FEATURES_SHOWN:
        table.add_row(f"and {len(drifted) - FEATURES_SHOWN} more", *("" for _ in methods))
    return table


def _alerts_table(state: State) -> Table:
    table = Table("alert", title="Alerts and retrain triggers", title_justify="left", box=None, show_header=False)
    for text in _news(state)[-ALERTS_SHOWN:] or [Text("none so far", "dim")]:
        table.add_row(text)
    return table


def _news(state: State) -> Sequence[Text]:
    arrivals = [(arrival, _alert_text(arrival.event)) for arrival in state.alerts]
    arrivals += [(arrival, Text(f"RETRAIN: {arrival.event['summary']}", "bold magenta")) for arrival in state.triggers]
    return [
        _timed(arrival, text, state.shifted_at_ms) for arrival, text in sorted(arrivals, key=lambda a: a[0].arrived_ms)
    ]


def _alert_text(event: Mapping[str, Any]) -> Text:
    style = _SEVERITY_STYLES[event["severity"]] if event["state"] == "firing" else "green"
    return Text(f"{event['state']} {event['severity']} {event['rule']}: {event['summary']}", style)


def _timed(arrival: Arrival, text: Text, shifted_at_ms: int | None) -> Text:
    when = time.strftime("%H:%M:%S", time.localtime(arrival.arrived_ms / 1000))
    if shifted_at_ms is not None and arrival.arrived_ms >= shifted_at_ms:
        when += f" (+{(arrival.arrived_ms - shifted_at_ms) / 1000:.1f} s)"
    return Text.assemble(when, " ", text)


def _host_figures(state: State) -> Sequence[tuple[str, str]]:
    figures = []
    for event in state.hosts.values():
        metrics = event["metrics"]
        for name, label in (
            ("cpu.usage_ratio", "CPU"),
            ("memory.used_ratio", "memory"),
            ("gpu.0.usage_ratio", "GPU 0"),
        ):
            if name in metrics:
                figures.append((label, _percent(metrics[name]["mean"])))
        if "cpu.load_1m" in metrics:
            figures.append(("load, 1 min", f"{metrics['cpu.load_1m']['last']:.2f}"))
    return figures


def _ordered(state: State) -> Sequence[Window]:
    return [state.windows[start_ms] for start_ms in sorted(state.windows)]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value * 100:.1f}%"
