"""Flink SQL through PyFlink: an interval join in the mini cluster, exactly-once, state on the heap as it comes."""

import json
from pathlib import Path

from bench.job import HORIZON_MS
from bench.measure import Program, measure, started
from bench.peers.environment import python_with
from bench.peers.java import built, java
from bench.peers.peer import Loaded, Say
from bench.progress import GroupProgress
from bench.run import Run

_JOB = Path(__file__).parent / "jobs" / "flink_job.py"
_REQUIREMENTS = ("apache-flink==1.20.5", "setuptools<80")  # a part of it still asks for pkg_resources
_JARS = Path(__file__).parent / "flink_jars"


class FlinkSql:
    """The job as one INSERT of Flink SQL; its default parallelism is the number of cores."""

    name = "Flink SQL"

    def __init__(self) -> None:
        self._python = ""
        self._jars: list[Path] = []

    def prepare(self, say: Say) -> None:
        java()
        self._jars = built("flink-jars", _JARS, say)
        self._python = python_with("flink", _REQUIREMENTS, say)

    def run(self, loaded: Loaded) -> list[Run]:
        group, windows = loaded.config.kafka.topic("flink"), loaded.create("flink-windows")
        predictions, labels = loaded.inputs
        arguments = {
            "jars": [str(jar) for jar in self._jars],
            "bootstrap_servers": loaded.config.kafka.bootstrap_servers,
            "predictions": predictions,
            "labels": labels,
            "windows": windows,
            "group": group,
            "horizon_ms": HORIZON_MS,
            "directory": str(loaded.directory / group),
        }
        log = loaded.directory / f"{group}.log"
        with started([self._python, str(_JOB), json.dumps(arguments)], log) as program:
            return [_measured(program, self.name, loaded, group, windows)]


def _measured(program: Program, name: str, loaded: Loaded, group: str, windows: str) -> Run:
    with GroupProgress(loaded.config, group, loaded.inputs) as inputs:
        return loaded.checked(measure(program, name, loaded.events, inputs, None), windows)
