"""What a peer is to the benchmark."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from confluent_kafka.admin import AdminClient, NewTopic

from bench.events import Traffic
from bench.job import HORIZON_MS, WINDOW_MS
from bench.run import Run
from bench.truth import Counts, true_windows, wrong_windows
from pipeline.config import Config

Say = Callable[[str], None]
"""Tells a person something, in one line."""

_TIMEOUT_S = 20.0


class MissingError(Exception):
    """What a peer needs is not on this machine and cannot be had."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Topics that are filled, one event a record.

    Attributes:
        config: where Kafka is; its prefix keeps the topics apart.
        traffic: what was loaded.
        directory: for configuration, logs and state.
        say: told what a person should know.
    """

    config: Config
    traffic: Traffic
    directory: Path
    say: Say

    @property
    def events(self) -> int:
        """Predictions and labels."""
        return 2 * len(self.traffic)

    @property
    def inputs(self) -> list[str]:
        """The full names of predictions and labels."""
        return [self.config.kafka.topic(name) for name in ("predictions", "labels")]

    def create(self, topic: str) -> str:
        """Create a topic for a peer's windows and return its full name."""
        name = self.config.kafka.topic(topic)
        admin = AdminClient(self.config.kafka.properties)
        admin.create_topics([NewTopic(name, self.config.kafka.partitions, 1)])[name].result(_TIMEOUT_S)
        return name

    def checked(self, run: Run, topic: str) -> Run:
        """Hold what a peer published against the truth.

        Args:
            run: its figures.
            topic: where its windows are, by the full name; ``window_start_ms``, ``predictions``, ``labelled`` and
                ``correct`` in each event, the newest of a window counts.

        Returns:
            The figures with the number of windows checked, and how many of these are missing or wrong.
        """
        truth = true_windows(self.traffic, WINDOW_MS, HORIZON_MS)
        wrong = wrong_windows(self.config, topic, truth, _read)
        for start, counts in wrong.items():
            self.say(f"  {run.what}: window {start} says {counts}, the truth is {truth[start]}")
        return replace(run, windows=len(truth), wrong_windows=len(wrong))


class Peer(Protocol):
    """An engine that can do the job.

    Attributes:
        name: for people.
    """

    name: str

    def prepare(self, say: Say) -> None:
        """Build or install what it needs, unless that was done before.

        Raises:
            MissingError: that is not possible here; the message says what is missing.
        """

    def run(self, loaded: Loaded) -> list[Run]:
        """Run it on loaded topics; raises RuntimeError when it fails."""


def _read(event: dict[str, Any]) -> tuple[int, Counts]:
    return event["window_start_ms"], Counts(event["predictions"], event["labelled"], event["correct"])
