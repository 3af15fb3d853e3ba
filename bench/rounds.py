"""Interleaved rounds: what is compared runs minutes apart, on the same topics, in an order that changes."""

import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.events import Traffic, make_traffic
from bench.job import run_job
from bench.load import load
from bench.peers.peer import Loaded, Peer, Say
from bench.run import FLOOR, Run
from pipeline.config import Config
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


def run_rounds(plan: Plan, bootstrap_servers: str, directory: Path, start_ms: int, say: Say) -> list[Run]:
    """Run everything in turns, so that a slow minute of the machine meets all alike.

    Args:
        plan: what, and how often.
        bootstrap_servers: where Kafka is.
        directory: for configurations, logs and states.
        start_ms: the first prediction's time, more than ten minutes ago.
        say: told each result.

    Returns:
        All runs; a peer that failed has none in that round.
    """
    runs: list[Run] = []
    traffic = {rows: make_traffic(rows, PARTITIONS, start_ms, _SPAN_MS) for rows in {plan.single, plan.columns} if rows}
    slow = make_traffic(plan.slow, PARTITIONS, start_ms, _SPAN_MS) if plan.slow_peers else None
    for number in range(plan.rounds):
        say(f"round {number + 1} of {plan.rounds}")
        ours = [_floor, _job]
        loaded = _load(bootstrap_servers, traffic[plan.single], "single", directory, say)
        turns = [*ours, *(_turn_of(peer) for peer in plan.peers)]
        runs += _take_turns(turns, number, loaded, "single")
        if plan.columns:
            loaded = _load(bootstrap_servers, traffic[plan.columns], "columns", directory, say)
            runs += _take_turns(ours, number, loaded, "columns")
        if slow is not None:
            loaded = _load(bootstrap_servers, slow, "single", directory, say)
            runs += _take_turns([_turn_of(peer) for peer in plan.slow_peers], number, loaded, "single")
    return runs


_Turn = Callable[[Loaded, str], list[Run]]


def _load(bootstrap_servers: str, traffic: Traffic, layout: str, directory: Path, say: Say) -> Loaded:
    prefix = f"{layout}-{uuid.uuid4().hex[:8]}-"
    config = Config(kafka={"bootstrap_servers": bootstrap_servers, "partitions": PARTITIONS, "topic_prefix": prefix})
    create_topics(config)
    load(config, traffic, layout)
    return Loaded(config, traffic, directory, say)


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
        except RuntimeError as error:
            loaded.say(f"  {peer.name} failed: {error}")
            return []

    return turn
