"""Kafka Streams: exactly-once, its other settings as they come; the sources lie in ``kafka_streams``."""

from dataclasses import dataclass
from pathlib import Path

from bench.job import HORIZON_MS
from bench.measure import Program, measure, started
from bench.peers.java import built, java
from bench.peers.peer import Loaded, Say
from bench.progress import GroupProgress
from bench.run import KAFKA_STREAMS, Run

_SOURCE = Path(__file__).parent / "kafka_streams"


@dataclass(frozen=True, slots=True)
class _Variant:
    """One run of the job.

    Attributes:
        what: its name in the table.
        word: in the names of its group and topics.
        threads: stream threads; one unless asked for more.
        join: ``left`` counts predictions without a label too, as ours does; ``inner`` the others alone.
    """

    what: str
    word: str
    threads: int = 1
    join: str = "left"


_VARIANTS = (
    _Variant(f"{KAFKA_STREAMS}, cold", "cold"),
    _Variant(KAFKA_STREAMS, "warm"),
    _Variant(f"{KAFKA_STREAMS}, 2 threads", "threads", threads=2),
    _Variant(f"{KAFKA_STREAMS}, inner join", "inner", join="inner"),
)


class KafkaStreams:
    """The job in the DSL of Kafka Streams, in one process: all runs but the first find compiled code."""

    name = KAFKA_STREAMS

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
            return [_run_once(program, loaded, variant) for variant in _VARIANTS]


def _run_once(program: Program, loaded: Loaded, variant: _Variant) -> Run:
    application = loaded.config.kafka.topic(f"streams-{variant.word}")
    windows = loaded.create(f"streams-{variant.word}-windows")
    program.tell(f"{application} {windows} {variant.threads} {variant.join}")
    regrouped = f"{application}-judged-repartition"
    with GroupProgress(loaded.config, application, loaded.inputs) as inputs:
        program.wait_for(inputs.committed, 0)  # from then on the topic between join and windows is there
        with GroupProgress(loaded.config, application, [regrouped]) as rest:
            run = measure(program, variant.what, loaded.events, inputs, rest)
    return loaded.checked(run, windows)
