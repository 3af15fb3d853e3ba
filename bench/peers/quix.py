"""Quix Streams: its interval join, exactly-once, commits every five seconds as it comes."""

import json
from pathlib import Path

from bench.job import HORIZON_MS
from bench.measure import measure, started
from bench.peers.environment import python_with
from bench.peers.peer import Loaded, Say
from bench.progress import GroupProgress
from bench.run import Run

_JOB = Path(__file__).parent / "jobs" / "quix_job.py"
_REQUIREMENTS = ("quixstreams==3.28.1",)


class QuixStreams:
    """Its left join gives a labelled prediction twice, so the inner join is taken: unlabelled ones are not counted."""

    name = "Quix Streams, inner join"

    def __init__(self) -> None:
        self._python = ""

    def prepare(self, say: Say) -> None:
        self._python = python_with("quix", _REQUIREMENTS, say)

    def run(self, loaded: Loaded) -> list[Run]:
        group, windows = loaded.config.kafka.topic("quix"), loaded.create("quix-windows")
        predictions, labels = loaded.inputs
        arguments = {
            "bootstrap_servers": loaded.config.kafka.bootstrap_servers,
            "predictions": predictions,
            "labels": labels,
            "windows": windows,
            "group": group,
            "horizon_ms": HORIZON_MS,
            "directory": str(loaded.directory / group),
        }
        log = loaded.directory / f"{group}.log"
        with (
            started([self._python, str(_JOB), json.dumps(arguments)], log) as program,
            GroupProgress(loaded.config, group, loaded.inputs) as inputs,
        ):
            return [loaded.checked(measure(program, self.name, loaded.events, inputs, None), windows)]
