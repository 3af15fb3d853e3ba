"""The end of the run in words: what went in, what came out, what was promised and when it came."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.demo.check import Findings
from pipeline.demo.state import State
from pipeline.demo.verdict import Verdict


def print_summary(
    console: Console, state: State, counts: Mapping[str, Any], verdict: Verdict, findings: Findings
) -> None:
    """Print the summary.

    Args:
        console: where to.
        state: everything read from the topics.
        counts: what the client counted itself.
        verdict: what was promised and what came.
        findings: how the events stand against their schemas.
    """
    console.print()
    console.print(_accounts(state, counts))
    console.print()
    console.print(_promises(verdict))
    for text in verdict.false_alarms:
        console.print(f"[bold red]False alarm[/], {escape(text)}", highlight=False)
    _print_findings(console, findings)
    if verdict.is_kept and findings.is_clean:
        console.print("[bold green]The shift was seen, the alerts fired, the retrain trigger is out.[/]")
    else:
        console.print("[bold red]The demo did not keep its promises.[/]")


def _print_findings(console: Console, findings: Findings) -> None:
    rows = ", ".join(f"{name} {count:,}" for name, count in findings.rows.items() if count)
    console.print(f"\nEvents held against schemas/: {rows}", highlight=False)
    if findings.rows["dead-letters"]:
        console.print("[bold red]Rows went to the dead letters[/]: nothing the demo sends should")
    if findings.faults:
        console.print("[bold red]Some break their schema:[/]")
    for fault in findings.faults:
        console.print(f"  {escape(fault)}", highlight=False, soft_wrap=True)


def _accounts(state: State, counts: Mapping[str, Any]) -> Table:
    """The client's own count beside the windows': two independent witnesses of the same traffic."""
    table = Table("", "the client counted", "read from Kafka", title="What went through", title_justify="left")
    windows = state.windows.values()
    table.add_row("predictions", _count(counts.get("answered")), _count(sum(w.predictions for w in windows)))
    table.add_row("labels", _count(counts.get("labels")), _count(sum(w.labelled for w in windows)))
    before = _share(counts.get("right_before"), counts.get("answered_before"))
    table.add_row("accuracy before the shift", before, _percent(state.accuracy_before))
    after = _share(counts.get("right_after"), counts.get("answered_after"))
    table.add_row("accuracy after the shift", after, _percent(state.accuracy_after))
    table.add_row("failed requests", _count(counts.get("failed")), "")
    table.caption = "Kafka's windows leave out what was still in its last, open window at the end."
    return table


def _promises(verdict: Verdict) -> Table:
    table = Table("promised", "came", "as", title="After the shift", title_justify="left")
    for promise in verdict.promises:
        came = "[bold red]never[/]" if promise.after_s is None else f"[green]{promise.after_s:.1f} s after the shift[/]"
        table.add_row(promise.what, came, escape(promise.summary))
    return table


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _share(part: int | None, whole: int | None) -> str:
    return _percent(part / whole) if part is not None and whole else "-"
