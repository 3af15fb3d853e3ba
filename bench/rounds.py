"""Interleaved rounds: what is compared runs minutes apart, on the same topics, in an order that changes."""

import json
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.events import Traffic, make_traffic
from bench.job import run_job
from bench.load import load
from bench.peers.peer import Loaded, Peer, Say
from bench.run import FLOOR, Run
from pipeline.config import Config
from pipeline.local_broker import BrokerOptions, LocalBroker
from pipeline.topics import create_topics

PARTITIONS = 2

_SPAN_MS = 600_000
_FLOOR_TIMEOUT_S = 300


@dataclass(frozen=True, slots=True)
class Plan:
    """What runs in each round.

    Attributes:
        single: predictions, and as many labels, one a record.
        columns: the same in columnar records of 1,000; 0 leaves them out.
        slow: the same as ``single`` on topics of their own, for the slow peers.
        rounds: how many.
        peers: those that read the topics of ``single``.
        slow_peers: those that read the topics of ``slow``.
    """

    single: int
    columns: int
    slow: int
    rounds: int
    peers: Sequence[Peer] = ()
    slow_peers: Sequence[Peer] = ()


_Turn = Callable[[Loaded, str], list[Run]]


@contextmanager
def local_broker(say: Say) -> Iterator[tuple[str, Path]]:
    """A Kafka for one benchmark.

    Args:
        say: told what takes time.

    Yields:
        Its address, and a folder that is deleted with everything else in the end.
    """
    with tempfile.TemporaryDirectory(prefix="driftline-bench-") as folder:
        options = BrokerOptions(data_dir=Path(folder) / "kafka", port=0, heap_mb=1024)
        with LocalBroker(options, say) as broker:
            yield broker.bootstrap_servers, Path(folder)


def traffic_of(rows: int) -> Traffic:
    """Predictions of ten minutes that ended a minute ago, and as many labels."""
    return make_traffic(rows, PARTITIONS, time.time_ns() // 1_000_000 - _SPAN_MS - 60_000, _SPAN_MS)


def load_topics(bootstrap_servers: str, traffic: Traffic, layout: str, directory: Path, say: Say) -> Loaded:
    """Create topics of their own for some runs, and fill the inputs.

    Args:
        bootstrap_servers: where Kafka is.
        traffic: what they get.
        layout: ``single`` or ``columns``.
        directory: for configurations, logs and states.
        say: told what a person should know.

    Returns:
        The topics.
    """
    prefix = f"{layout}-{uuid.uuid4().hex[:8]}-"
    config = Config(kafka={"bootstrap_servers": bootstrap_servers, "partitions": PARTITIONS, "topic_prefix": prefix})
    create_topics(config)
    load(config, traffic, layout)
    return Loaded(config, traffic, directory, say)


def run_rounds(plan: Plan, say: Say) -> list[Run]:
    """Run everything in turns, so that a slow minute of the machine meets all alike.

    Args:
        plan: what, and how often.
        say: told each result.

    Returns:
        All runs; a peer that failed has none in that round.
    """
    runs: list[Run] = []
    ours: list[_Turn] = [_floor, _job]
    parts = [("single", plan.single, [*ours, *(_turn_of(peer) for peer in plan.peers)])]
    if plan.columns:
        parts.append(("columns", plan.columns, ours))
    if plan.slow_peers:
        parts.append(("single", plan.slow, [_turn_of(peer) for peer in plan.slow_peers]))
    traffic = {rows: traffic_of(rows) for _, rows, _ in parts}
    with local_broker(say) as (address, directory):
        for number in range(plan.rounds):
            say(f"round {number + 1} of {plan.rounds}")
            for layout, rows, turns in parts:
                loaded = load_topics(address, traffic[rows], layout, directory, say)
                runs += _take_turns(turns, number, loaded, layout)
    return runs


def _take_turns(turns: Sequence[_Turn], number: int, loaded: Loaded, layout: str) -> list[Run]:
    """Another one begins in each round."""
    first = number % len(turns)
    runs = [run for turn in [*turns[first:], *turns[:first]] for run in turn(loaded, layout)]
    for run in runs:
        checked = f", {run.windows} windows held against the truth, {run.wrong_windows} wrong" if run.windows else ""
        loaded.say(f"  {run.what}, {layout}: {run.events_per_s:,.0f}/s, {run.cpu_us:.2f} CPU µs/event{checked}")
    return runs


def _floor(loaded: Loaded, layout: str) -> list[Run]:
    """The bare loop, in a process of its own."""
    command = [sys.executable, "-m", "bench.floor", "--bootstrap-servers", loaded.config.kafka.bootstrap_servers]
    command += ["--topics", ",".join(loaded.inputs), "--partitions", str(PARTITIONS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_FLOOR_TIMEOUT_S)
    figures = json.loads(done.stdout)
    return [Run(FLOOR, layout, figures["events"], figures["wall_s"], figures["cpu_s"])]


def _job(loaded: Loaded, layout: str) -> list[Run]:
    return [run_job(loaded.directory, loaded.config, loaded.traffic, layout)]


def _turn_of(peer: Peer) -> _Turn:
    def turn(loaded: Loaded, _layout: str) -> list[Run]:
        try:
            return peer.run(loaded)
        except (RuntimeError, subprocess.SubprocessError) as error:
            loaded.say(f"  {peer.name} failed: {error}")
            return []

    return turn
