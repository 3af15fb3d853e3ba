"""``make profile``: where the worker's CPU time goes, by stage, from samples of a real run on the local broker.

py-spy looks at the Python stacks; the time of a kernel is its caller's. librdkafka's threads have no Python stack: the
system tells what they took.
"""

import argparse
import signal
import subprocess
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from bench.job import worker_process, write_config
from bench.measure import Program, measure
from bench.peers.peer import Loaded
from bench.progress import GroupProgress
from bench.rounds import load_topics, local_broker, traffic_of
from bench.run import Run

STAGES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("monitor", ("thread monitor",)),
    ("commit", ("engine/transaction.py", "_run (pipeline/engine/outside.py")),
    ("decode", ("core/codec/",)),
    ("outputs", ("changelog (pipeline/processors/", "processors/partials.py", "take (pipeline/processors/pieces.py")),
    ("join", ("core/join", "core/details.py", "engine/cold_rows.py")),
    ("outputs", ("flush (pipeline/processors/joiner.py",)),
    ("fold", ("process (pipeline/processors/joiner.py",)),
    ("consume", ("_gather (", "engine/batches.py", "engine/inputs.py")),
    ("hosting", ("",)),
)
"""A sample belongs to the first stage of which a mark stands anywhere in its stack."""

_RATE_HZ = 250
_STOP_TIMEOUT_S = 60.0
_ROWS = {"single": 1_000_000, "columns": 4_000_000}


def stage_of(stack: str) -> str:
    """The stage of a sample.

    Args:
        stack: its thread and frames from the outermost on, with semicolons between, each with its file.

    Returns:
        One of the names in ``STAGES``.
    """
    return next(stage for stage, marks in STAGES if any(mark in stack for mark in marks))


def stages_of(lines: Iterable[str]) -> Counter[str]:
    """Samples by stage, from py-spy's lines: a stack, and how often it was seen."""
    seen: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        if stack:
            seen[stage_of(stack)] += int(count)
    return seen


def profile(loaded: Loaded, layout: str) -> tuple[Run, Counter[str], float]:
    """Run a worker on loaded topics and look at it from its first commit to its last.

    Args:
        loaded: the topics.
        layout: how they were loaded.

    Returns:
        The run, samples by stage, and the CPU seconds of threads without a Python stack.
    """
    path = write_config(loaded.directory, loaded.config)
    prefix = loaded.config.kafka.topic_prefix
    samples = path.with_suffix(".samples")
    with (
        worker_process(path, path.with_suffix(".log")) as worker,
        GroupProgress(loaded.config, f"{prefix}driftline-joiner", loaded.inputs) as inputs,
    ):
        worker.wait_for(inputs.committed, 0)
        native = _native_s(worker)
        command = [f"{sysconfig.get_path('scripts')}/py-spy", "record", "--pid", str(worker.process.pid)]
        command += ["--format", "raw", "--threads", "--rate", str(_RATE_HZ), "--output", str(samples)]
        spy = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        run = measure(worker, "profiled", loaded.events, inputs, None, layout)
        native = _native_s(worker) - native
        spy.send_signal(signal.SIGINT)  # it writes what it has seen
        _, said = spy.communicate(timeout=_STOP_TIMEOUT_S)
    if not samples.exists():
        raise RuntimeError(f"py-spy could not look into the worker: {said.decode(errors='replace').strip()}")
    return run, stages_of(samples.read_text().splitlines()), native


def table_of(run: Run, seen: Counter[str], native_s: float) -> Table:
    """CPU time an event by stage: librdkafka's as the system tells, the rest shared out by samples."""
    table = Table("stage", title=f"{run.layout}: {run.cpu_us:.2f} CPU µs an event, {run.events_per_s:,.0f} events/s")
    for name in ("samples", "CPU µs/event", "share"):
        table.add_column(name, justify="right")
    native_us = native_s * 1e6 / run.events
    total = sum(seen.values())
    rows = [("librdkafka's threads", "", native_us)]
    rows += [(stage, str(count), (run.cpu_us - native_us) * count / total) for stage, count in seen.most_common()]
    for stage, count, cost_us in rows:
        table.add_row(stage, f"{count:>6}", f"{cost_us:.3f}", f"{cost_us / run.cpu_us:.0%}")
    return table


def _native_s(worker: Program) -> float:
    """CPU seconds of librdkafka's threads so far; they name themselves ``rdk:…``."""
    spent = 0.0
    for thread in psutil.Process(worker.process.pid).threads():
        name = Path(f"/proc/{worker.process.pid}/task/{thread.id}/comm")
        if name.exists() and name.read_text().startswith("rdk:"):
            spent += thread.user_time + thread.system_time
    return spent


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.stage_profile", description=__doc__)
    parser.add_argument("--events", type=int, default=_ROWS["single"], help="predictions, and as many labels")
    parser.add_argument("--batch-events", type=int, default=_ROWS["columns"], help="the same in columnar records")
    arguments = parser.parse_args()
    console = Console(width=120)
    with local_broker(console.print) as (address, directory):
        for layout, rows in (("single", arguments.events), ("columns", arguments.batch_events)):
            loaded = load_topics(address, traffic_of(rows), layout, directory, console.print)
            console.print(table_of(*profile(loaded, layout)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
