"""Watches a round from outside: what the joiner's group has committed, who owns what, and how long nothing moved."""

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise

from confluent_kafka import Consumer, KafkaException, TopicPartition

from pipeline.config import Config
from tests.faults.owners import Owners
from tests.faults.settings import PARTITIONS

TICK_S = 0.1
_SETTLED_S = 15.0


@dataclass
class Move:
    """A partition that went from one worker to another."""

    partition: int
    last_seen_s: float
    taken_s: float


@dataclass
class Seen:
    """Of one partition of ``predictions``."""

    committed: int = -1
    commits_s: list[float] = field(default_factory=list)
    waiting_since_s: float | None = None
    longest_s: float = 0.0
    longest_until: str = ""
    owner: str | None = None
    owner_seen_s: float = 0.0


class Progress(threading.Thread):
    """A thread that asks the broker ten times a second; an outage of the broker counts as time without a commit."""

    def __init__(self, config: Config) -> None:
        super().__init__(name="progress", daemon=True)
        self._group = f"{config.kafka.topic_prefix}driftline-joiner"
        self._places = [TopicPartition(config.kafka.topic("predictions"), p) for p in range(PARTITIONS)]
        # Uncommitted: a transaction under way must not make the answer wait.
        self._consumer = Consumer({
            **config.kafka.properties, "log_level": 0, "reconnect.backoff.max.ms": 500,
            "group.id": self._group, "isolation.level": "read_uncommitted",
        })  # fmt: skip
        self._owners = Owners(config, "joiner", self._note_owners)
        self._seen = [Seen() for _ in range(PARTITIONS)]
        self._moves: list[Move] = []
        self._done = threading.Event()
        self.members: set[str] = set()

    def run(self) -> None:
        self._owners.start()
        while not self._done.wait(TICK_S):
            try:
                committed = {place.partition: place.offset for place in self._consumer.committed(self._places, 2)}
                ends = {place.partition: self._end(place) for place in self._places}
                self._note(committed, ends)
            except KafkaException:
                self._note_outage()
        self._consumer.close()
        self._owners.stop()

    def stop(self) -> None:
        self._done.set()
        self.join()

    @property
    def has_begun(self) -> bool:
        """Whether every partition has been committed once."""
        return all(seen.commits_s for seen in self._seen)

    def longest_stall_s(self) -> float:
        """The longest time that a partition had records waiting and no new offset was committed, after its first."""
        return max(seen.longest_s for seen in self._seen)

    def longest_stall(self) -> str:
        """The same for a person: which partition, and when it ended, by the clock of the workers' logs."""
        longest = max(range(PARTITIONS), key=lambda p: self._seen[p].longest_s)
        seen = self._seen[longest]
        return f"longest stall {seen.longest_s:.1f} s: partition {longest} until {seen.longest_until}"

    def pauses_s(self) -> list[float]:
        """For each partition that moved, the time between the last commit before and the first after."""
        pauses = []
        for move in self._moves:
            times = self._seen[move.partition].commits_s
            gaps = [
                after - before
                for before, after in pairwise(times)
                if after >= move.last_seen_s and before <= move.taken_s + _SETTLED_S
            ]
            around = [gap for gap in gaps if gap > 0]
            if around:
                pauses.append(max(around))
        return pauses

    def _end(self, place: TopicPartition) -> int:
        return int(self._consumer.get_watermark_offsets(place, timeout=2)[1])

    def _note(self, committed: dict[int, int], ends: dict[int, int]) -> None:
        now_s = time.monotonic()
        for partition, seen in enumerate(self._seen):
            at, end = committed[partition], ends[partition]
            if at > seen.committed:
                if seen.waiting_since_s is not None and now_s - seen.waiting_since_s > seen.longest_s:
                    seen.longest_s = now_s - seen.waiting_since_s
                    seen.longest_until = time.strftime("%H:%M:%S", time.gmtime())
                seen.committed = at
                seen.commits_s.append(now_s)
                seen.waiting_since_s = None
            if at >= end or not seen.commits_s:
                seen.waiting_since_s = None
            elif seen.waiting_since_s is None:
                seen.waiting_since_s = now_s

    def _note_outage(self) -> None:
        """The broker is away: nothing arrives in its log, and yet everybody waits."""
        now_s = time.monotonic()
        with suppress(KafkaException):
            self._consumer.list_topics(timeout=1)  # learns the new leader epochs
        for seen in self._seen:
            if seen.commits_s and seen.waiting_since_s is None:
                seen.waiting_since_s = now_s

    def _note_owners(self, owners: Mapping[int, str]) -> None:
        now_s = time.monotonic()
        self.members = set(owners.values())
        for partition, owner in owners.items():
            seen = self._seen[partition]
            if seen.owner not in (None, owner):
                self._moves.append(Move(partition, seen.owner_seen_s, now_s))
            seen.owner, seen.owner_seen_s = owner, now_s
