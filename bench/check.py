"""``make bench-check``: ours beside the floor in one run, against the ratios that are kept in ``baseline.json``.

Events a second and CPU time depend on the machine; their ratios to a loop that only consumes and decodes much less.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from bench.report import runs_of
from bench.rounds import Plan, run_rounds
from bench.run import FLOOR, JOB, Run

BASELINE = Path(__file__).parent / "baseline.json"
ALLOWED_FALL = 0.15

Ratios = Mapping[str, float]
"""By layout and what: ``single.rate`` is our events a second over the floor's, ``single.cpu`` the floor's CPU time an
event over ours; the larger, the better."""


def ratios_of(runs: Sequence[Run]) -> Ratios:
    """The medians' ratios.

    Args:
        runs: of the floor and of ours, in each layout.

    Returns:
        Two ratios a layout.
    """
    found = {}
    for layout in dict.fromkeys(run.layout for run in runs):
        floor, job = ([run for run in runs if (run.what, run.layout) == (what, layout)] for what in (FLOOR, JOB))
        rates = [median(run.events_per_s for run in group) for group in (job, floor)]
        costs = [median(run.cpu_us for run in group) for group in (floor, job)]
        found[f"{layout}.rate"] = rates[0] / rates[1]
        found[f"{layout}.cpu"] = costs[0] / costs[1]
    return found


def fallen(now: Ratios, baseline: Ratios) -> list[str]:
    """The names of the ratios that are more than 15 % below the baseline, or were not measured."""
    return [name for name, before in baseline.items() if now.get(name, 0.0) < before * (1 - ALLOWED_FALL)]


def keep(result: Path) -> None:
    """Make a saved run the baseline."""
    saved = json.loads(result.read_text())
    ratios = {name: round(value, 3) for name, value in ratios_of(runs_of(saved)).items()}
    BASELINE.write_text(json.dumps({"ratios": ratios, "machine": saved["machine"]}, indent=2) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.check", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="predictions, and as many labels, one a record")
    parser.add_argument("--batch-events", type=int, default=4_000_000, help="the same in columnar records of 1,000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="take a run of make bench, by its JSON, as the new baseline")
    arguments = parser.parse_args()
    if arguments.keep:
        keep(arguments.keep)
        return 0
    console = Console(width=120)
    now = ratios_of(run_rounds(Plan(arguments.events, arguments.batch_events, 0, arguments.rounds), console.print))
    baseline = json.loads(BASELINE.read_text())["ratios"]
    low = fallen(now, baseline)
    table = Table("ratio to the floor", title=f"At most {ALLOWED_FALL:.0%} below the baseline is allowed")
    for name in ("baseline", "now", "change", ""):
        table.add_column(name, justify="right")
    for name, before in baseline.items():
        after = now.get(name, 0.0)
        verdict = "[red]fallen[/]" if name in low else "[green]kept[/]"
        table.add_row(name, f"{before:.3f}", f"{after:.3f}", f"{after / before - 1:+.0%}", verdict)
    console.print(table)
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
