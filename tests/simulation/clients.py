"""Stand-ins for librdkafka's consumer and admin client: what the engine calls, as the engine sees it.

The messages and errors handed out are librdkafka's own types. Each call takes a little time, in which others may run.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from types import SimpleNamespace
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, TopicCollection, TopicPartition
from confluent_kafka.admin import OffsetSpec

from tests.simulation.cluster import Cluster
from tests.simulation.errors import timed_out
from tests.simulation.groups import Generation, Place
from tests.simulation.world import Process, Sleep

_MESSAGE: Any = Message
_INVALID = -1001


class SimConsumer:
    """A consumer, in a group or on its own."""

    def __init__(self, cluster: Cluster, process: Process, properties: Mapping[str, Any]) -> None:
        process.check()
        self.process, self._cluster, self._world = process, cluster, cluster.world
        self._properties = properties
        self._instance = str(properties.get("group.instance.id", ""))
        self._callbacks: dict[str, Callable[..., None]] = {}
        self._group = cluster.group(properties["group.id"])
        self._told: list[tuple[str, Sequence[Place]]] = []
        self._member = ""
        self._generation = -1
        self._owned: Sequence[Place] = ()
        self._dead = False  # fenced: nothing comes any more but the error
        self._closed_s: float | None = None
        self._positions: dict[Place, int] = {}
        self._paused: set[Place] = set()
        self._ends: dict[Place, int] = {}
        self._fetched: dict[Place, float] = {}
        self._sleeping: list[Sleep] = []
        self._on_silence = partial(self._group.silent, self)
        process.on_silence.append(self._on_silence)

    # --- the group's side ----------------------------------------------------------------------------------------

    @property
    def silent_since_s(self) -> float | None:
        return self._closed_s if self._closed_s is not None else self.process.silent_since_s

    def told_to_rejoin(self, member_id: str) -> None:
        if member_id == self._member:
            self._tell("rejoin")

    def assigned(self, member_id: str, generation: int, places: Sequence[Place]) -> None:
        if member_id == self._member:
            self._generation = generation
            self._tell("assigned", places)

    def lost(self, member_id: str) -> None:
        if member_id == self._member:
            self._member, self._generation = "", -1
            self._tell("lost")

    def fenced(self, member_id: str) -> None:
        if member_id == self._member:
            self._tell("fenced")

    def _tell(self, what: str, places: Sequence[Place] = ()) -> None:
        if self._closed_s is None:
            self._told.append((what, places))
            self._wake()

    def _wake(self) -> None:
        sleeping, self._sleeping = self._sleeping, []
        for sleep in sleeping:
            self._world.soon(sleep.wake)

    # --- librdkafka's side ---------------------------------------------------------------------------------------

    def subscribe(self, _topics: Sequence[str], **callbacks: Callable[..., None]) -> None:
        self.process.pause()
        self._callbacks = callbacks
        self._told.append(("rejoin", ()))

    def assign(self, places: Sequence[TopicPartition]) -> None:
        self.process.check()
        for place in self._positions:
            self._cluster.partition(*place).on_change.remove(self._wake)
        # What is below 0 stands for the beginning.
        self._positions = {(place.topic, place.partition): max(0, place.offset) for place in places}
        for place in self._positions:
            self._cluster.partition(*place).on_change.append(self._wake)
        self._ends, self._fetched = {}, {}  # what is paused stays so, as in librdkafka

    def unassign(self) -> None:
        self.assign([])

    def pause(self, places: Sequence[TopicPartition]) -> None:
        self._paused |= {(place.topic, place.partition) for place in places}

    def resume(self, places: Sequence[TopicPartition]) -> None:
        for place in places:
            self._paused.discard((place.topic, place.partition))
            self._ends.pop((place.topic, place.partition), None)

    def consume(self, most: int = 1, timeout: float = -1.0) -> list[Any]:
        self.process.pause()
        # What was fetched may be taken before a rebalance is served, in the same call.
        messages = self._take(most) if self._told and self._world.rng.random() < 0.5 else []
        messages += self._serve()
        if not self._told and not messages:
            messages += self._take(most)
        if not messages and timeout > 0:
            # A busy machine wakes it late; and fewer rounds in which nothing happens make more seeds.
            self.process.sleep(timeout * (1 + 5 * self._world.rng.random()), self._sleeping)
            messages += self._serve()
            messages += self._take(most)
        return messages

    def poll(self, timeout: float = -1.0) -> Any:
        return next(iter(self.consume(1, timeout)), None)

    def _serve(self) -> list[Any]:
        while self._told and not self._dead:
            what, places = self._told.pop(0)
            if what == "fenced":
                self._dead = True
                return [_MESSAGE(error=KafkaError(KafkaError._FATAL, "simulated: fenced", fatal=True))]
            if what == "assigned":
                self._owned = places
                self._callbacks["on_assign"](self, [TopicPartition(*place) for place in places])
                continue
            owned, self._owned = self._owned, ()
            if owned:
                name = "on_lost" if what == "lost" or not self._member else "on_revoke"
                self._callbacks[name](self, [TopicPartition(*place) for place in owned])
            self._join()
        return []

    def _join(self) -> None:
        self.process.pause()
        properties = self._properties
        self._member = self._group.join(
            self,
            self._member,
            self._instance,
            properties["session.timeout.ms"] / 1_000,
            properties["max.poll.interval.ms"] / 1_000,
        )

    def _take(self, most: int) -> list[Any]:
        """Some of what is there, of some partitions, as if the rest had not been fetched yet."""
        rng = self._world.rng
        messages: list[Any] = []
        if self._cluster.away:
            return messages
        places = [
            place
            for place, position in self._positions.items()
            if place not in self._paused
            and not self._ends.get(place) == position == self._cluster.partition(*place).end  # nothing new
        ]
        rng.shuffle(places)
        for place in places:
            partition = self._cluster.partition(*place)
            if rng.random() < 0.1 and self._fetched.get(place, -1.0) + 0.3 > self._world.now_s:
                continue  # slow this time, but never for long
            self._fetched[place] = self._world.now_s
            room = most - len(messages)
            if room <= 0:
                break
            records, position = partition.read(self._positions[place], room if rng.random() < 0.7 else 1 + room // 2)
            self._positions[place] = position
            messages += [
                _MESSAGE(
                    topic=place[0],
                    partition=place[1],
                    offset=one.offset,
                    key=one.key,
                    value=one.value,
                    headers=list(one.headers) if one.headers else None,
                )
                for one in records
            ]
            if position >= partition.stable and self._ends.get(place) != position and len(messages) < most:
                self._ends[place] = position
                error = KafkaError(KafkaError._PARTITION_EOF, "simulated")
                messages.append(_MESSAGE(topic=place[0], partition=place[1], offset=position, error=error))
        return messages

    def committed(self, places: Sequence[TopicPartition], timeout: float = -1.0) -> list[TopicPartition]:
        self.process.pause()
        deadline_s = self._world.now_s + timeout
        while True:
            asked = [(place.topic, place.partition) for place in places]
            offsets = None if self._cluster.away else self._group.stable_offsets(asked)
            if offsets is not None:
                self.process.pause()
                return [TopicPartition(topic, partition, offsets[topic, partition]) for topic, partition in asked]
            if self._world.now_s > deadline_s:
                raise timed_out()
            self.process.sleep(0.1)

    def consumer_group_metadata(self) -> Generation:
        return Generation(self._group.name, self._generation, self._member, self._instance)

    def memberid(self) -> str:
        self.process.check()
        return self._member

    def get_watermark_offsets(self, place: TopicPartition, *, cached: bool) -> tuple[int, int]:
        assert cached
        return 0, self._cluster.partition(place.topic, place.partition).stable

    def close(self) -> None:
        """A static member says nothing when it goes."""
        self.process.check()
        if self._owned and self._callbacks:
            name = "on_revoke" if self._member and not self._dead else "on_lost"
            owned, self._owned = self._owned, ()
            self._callbacks[name](self, [TopicPartition(*place) for place in owned])
        self.assign([])
        self.process.on_silence.remove(self._on_silence)
        self._closed_s = self._world.now_s
        self._group.silent(self)


class SimAdmin:
    """Answers where logs end and which topics there are."""

    def __init__(self, cluster: Cluster, process: Process, _properties: Mapping[str, Any]) -> None:
        self._cluster, self._process = cluster, process

    def list_topics(self, _topic: str | None = None, *, timeout: float) -> Any:
        self._reach(timeout)
        topics = {
            name: SimpleNamespace(partitions=range(count), error=None) for name, count in self._cluster.counts.items()
        }
        return SimpleNamespace(topics=topics, cluster_id="simulated")

    def describe_topics(self, asked: TopicCollection, *, request_timeout: float) -> dict[str, Future[Any]]:
        self._reach(request_timeout)
        answers: dict[str, Future[Any]] = {name: Future() for name in asked.topic_names}
        for name, answer in answers.items():
            answer.set_result(SimpleNamespace(topic_id=f"id of {name}"))
        return answers

    def list_offsets(self, asked: Mapping[TopicPartition, Any], **_how: Any) -> dict[TopicPartition, Future[Any]]:
        answers: dict[TopicPartition, Future[Any]] = {}
        failed = False
        try:
            self._reach(5.0)
        except KafkaException:
            failed = True
        for place, spec in asked.items():
            answers[place] = Future()
            if failed:
                answers[place].set_exception(timed_out())
                continue
            latest = isinstance(spec, type(OffsetSpec.latest()))  # type: ignore[no-untyped-call]  # untyped there
            end = self._cluster.partition(place.topic, place.partition).end
            answers[place].set_result(SimpleNamespace(offset=end if latest else 0))
        return answers

    def _reach(self, timeout: float) -> None:
        self._process.pause()
        deadline_s = self._cluster.world.now_s + timeout
        while self._cluster.away:
            if self._cluster.world.now_s > deadline_s:
                raise timed_out()
            self._process.sleep(0.2)
