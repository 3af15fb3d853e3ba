"""``python -m tests.faults``: real workers on a real broker, one fault after another, until the time is over."""

import argparse
import json
import sys
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipeline.config import Config
from pipeline.local_broker import BrokerOptions, LocalBroker
from pipeline.processors.warm_up import warm_monitor
from tests.faults.rounds import Result, run_round
from tests.faults.scenarios import FAULTS
from tests.free_ports import free_port


def main() -> int:
    """Run rounds, print the table, write the report; 1 when anything differed."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="no round is begun after this; 0: each fault once")
    parser.add_argument("--faults", default=",".join(FAULTS), help=f"some of {','.join(FAULTS)}")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the first round; each later one is 1 on")
    parser.add_argument("--span", type=float, default=25, help="seconds that a fault without an end of its own goes on")
    parser.add_argument("--amount", type=float, default=1.0, help="share of the full number of strikes, 1 for all")
    parser.add_argument("--folder", type=Path, default=Path(".faults"), help="for the broker, logs and the report")
    options = parser.parse_args()
    names = options.faults.split(",")
    if unknown := set(names) - set(FAULTS):
        parser.error(f"no such faults: {', '.join(sorted(unknown))}; there are {', '.join(FAULTS)}")
    run = options.folder.absolute() / time.strftime("%Y%m%d-%H%M%S")
    console = Console()
    results: list[Result] = []
    console.print("loading kernels; the first run on a machine compiles them")
    warm_monitor(Config())
    end_s = time.monotonic() + 60 * options.minutes
    # A port of its own that stays: after a restart the clients must find the broker where it was.
    with LocalBroker(BrokerOptions(data_dir=run / "broker", port=free_port(), heap_mb=512)) as broker:
        number = 0
        with suppress(KeyboardInterrupt):  # what is done so far is shown none the less
            while number < len(names) or time.monotonic() < end_s:
                name, seed = names[number % len(names)], options.seed + number
                result = run_round(
                    name, FAULTS[name][1], broker, run / f"{number:03}-{name}", seed,
                    span_s=options.span, amount=options.amount,
                )  # fmt: skip
                results.append(result)
                _tell(console, result)
                _write(run / "report.json", results)
                number += 1
    console.print(table(results))
    console.print(f"report: {run / 'report.json'}")
    return 1 if any(result.differences for result in results) else 0


def table(results: list[Result]) -> Table:
    """Fault by fault: how often, how much was compared, what differed, the longest stall."""
    shown = Table("fault", title=f"{len(results)} rounds")
    for column in ("rounds", "tried", "windows", "differences", "longest stall s", "pause s: median, most"):
        shown.add_column(column, justify="right")
    by_fault: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_fault[result.fault].append(result)
    for fault, those in by_fault.items():
        pauses = sorted(pause for result in those for pause in result.pauses_s)
        shown.add_row(
            FAULTS[fault][0],
            str(len(those)),
            f"{sum(result.tries for result in those):,}",
            f"{sum(result.windows for result in those):,}",
            str(sum(len(result.differences) for result in those)),
            f"{max(result.longest_stall_s for result in those):.1f}",
            f"{pauses[len(pauses) // 2]:.1f}, {pauses[-1]:.1f}" if pauses else "-",
        )
    return shown


def _tell(console: Console, result: Result) -> None:
    console.print(
        f"{result.fault} (seed {result.seed}): {result.tries} tries, {result.windows} windows,"
        f" {len(result.differences)} differences, {result.duration_s:.0f} s",
        *result.notes, sep="; ", style="red" if result.differences else None,
    )  # fmt: skip
    if result.differences:
        for line in result.differences:
            console.print("   ", line, markup=False)
        console.print(f"    logs: {result.folder}")
        console.print(f"    again: python -m tests.faults --minutes 0 --faults {result.fault} --seed {result.seed}")


def _write(path: Path, results: list[Result]) -> None:
    path.write_text(json.dumps([asdict(result) for result in results], indent=1, default=str), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
