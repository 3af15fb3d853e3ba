"""One round: topics of its own, seeded traffic, workers, one kind of fault, and at the end the auditor."""

import random
import time
import traceback
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from confluent_kafka.admin import AdminClient

from pipeline.local_broker import LocalBroker
from pipeline.topics import TOPICS, create_topics
from tests.faults.outcome import Outcome
from tests.faults.progress import Progress
from tests.faults.settings import RULES, make_config
from tests.faults.traffic import Sender, Traffic
from tests.faults.workers import Fleet, wait_until

_BEGIN_S = 90.0
_FINAL_S = 150.0
_BACK_MS = 600_000
"""Traffic starts so long ago: it is never ahead of the clock, although its time goes faster."""


@dataclass
class Result:
    """What a round showed.

    Attributes:
        fault: its name.
        seed: what its traffic and its times were made from.
        tries: how often the fault struck.
        windows: final windows compared with the auditor's.
        differences: what was wrong, a line each.
        longest_stall_s: the longest that a partition with records waiting saw no new committed offset.
        pauses_s: for each partition that moved, the time between the commits before and after.
        duration_s: of the whole round.
        notes: what else is worth knowing.
        folder: where its logs are, if something was wrong.
    """

    fault: str
    seed: int
    tries: int = 0
    windows: int = 0
    differences: list[str] = field(default_factory=list)
    longest_stall_s: float = 0.0
    pauses_s: list[float] = field(default_factory=list)
    duration_s: float = 0.0
    notes: list[str] = field(default_factory=list)
    folder: Path | None = None


class Round:
    """What a fault has to do its work with.

    Args:
        broker: the real broker; faults may kill it and must start it again.
        folder: for the logs.
        seed: everything random comes from it.
        span_s: how long faults that have no end of their own go on.
        amount: what the fault does many of, as a share of the full number.
    """

    def __init__(self, broker: LocalBroker, folder: Path, seed: int, span_s: float, amount: float) -> None:
        self.broker, self.folder, self.seed, self.span_s, self.amount = broker, folder, seed, span_s, amount
        self.rng = random.Random(seed)
        self.config = make_config(broker.bootstrap_servers, f"f{seed}-{uuid.uuid4().hex[:6]}-")
        self.fleet = Fleet(self.config, folder)
        self.start_ms = int(time.time() * 1_000) - _BACK_MS
        self.sender = Sender(self.config, Traffic(seed, self.start_ms))
        self.progress = Progress(self.config)
        self.tries = 0
        self.notes: list[str] = []
        self.faults: list[str] = []
        """What the fault itself found wrong, besides the windows."""

    def sleep(self, least_s: float, most_s: float) -> None:
        """Wait a random time."""
        time.sleep(self.rng.uniform(least_s, most_s))

    def begin(self, *names: str) -> None:
        """Start traffic and workers, and wait until each partition has been committed."""
        self.sender.start()
        self.progress.start()
        for name in names:
            self.fleet.start(name)
        self.wait_for(lambda: self.progress.has_begun, _BEGIN_S, "a first commit of every partition")

    def wait_for(self, predicate: Callable[[], object], timeout_s: float, what: str) -> None:
        """Wait for something without which the round makes no sense."""
        if not wait_until(predicate, timeout_s):
            raise TimeoutError(f"waited {timeout_s:.0f} s in vain for {what}")

    def ensure(self, *names: str) -> None:
        """Start those of the workers that do not run."""
        for name in names:
            if name not in self.fleet.names():
                self.fleet.start(name)


Fault: TypeAlias = Callable[[Round], None]


def run_round(
    name: str, fault: Fault, broker: LocalBroker, folder: Path, seed: int, *, span_s: float, amount: float = 1.0
) -> Result:
    """Run a fault over seeded traffic, let it end, and compare everything with the auditor.

    Args:
        name: the fault's name.
        fault: what strikes; it starts the workers itself.
        broker: the real broker.
        folder: for logs; kept when something was wrong.
        seed: decides the traffic and the moments.
        span_s: how long faults without an end of their own go on.
        amount: a share of the full number of whatever the fault does many of.
    """
    began_s = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    broker.start()
    here = Round(broker, folder, seed, span_s, amount)
    (folder / "driftline.toml").write_text(RULES, encoding="utf-8")
    create_topics(here.config)
    result = Result(name, seed)
    try:
        fault(here)
        if here.sender.is_alive():
            here.sender.close()
        _compare(here, result)
        result.differences += here.fleet.surprises + here.faults
    except Exception:  # noqa: BLE001 - a round that breaks is a finding like any other, and the others go on
        result.differences.append(traceback.format_exc())
    finally:
        here.fleet.close()
        if here.progress.is_alive():
            here.progress.stop()
    result.tries, result.notes = here.tries, [*here.notes, here.progress.longest_stall()]
    result.longest_stall_s = here.progress.longest_stall_s()
    result.pauses_s = here.progress.pauses_s()
    result.duration_s = time.monotonic() - began_s
    result.folder = folder if result.differences else None
    if not result.differences:
        # A broker that has to recover thousands of partitions after a kill would measure nothing but that.
        AdminClient(here.config.kafka.properties).delete_topics([here.config.kafka.topic(topic) for topic in TOPICS])
    return result


def _compare(here: Round, result: Result) -> None:
    outcome = Outcome(here.config, int(time.time() * 1_000) + 60_000)

    def all_final() -> bool:
        outcome.poll()
        return outcome.final >= outcome.expected

    if not wait_until(all_final, _FINAL_S):
        result.differences.append(f"{outcome.final} of {outcome.expected} windows are final after {_FINAL_S:.0f} s")
    here.progress.stop()
    for name in here.fleet.names():
        here.fleet.terminate(name)
    result.differences += outcome.differences()
    result.windows = outcome.audit.windows_compared
