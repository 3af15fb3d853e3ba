"""The job under test: a real worker process (roles joiner and monitor, exactly-once) reads what was loaded."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from bench.events import Traffic
from bench.truth import check_windows
from pipeline.config import Config
from pipeline.processes import tied_command

WINDOW_MS = 60_000
HORIZON_MS = 120_000
TIMEOUT_S = 300.0

_POLL_S = 0.05
_COORDINATOR_SOON = {
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
}
_STOP_TIMEOUT_S = 20.0
_TOML = """\
[kafka]
bootstrap_servers = "{bootstrap_servers}"
topic_prefix = "{prefix}"
partitions = {partitions}

[windows]
sizes = ["1m"]
label_horizon = "2m"
allowed_lateness = "5s"
idle_timeout = "2s"

[worker]
name = "bench"
roles = ["joiner", "monitor"]
web_port = 0
state_dir = ""
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run.

    Attributes:
        events: predictions and labels taken in while the clock ran.
        wall_s: from the joiner's first commit until joiner and monitor had committed everything.
        cpu_s: CPU time of the worker process in that time, all its threads.
        windows: final windows published and found right to the last row.
    """

    events: int
    wall_s: float
    cpu_s: float
    windows: int


def write_config(directory: Path, config: Config) -> Path:
    """Write the worker's configuration; returns its path."""
    path = directory / f"{config.kafka.topic_prefix}driftline.toml"
    path.write_text(
        _TOML.format(
            bootstrap_servers=config.kafka.bootstrap_servers,
            prefix=config.kafka.topic_prefix,
            partitions=config.kafka.partitions,
        )
    )
    return path


def run_job(directory: Path, config: Config, traffic: Traffic) -> Measured:
    """Start a worker on loaded topics, measure it, check its windows against the truth, stop it.

    Args:
        directory: where its configuration and log go.
        config: where Kafka is.
        traffic: what was loaded.

    Returns:
        The figures.

    Raises:
        RuntimeError: the worker died, took too long, or published wrong windows.
    """
    path = write_config(directory, config)
    log = path.with_suffix(".log")
    with worker_process(path, log) as worker:
        progress = _Progress(config)
        try:
            events, wall_s, cpu_s = _measure(worker, progress, 2 * len(traffic))
            windows = check_windows(config, traffic, WINDOW_MS, HORIZON_MS)
        except RuntimeError as error:
            raise RuntimeError(f"{error}; the worker's log ends:\n{log.read_text()[-4000:]}") from error
        finally:
            progress.close()
    return Measured(events, wall_s, cpu_s, windows)


class _Progress:
    """How much of their inputs the two processors have committed."""

    def __init__(self, config: Config) -> None:
        self._joiner = _committed_reader(config, "driftline-joiner")
        self._monitor = _committed_reader(config, "driftline-monitor")
        self._inputs = self._spots(config, ("predictions", "labels"))
        self._partials = self._spots(config, ("partials",))
        self._ends = {(s.topic, s.partition): self._end(self._joiner, s) for s in self._inputs}

    def close(self) -> None:
        self._joiner.close()
        self._monitor.close()

    @property
    def joined(self) -> float:
        """The share of the input records that the joiner has committed."""
        return sum(max(0, spot.offset) for spot in _committed(self._joiner, self._inputs)) / sum(self._ends.values())

    @property
    def monitor_is_done(self) -> bool:
        """Whether the monitor has committed all partials; behind the last one stands the transaction's marker."""
        spots = _committed(self._monitor, self._partials)
        return bool(spots) and all(spot.offset >= self._end(self._monitor, spot) - 1 for spot in spots)

    def _spots(self, config: Config, names: Sequence[str]) -> list[TopicPartition]:
        topics = [config.kafka.topic(name) for name in names]
        return [TopicPartition(topic, number) for topic in topics for number in range(config.kafka.partitions)]

    @staticmethod
    def _end(consumer: Consumer, spot: TopicPartition) -> int:
        return consumer.get_watermark_offsets(spot, timeout=10)[1]


def _measure(worker: subprocess.Popen[bytes], progress: _Progress, events: int) -> tuple[int, float, float]:
    process = psutil.Process(worker.pid)
    # Start-up and the first fetches lie before the first commit; both ends of the measured time are commits.
    done = _wait_for(worker, lambda: progress.joined, 0.0)
    wall, cpu = time.perf_counter(), _cpu_s(process)
    _wait_for(worker, lambda: progress.joined + progress.monitor_is_done, 1.999)
    return round(events * (1 - done)), time.perf_counter() - wall, _cpu_s(process) - cpu


def _committed_reader(config: Config, group: str) -> Consumer:
    """A client that only asks what another group has committed; it never joins it."""
    group_id = f"{config.kafka.topic_prefix}{group}"
    return Consumer({**config.kafka.properties, "group.id": group_id, "enable.auto.commit": False})


def _committed(consumer: Consumer, spots: list[TopicPartition]) -> list[TopicPartition]:
    """What the group has committed; nothing while a fresh broker still looks for the group's coordinator."""
    try:
        return consumer.committed(spots, timeout=10)
    except KafkaException as exception:
        if exception.args[0].code() not in _COORDINATOR_SOON:
            raise
        return []


def _wait_for(worker: subprocess.Popen[bytes], value: Callable[[], float], above: float) -> float:
    deadline = time.monotonic() + TIMEOUT_S
    while (current := value()) <= above:
        if worker.poll() is not None:
            raise RuntimeError(f"the worker ended with exit code {worker.returncode}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"the worker did not finish within {TIMEOUT_S:.0f} s: {current:.3f} of {above:.3f}")
        time.sleep(_POLL_S)
    return current


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def worker_process(config_path: Path, log_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker, stopped at the end."""
    with log_path.open("wb") as log:
        command = tied_command([sys.executable, "-m", "pipeline.cli", "worker", "--config", str(config_path)])
        worker = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            yield worker
        finally:
            worker.terminate()
            try:
                worker.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
