"""Kafka Streams: exactly-once, its other settings as they come; the sources lie in ``kafka_streams``."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.job import HORIZON_MS
from bench.measure import Program, measure, started
from bench.peers.java import built, java
from bench.peers.peer import Loaded, Say
from bench.progress import GroupProgress
from bench.run import KAFKA_STREAMS, Run

_SOURCE = Path(__file__).parent / "kafka_streams"
_COLD = f"{KAFKA_STREAMS}, cold"


class KafkaStreams:
    """The job in the DSL of Kafka Streams: twice in one process, so that the second run finds compiled code."""

    rows: Sequence[str] = (_COLD, KAFKA_STREAMS)

    def __init__(self) -> None:
        self._classpath: list[Path] = []

    def prepare(self, say: Say) -> None:
        self._classpath = built("kafka-streams", _SOURCE, say)
        java()

    def run(self, loaded: Loaded) -> list[Run]:
        directory = loaded.directory / f"{loaded.config.kafka.topic_prefix}streams"
        command = [java(), "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        command += ["-cp", ":".join(str(jar) for jar in self._classpath), "driftline.bench.Main"]
        command += [loaded.config.kafka.bootstrap_servers, *loaded.inputs, str(HORIZON_MS), str(directory)]
        with started(command, directory.with_suffix(".log")) as program:
            return [_run_once(program, loaded, what) for what in self.rows]


def _run_once(program: Program, loaded: Loaded, what: str) -> Run:
    name = "streams-cold" if what == _COLD else "streams-warm"
    application, windows = loaded.config.kafka.topic(name), loaded.create(f"{name}-windows")
    program.tell(f"{application} {windows}")
    regrouped = f"{application}-judged-repartition"
    with GroupProgress(loaded.config, application, loaded.inputs) as inputs:
        program.wait_for(inputs.committed, 0)
        with GroupProgress(loaded.config, application, [regrouped]) as rest:
            run = measure(program, what, "single", loaded.events, inputs, rest)
    checked, wrong = loaded.check(windows)
    return replace(run, windows=checked, wrong_windows=wrong)
