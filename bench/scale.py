"""``python -m bench.scale``: does an event cost the same with more workers and partitions? And how long is a start?

The job of ``make bench``, single events, each time over the same rows: CPU µs an event of all workers together. The
second start of the worker finds its kernels compiled; it is measured up to its first commit.
"""

import argparse
import sys
import tempfile
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.events import make_traffic
from bench.job import HORIZON_MS, WINDOW_MS, worker_process, write_config
from bench.load import load
from bench.progress import GroupProgress
from bench.truth import check_windows
from pipeline.config import Config
from pipeline.local_broker import BrokerOptions, LocalBroker
from pipeline.topics import create_topics

POINTS = ((1, 2), (1, 16), (1, 64), (2, 16), (4, 16))
"""Workers and partitions."""

SPAN_MS = 600_000


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement: seconds to the first commit, CPU µs an event, events a second, final windows found right."""

    start_s: float
    cpu_us: float
    events_per_s: float
    windows: int


def measure(broker: LocalBroker, rows: int, workers: int, partitions: int, directory: Path) -> Point:
    """Load topics of their own and let some workers take them in."""
    kafka = {"bootstrap_servers": broker.bootstrap_servers, "partitions": partitions}
    config = Config(kafka={**kafka, "topic_prefix": f"scale-{uuid.uuid4().hex[:8]}-"})
    create_topics(config)
    now_ms = time.time_ns() // 1_000_000
    traffic = make_traffic(rows, partitions, now_ms - SPAN_MS - 120_000, SPAN_MS)
    load(config, traffic, "single")
    inputs = [config.kafka.topic(name) for name in ("predictions", "labels")]
    prefix = config.kafka.topic_prefix
    with (
        GroupProgress(config, f"{prefix}driftline-joiner", inputs) as joiner,
        GroupProgress(config, f"{prefix}driftline-monitor", [config.kafka.topic("partials")]) as monitor,
        ExitStack() as stack,
    ):
        template = write_config(directory, config).read_text()
        began = time.perf_counter()
        programs = []
        for number in range(workers):
            path = directory / f"{prefix}{number}.toml"
            path.write_text(template.replace('name = "bench"', f'name = "bench-{number}"'))
            programs.append(stack.enter_context(worker_process(path, path.with_suffix(".log"))))
        first, records = programs[0], joiner.records()
        done = first.wait_for(joiner.committed, 0)
        start_s = time.perf_counter() - began
        cpu_s, began = sum(program.cpu_s() for program in programs), time.perf_counter()
        first.wait_for(joiner.committed, records - 1)
        first.wait_for(lambda: monitor.is_at_end(markers=workers), 0)
        events = max(1.0, 2 * rows * (1 - done / records))
        wall_s, cpu_s = time.perf_counter() - began, sum(program.cpu_s() for program in programs) - cpu_s
        windows = check_windows(config, traffic, WINDOW_MS, HORIZON_MS)
    return Point(start_s, cpu_s * 1e6 / events, events / wall_s, windows)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="predictions, and as many labels")
    options = parser.parse_args()
    console = Console(width=120)
    table = Table(title="One job, more workers and partitions; two cores shared with the broker")
    for name in ("workers", "partitions", "CPU µs/event", "of the first", "events/s", "first commit after", "windows"):
        table.add_column(name, justify="right")
    with tempfile.TemporaryDirectory(prefix="driftline-bench-") as folder:
        directory = Path(folder)
        with LocalBroker(BrokerOptions(directory / "kafka", port=0)) as broker:
            measure(broker, 10_000, 1, 2, directory)  # compiles the kernels where that has never been done
            least = 0.0
            for workers, partitions in POINTS:
                found = measure(broker, options.rows, workers, partitions, directory)
                least = least or found.cpu_us
                table.add_row(
                    str(workers), str(partitions), f"{found.cpu_us:.2f}", f"{found.cpu_us / least:.2f}",
                    f"{found.events_per_s:,.0f}", f"{found.start_s:.1f} s", str(found.windows),
                )  # fmt: skip
                console.print(f"{workers} workers, {partitions} partitions: {found}")
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
