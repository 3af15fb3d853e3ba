"""Bytewax: its join of two streams and a window, in memory, as it runs without a recovery store."""

import json
import subprocess
from pathlib import Path

from bench.job import HORIZON_MS
from bench.measure import TIMEOUT_S
from bench.peers.environment import python_with
from bench.peers.peer import Loaded, Say
from bench.run import Run

_JOB = Path(__file__).parent / "jobs" / "bytewax_job.py"
_REQUIREMENTS = ("bytewax[kafka]==0.21.1", "orjson==3.13.0")
_LAST_CHARACTERS = 1_500


class Bytewax:
    """Its join keeps a prediction until the label comes, without a horizon; it has no exactly-once for Kafka."""

    name = "Bytewax, inner join, no recovery"

    def __init__(self) -> None:
        self._python = ""

    def prepare(self, say: Say) -> None:
        self._python = python_with("bytewax", _REQUIREMENTS, say)

    def run(self, loaded: Loaded) -> list[Run]:
        windows = loaded.create("bytewax-windows")
        predictions, labels = loaded.inputs
        arguments = {
            "bootstrap_servers": loaded.config.kafka.bootstrap_servers,
            "predictions": predictions,
            "labels": labels,
            "windows": windows,
            "horizon_ms": HORIZON_MS,
        }
        command = [self._python, str(_JOB), json.dumps(arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        if done.returncode:
            raise RuntimeError(f"it ended with exit code {done.returncode}: {done.stderr[-_LAST_CHARACTERS:]}")
        figures = json.loads(done.stdout.splitlines()[-1])
        run = Run(self.name, "single", loaded.events, figures["wall_s"], figures["cpu_s"], figures["peak_rss_mb"])
        return [loaded.checked(run, windows)]
