"""The job under test: a real worker process (roles joiner and monitor, exactly-once) reads what was loaded."""

import sys
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from bench.events import Traffic
from bench.measure import Program, measure, started
from bench.progress import GroupProgress
from bench.run import JOB, Run
from bench.truth import check_windows
from pipeline.config import Config

WINDOW_MS = 60_000
HORIZON_MS = 120_000

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


def run_job(directory: Path, config: Config, traffic: Traffic, layout: str) -> Run:
    """Start a worker on loaded topics, measure it, check its windows against the truth, stop it.

    Args:
        directory: where its configuration and log go.
        config: where Kafka is.
        traffic: what was loaded.
        layout: how it was loaded.

    Returns:
        The figures.

    Raises:
        RuntimeError: the worker died, took too long, or published wrong windows.
    """
    path = write_config(directory, config)
    with worker_process(path, path.with_suffix(".log")) as worker:
        run = _measure(worker, config, 2 * len(traffic), layout)
        windows = check_windows(config, traffic, WINDOW_MS, HORIZON_MS)
    return replace(run, windows=windows)


def worker_process(config_path: Path, log_path: Path) -> AbstractContextManager[Program]:
    """A worker, stopped at the end."""
    return started([sys.executable, "-m", "pipeline.cli", "worker", "--config", str(config_path)], log_path)


def _measure(worker: Program, config: Config, events: int, layout: str) -> Run:
    prefix = config.kafka.topic_prefix
    inputs = [config.kafka.topic(name) for name in ("predictions", "labels")]
    with (
        GroupProgress(config, f"{prefix}driftline-joiner", inputs) as joiner,
        GroupProgress(config, f"{prefix}driftline-monitor", [config.kafka.topic("partials")]) as monitor,
    ):
        return measure(worker, JOB, events, joiner, monitor, layout)
