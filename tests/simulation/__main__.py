"""Run seeds: ``python -m tests.simulation --seeds 1000``, or one again with all that happens: ``--seed 123``."""

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.simulation.simulation import Result, simulate

PROGRESS_S = 0.5


@dataclass
class Total:
    """What many seeds showed."""

    began_s: float
    seeds: int = 0
    windows: int = 0
    virtual_s: float = 0.0
    failed: list[Result] = field(default_factory=list)
    taken: Counter[tuple[str, str]] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, result: Result) -> None:
        self.seeds += 1
        self.windows += result.windows
        self.virtual_s += result.virtual_s
        self.taken += result.taken
        self.counts += result.counts
        if result.differences:
            self.failed.append(result)

    def line(self) -> str:
        took_s = time.monotonic() - self.began_s
        return (
            f"{self.seeds:,} seeds, {len(self.failed)} failed; {self.windows:,} windows compared, "
            f"{self.virtual_s / 3_600:.1f} simulated hours, {self.counts['commits']:,} commits; "
            f"{took_s:.0f} s, {self.seeds / took_s:.1f} seeds/s"
        )

    def faults(self) -> str:
        """How often each fault was tried."""
        points = sorted({point for point, _ in self.taken})
        lines = [
            f"  {point}: " + ", ".join(f"{n} {a}" for (p, a), n in sorted(self.taken.items()) if p == point)
            for point in points
        ]
        return "\n".join(["faults:", *lines])


def say(text: str, end: str = "\n") -> None:
    sys.stdout.write(text + end)
    sys.stdout.flush()


def say_failure(result: Result) -> None:
    say(f"\nseed {result.seed} failed; again, with all that happens: python -m tests.simulation --seed {result.seed}")
    for difference in result.differences:
        say(f"  {difference}")


def run_many(first: int, seeds: int, jobs: int) -> int:
    total = Total(time.monotonic())
    said_s = 0.0
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for result in pool.imap_unordered(simulate, range(first, first + seeds), chunksize=8):
            total.add(result)
            if result.differences:
                say_failure(result)
            if sys.stdout.isatty() and time.monotonic() - said_s > PROGRESS_S:
                said_s = time.monotonic()
                say(f"\r{total.line()}", end="")
    say(f"\r{total.line()}")
    say(total.faults())
    return 1 if total.failed else 0


def run_one(seed: int) -> int:
    result = simulate(seed, say)
    if result.differences:
        say_failure(result)
        return 1
    say(f"seed {seed}: {result.windows} windows, no difference")
    return 0


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--seed", type=int, help="run this one and say all that happens")
    what.add_argument("--seeds", type=int, help="run so many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    given = parser.parse_args(arguments)
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of sets of texts is drawn anew in every process; a seed must mean the same in all of them.
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.simulation", *arguments],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    return run_one(given.seed) if given.seed is not None else run_many(given.first, given.seeds, given.jobs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
