"""``make profile``: where the worker's CPU time goes, by stage, from samples of a real run on the local broker.

The system tells the CPU time of each thread. The joiner's thread is where decoding, joining and folding happen: its
time is shared out by the stacks that py-spy sees there, the time of a kernel being its caller's.
"""

import argparse
import re
import signal
import subprocess
import sys
import sysconfig
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
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
    ("commit", ("engine/commits.py", "engine/outside.py")),
    ("decode", ("core/codec/",)),
    ("outputs", ("changelog (pipeline/processors/",)),
    ("join", ("core/join", "core/details.py", "engine/cold_rows.py")),
    ("outputs", ("flush (pipeline/processors/",)),
    ("fold", ("process (pipeline/processors/",)),
    ("consume", ("",)),
)
"""A sample of the joiner's thread belongs to the first stage of which a mark stands anywhere in its stack."""

KAFKA, MONITOR, HOSTING = "librdkafka", "monitor", "hosting"
"""Where the other threads belong: Kafka's client, the monitor, and what is neither: event loop, web page, watchdog."""

_RATE_HZ = 250
_STOP_TIMEOUT_S = 60.0


def stages_of(lines: Iterable[str]) -> Counter[str]:
    """Samples of the joiner's thread by stage.

    Args:
        lines: as py-spy writes them: thread and frames from the outermost on with semicolons between, each with its
            file, then how often the stack was seen.

    Returns:
        Samples by the names in ``STAGES``.
    """
    seen: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        if stack.partition(";")[0].endswith(": joiner"):
            seen[next(stage for stage, marks in STAGES if any(mark in stack for mark in marks))] += int(count)
    return seen


def costs_of(total_s: float, threads_s: Mapping[str, float], seen: Counter[str]) -> dict[str, float]:
    """CPU seconds by stage.

    Args:
        total_s: of the process.
        threads_s: of its threads that lived all the time, by name.
        seen: samples of the joiner's thread by stage.

    Returns:
        Seconds; the largest first. What threads took that have ended is the commits', which get one each.
    """
    costs = defaultdict[str, float](float, commit=max(0.0, total_s - sum(threads_s.values())))
    for name, spent_s in threads_s.items():
        if name == "joiner":
            for stage, count in seen.items():
                costs[stage] += spent_s * count / seen.total()
        else:
            costs[KAFKA if name.startswith("rdk:") else name if name == MONITOR else HOSTING] += spent_s
    return dict(sorted(costs.items(), key=lambda cost: -cost[1]))


def profile(loaded: Loaded, layout: str) -> tuple[Run, dict[str, float], int]:
    """Run a worker on loaded topics and look at it from its first commit to its last.

    Args:
        loaded: the topics.
        layout: how they were loaded.

    Returns:
        The run, CPU seconds by stage, and how many samples these rest on.
    """
    path = write_config(loaded.directory, loaded.config)
    prefix = loaded.config.kafka.topic_prefix
    samples = path.with_suffix(".samples")
    with (
        worker_process(path, path.with_suffix(".log")) as worker,
        GroupProgress(loaded.config, f"{prefix}driftline-joiner", loaded.inputs) as inputs,
    ):
        worker.wait_for(inputs.committed, 0)
        command = [f"{sysconfig.get_path('scripts')}/py-spy", "record", "--pid", str(worker.process.pid)]
        command += ["--format", "raw", "--threads", "--rate", str(_RATE_HZ), "--output", str(samples)]
        before = _threads_s(worker)
        spy = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        run = measure(worker, "profiled", loaded.events, inputs, None, layout)
        after = _threads_s(worker)
        spy.send_signal(signal.SIGINT)  # it writes what it has seen
        _, said = spy.communicate(timeout=_STOP_TIMEOUT_S)
    if not samples.exists():
        raise RuntimeError(f"py-spy could not look into the worker: {said.decode(errors='replace').strip()}")
    lines = samples.read_text().splitlines()
    names = dict(re.findall(r"^thread \((\d+)\): ([^;]*)", "\n".join(lines), re.MULTILINE))
    threads_s = defaultdict[str, float](float)
    for number, (name, spent_s) in after.items():
        if number in before:
            threads_s[names.get(str(number), name)] += spent_s - before[number][1]
    seen = stages_of(lines)
    return run, costs_of(run.cpu_s, threads_s, seen), seen.total()


def table_of(run: Run, costs_s: Mapping[str, float], samples: int) -> Table:
    """CPU time an event by stage."""
    title = f"{run.layout}: {run.cpu_us:.2f} CPU µs an event, {run.events_per_s:,.0f} events/s, {samples:,} samples"
    table = Table("stage", title=title, min_width=len(title) + 4)
    for name in ("CPU µs/event", "share"):
        table.add_column(name, justify="right")
    for stage, cost_s in costs_s.items():
        table.add_row(stage, f"{cost_s * 1e6 / run.events:.3f}", f"{cost_s / run.cpu_s:.0%}")
    return table


def _threads_s(worker: Program) -> dict[int, tuple[str, float]]:
    """The name that the system knows, and CPU seconds so far, of each thread; librdkafka's are called ``rdk:…``."""
    found = {}
    for thread in psutil.Process(worker.process.pid).threads():
        name = Path(f"/proc/{worker.process.pid}/task/{thread.id}/comm")
        if name.exists():
            found[thread.id] = (name.read_text().strip(), thread.user_time + thread.system_time)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.stage_profile", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="predictions, and as many labels, one a record")
    parser.add_argument("--batch-events", type=int, default=4_000_000, help="the same in columnar records of 1,000")
    arguments = parser.parse_args()
    console = Console(width=120)
    with local_broker(console.print) as (address, directory):
        for layout, rows in (("single", arguments.events), ("columns", arguments.batch_events)):
            loaded = load_topics(address, traffic_of(rows), layout, directory, console.print)
            console.print(table_of(*profile(loaded, layout)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
