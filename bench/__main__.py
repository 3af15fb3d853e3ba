"""``make bench``: events/s and CPU µs/event of the join + 1-minute-window job, beside a bare decode loop."""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.events import Traffic, make_traffic
from bench.job import run_job
from bench.load import load
from pipeline.config import Config
from pipeline.local_broker import BrokerOptions, LocalBroker
from pipeline.topics import create_topics

LAYOUTS = ("single", "columns")
TARGETS = {"single": 200_000, "columns": 1_000_000}
"""Events a second that the job shall reach, on two cores shared with the broker."""

PARTITIONS = 2
RESULTS = Path(__file__).parent / "results"

_SPAN_MS = 600_000
_FLOOR_TIMEOUT_S = 300


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement of one thing.

    Attributes:
        what: ``job`` or ``floor``.
        layout: ``single`` or ``columns``.
        events: predictions and labels taken in.
        wall_s: seconds.
        cpu_s: CPU seconds of the measured process.
    """

    what: str
    layout: str
    events: int
    wall_s: float
    cpu_s: float

    @property
    def events_per_s(self) -> float:
        return self.events / self.wall_s

    @property
    def cpu_us(self) -> float:
        return self.cpu_s * 1e6 / self.events


def measure(
    console: Console, broker: LocalBroker, traffic: dict[str, Traffic], rounds: int, directory: Path
) -> list[Run]:
    """Interleave floor and job, single and columns, so that a slow minute of the machine meets all alike."""
    runs = []
    for number in range(1, rounds + 1):
        for layout in LAYOUTS:
            config = Config(
                kafka={
                    "bootstrap_servers": broker.bootstrap_servers,
                    "partitions": PARTITIONS,
                    "topic_prefix": f"{layout}-{uuid.uuid4().hex[:8]}-",
                }
            )
            create_topics(config)
            loaded_s = load(config, traffic[layout], layout)
            floor = run_floor(config, layout)
            job = run_job(directory, config, traffic[layout])
            runs += [floor, Run("job", layout, job.events, job.wall_s, job.cpu_s)]
            console.print(
                f"round {number} of {rounds}, {layout}: loaded in {loaded_s:.1f} s, floor {floor.events_per_s:,.0f}/s,"
                f" job {runs[-1].events_per_s:,.0f}/s, {job.windows} final windows right to the last row",
                highlight=False,
            )
    return runs


def run_floor(config: Config, layout: str) -> Run:
    """Run the bare loop in a process of its own."""
    topics = ",".join(config.kafka.topic(name) for name in ("predictions", "labels"))
    command = [sys.executable, "-m", "bench.floor", "--bootstrap-servers", config.kafka.bootstrap_servers]
    command += ["--topics", topics, "--partitions", str(PARTITIONS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_FLOOR_TIMEOUT_S)
    figures = json.loads(done.stdout)
    return Run("floor", layout, figures["events"], figures["wall_s"], figures["cpu_s"])


def table_of(runs: list[Run]) -> Table:
    """The figures: median, smallest and largest of the rounds, and the ratio to the floor."""
    table = Table("", "layout", title="Join + 1-minute window, exactly-once, on the local broker")
    for name in ("events/s (min to max)", "of floor", "target", "CPU µs/event (min to max)", "times floor"):
        table.add_column(name, justify="right", no_wrap=True)
    for layout in LAYOUTS:
        medians = {}
        for what in ("floor", "job"):
            chosen = [run for run in runs if (run.what, run.layout) == (what, layout)]
            rates, costs = [run.events_per_s for run in chosen], [run.cpu_us for run in chosen]
            medians[what] = (median(rates), median(costs))
            table.add_row(
                what,
                layout,
                f"{median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})",
                f"{medians[what][0] / medians['floor'][0]:.2f}",
                f"{TARGETS[layout]:,}" if what == "job" else "",
                f"{median(costs):.2f} ({min(costs):.2f} to {max(costs):.2f})",
                f"{medians[what][1] / medians['floor'][1]:.2f}",
            )
    return table


def save(runs: list[Run], settings: dict[str, Any]) -> Path:
    """Write everything measured, and on what; returns the path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    rows = [asdict(run) | {"events_per_s": run.events_per_s, "cpu_us_per_event": run.cpu_us} for run in runs]
    path.write_text(json.dumps({"settings": settings, "machine": machine, "runs": rows}, indent=2) + "\n")
    return path


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="predictions, and as many labels, one a record")
    parser.add_argument("--batch-events", type=int, default=4_000_000, help="the same in columnar records of 1,000")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    console = Console()
    console.width = max(console.width, 120)  # the table is for reading, also in a log
    start_ms = time.time_ns() // 1_000_000 - _SPAN_MS - 60_000
    counts = {"single": arguments.events, "columns": arguments.batch_events}
    traffic = {layout: make_traffic(count, PARTITIONS, start_ms, _SPAN_MS) for layout, count in counts.items()}
    with tempfile.TemporaryDirectory(prefix="driftline-bench-") as folder:
        directory = Path(folder)
        options = BrokerOptions(data_dir=directory / "kafka", port=0, heap_mb=1024)
        with LocalBroker(options, lambda line: console.print(f"[dim]{line}[/]", highlight=False)) as broker:
            runs = measure(console, broker, traffic, arguments.rounds, directory)
    console.print(table_of(runs))
    console.print(f"Written to {save(runs, {**counts, 'rounds': arguments.rounds, 'partitions': PARTITIONS})}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
