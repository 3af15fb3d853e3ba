"""The runs as a table for people and as JSON, with the machine that they ran on.

``python -m bench.report RESULT.json`` writes a saved run into docs/performance.md.
"""

import json
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from rich.table import Table

from bench.run import FLOOR, JOB, KAFKA_STREAMS, Run

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
COLUMNS = ("events/s", "of floor", "of Kafka Streams", "CPU µs/event", "peak MB", "wrong windows")

TARGETS = (
    ("single events, times Kafka Streams", "single", 5, "of_streams"),
    ("columns, times Kafka Streams", "columns", 25, "of_streams"),
    ("single events, share of the floor", "single", 0.55, "of_floor"),
    ("columns, share of the floor", "columns", 0.60, "of_floor"),
)
"""Ratios that ours shall reach: what, the layout, the least, and the field of ``Row``."""

_BEGIN, _END = "<!-- make bench begins -->\n", "<!-- make bench ends -->\n"


@dataclass(frozen=True, slots=True)
class Row:
    """All rounds of one thing.

    Attributes:
        what: its name.
        layout: ``single`` or ``columns``.
        rate: events a second: median, smallest, largest.
        cpu_us: CPU microseconds an event: the same.
        peak_rss_mb: the largest of the rounds; 0 where not measured.
        of_floor: median of the rates over that of the floor in the same layout.
        of_streams: median of the rates over that of Kafka Streams once warm; None without it.
        windows: held against the truth in all rounds.
        wrong_windows: of these missing or different.
        rounds: how many.
        events: of one run.
    """

    what: str
    layout: str
    rate: tuple[float, float, float]
    cpu_us: tuple[float, float, float]
    peak_rss_mb: float
    of_floor: float
    of_streams: float | None
    windows: int
    wrong_windows: int
    rounds: int
    events: int


def rows_of(runs: Sequence[Run]) -> list[Row]:
    """Medians, spreads and ratios.

    Args:
        runs: of all rounds; the floor has run in each layout.

    Returns:
        A row a thing and layout, in the order of the names' first runs, the floor and ours first.
    """
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in sorted(runs, key=lambda run: (run.layout != "single", run.what != FLOOR, run.what != JOB)):
        groups.setdefault((run.what, run.layout), []).append(run)
    rates = {key: median(run.events_per_s for run in group) for key, group in groups.items()}
    streams = rates.get((KAFKA_STREAMS, "single"))
    return [
        Row(
            what,
            layout,
            _spread([run.events_per_s for run in group]),
            _spread([run.cpu_us for run in group]),
            max(run.peak_rss_mb for run in group),
            rates[what, layout] / rates[FLOOR, layout],
            rates[what, layout] / streams if streams else None,
            sum(run.windows for run in group),
            sum(run.wrong_windows for run in group),
            len(group),
            round(median(run.events for run in group)),
        )
        for (what, layout), group in groups.items()
    ]


def table_of(rows: Sequence[Row]) -> Table:
    """The figures: median, smallest and largest of the rounds, and the ratios of the medians."""
    table = Table(title="Join + 1-minute window on the local broker, medians (min to max)")
    for name in ("", "layout"):
        table.add_column(name, no_wrap=True)
    for name in COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(row.what, row.layout, *cells_of(row))
    return table


def cells_of(row: Row) -> list[str]:
    """A row's figures as text, those that were not measured empty."""
    return [
        "{:,.0f} ({:,.0f} to {:,.0f})".format(*row.rate),
        f"{row.of_floor:.2f}",
        f"{row.of_streams:.1f}" if row.of_streams is not None else "",
        "{:.2f} ({:.2f} to {:.2f})".format(*row.cpu_us),
        f"{row.peak_rss_mb:,.0f}" if row.peak_rss_mb else "",
        f"{row.wrong_windows} of {row.windows}" if row.windows else "",
    ]


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
    }


def save(runs: Sequence[Run], settings: dict[str, Any], host: dict[str, Any]) -> Path:
    """Write everything measured, and on what.

    Args:
        runs: of all rounds.
        settings: how much, and how often.
        host: the machine before the first run.

    Returns:
        The path.
    """
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    each = [asdict(run) | {"events_per_s": run.events_per_s, "cpu_us_per_event": run.cpu_us} for run in runs]
    rows = [asdict(row) for row in rows_of(runs)]
    path.write_text(json.dumps({"settings": settings, "machine": host, "rows": rows, "runs": each}, indent=2) + "\n")
    return path


def runs_of(saved: Mapping[str, Any]) -> list[Run]:
    """The runs of a saved result."""
    names = [field.name for field in fields(Run)]
    return [Run(**{name: run[name] for name in names if name in run}) for run in saved["runs"]]


def as_markdown(saved: Mapping[str, Any]) -> str:
    """A saved result as a table for docs/performance.md, with the machine and the settings."""
    host, settings = saved["machine"], saved["settings"]
    single, columns = (f"{settings[name]:,}" for name in ("events", "batch_events"))
    on = f"{host['processor']}, {host['cores']} cores shared with the broker, {host['memory_gb']} GB, {host['system']}"
    lines = [
        f"{on}, Python {host['python']}, load average before the run {host['load_average'][0]:.1f}.",
        f"{single} predictions and as many labels as single events, {columns} and as many in columns;",
        f"{settings['partitions']} partitions, {settings['rounds']} rounds: median (smallest to largest).",
        "",
        f"| | layout | {' | '.join(COLUMNS)} |",
        f"|---|---|{'--:|' * len(COLUMNS)}",
    ]
    rows = rows_of(runs_of(saved))
    lines += [f"| {row.what} | {row.layout} | {' | '.join(cells_of(row))} |" for row in rows]
    lines += ["", "| target | at least | measured |", "|---|--:|--:|"]
    for name, layout, wanted, of in TARGETS:
        found = next((getattr(row, of) for row in rows if (row.what, row.layout) == (JOB, layout)), None)
        lines.append(f"| {name} | {wanted} | {'not measured' if found is None else f'{found:.2f}'} |")
    return "\n".join(lines) + "\n"


def write_page(page: Path, saved: Mapping[str, Any]) -> None:
    """Put a saved result between the two marks in a page.

    Args:
        page: the Markdown file.
        saved: the result.

    Raises:
        ValueError: the page lacks a mark.
    """
    before, begin, rest = page.read_text().partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"{page} needs the lines {_BEGIN.strip()} and {_END.strip()}")
    page.write_text(before + begin + as_markdown(saved) + end + after)


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    return median(values), min(values), max(values)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def main() -> int:
    write_page(PAGE, json.loads(Path(sys.argv[1]).read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
