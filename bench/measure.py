"""One way to measure a process, ours or a peer's: from the group's first commit until everything is committed."""

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from bench.progress import GroupProgress
from bench.run import Run
from pipeline.processes import tied_command

TIMEOUT_S = 600.0

_POLL_S = 0.05
_STOP_TIMEOUT_S = 20.0
_LOG_CHARACTERS = 4_000


class Program:
    """A process under measurement, with all that it starts.

    Args:
        process: the started process.
        log: where its output goes.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process, self._log = process, log

    def tell(self, line: str) -> None:
        """Write a line to its standard input."""
        if self.process.stdin is None:
            raise RuntimeError("the program was started without an input")
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()

    def cpu_s(self) -> float:
        """CPU time of the process and of all below it, so far."""
        return sum(times.user + times.system for times in (each.cpu_times() for each in self._tree()))

    def peak_rss_mb(self) -> float:
        """The largest resident memory of each process, added up; 0 where the system does not tell."""
        return sum(_peak_kb(each.pid) for each in self._tree()) / 1024

    def wait_for(self, value: Callable[[], float], above: float) -> float:
        """Wait until a number has grown.

        Args:
            value: asked again and again.
            above: what it must exceed.

        Returns:
            The number.

        Raises:
            RuntimeError: the process ended, or it took too long.
        """
        deadline = time.monotonic() + TIMEOUT_S
        while (current := value()) <= above:
            if self.process.poll() is not None:
                raise RuntimeError(f"it ended with exit code {self.process.returncode}; {self.last_lines()}")
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"it did not finish within {TIMEOUT_S:.0f} s: {current:,.0f} of {above:,.0f}; {self.last_lines()}"
                )
            time.sleep(_POLL_S)
        return current

    def last_lines(self) -> str:
        """The end of its log, for an error."""
        return f"its log ends:\n{self._log.read_text(errors='replace')[-_LOG_CHARACTERS:]}"

    def _tree(self) -> list[psutil.Process]:
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]


def measure(
    program: Program, what: str, events: int, inputs: GroupProgress, rest: GroupProgress | None, layout: str = "single"
) -> Run:
    """Measure one job on loaded topics; start-up and the first fetches lie before the first commit and do not count.

    Args:
        program: the running process.
        what: its name in the table.
        events: predictions and labels in the input topics.
        inputs: the job's group on the input topics, filled and no longer written.
        rest: its group on a topic that it writes itself on the way to its windows; None where it has none.
        layout: ``single`` or ``columns``.

    Returns:
        The figures, windows not yet looked at.

    Raises:
        RuntimeError: the process ended, it took too long, or there were too few events for a measurement.
    """
    records = inputs.records()
    done = program.wait_for(inputs.committed, 0)
    wall, cpu = time.perf_counter(), program.cpu_s()
    program.wait_for(inputs.committed, records - 1)
    if rest is not None:
        program.wait_for(lambda: rest.is_at_end(markers=1), 0)
    taken_in = round(events * (1 - done / records))
    if not taken_in:
        raise RuntimeError("its first commit had everything, so nothing is left to measure; give it more events")
    return Run(
        what,
        layout,
        taken_in,
        time.perf_counter() - wall,
        program.cpu_s() - cpu,
        program.peak_rss_mb(),
    )


@contextmanager
def started(command: Sequence[str], log_path: Path) -> Iterator[Program]:
    """Run a command for as long as the block lasts; it never outlives this process.

    Args:
        command: the program's absolute path and its arguments.
        log_path: where its output goes.
    """
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            tied_command(command),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield Program(process, log_path)
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    below = []
    with suppress(psutil.NoSuchProcess):
        below = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for each in below:  # a JVM below Python does not always hear of it
        with suppress(psutil.NoSuchProcess):
            each.kill()
    if process.stdin is not None:
        with suppress(BrokenPipeError):
            process.stdin.close()


def _peak_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)
