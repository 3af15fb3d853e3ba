"""A stand-in for librdkafka's transactional producer."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any
from zlib import crc32

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from tests.simulation.cluster import Cluster
from tests.simulation.errors import kafka_error, timed_out
from tests.simulation.groups import Generation, deliver
from tests.simulation.log import Partition
from tests.simulation.world import Process


class SimProducer:
    """A transactional producer. Records leave its queue when they like, at the latest with the commit."""

    def __init__(self, cluster: Cluster, process: Process, properties: Mapping[str, Any]) -> None:
        process.check()
        self._process, self._cluster, self._world = process, cluster, cluster.world
        self._name = str(properties["transactional.id"])
        self._timeout_s = properties["transaction.timeout.ms"] / 1_000
        self._epoch = -1
        self._state = "new"  # ready, open
        self._queue: list[tuple[Partition, bytes | None, bytes | None, Any]] = []
        self._fatal: KafkaException | None = None
        self._abortable: KafkaException | None = None
        self._used = False  # whether the coordinator knows of this transaction
        self._calling = False

    def init_transactions(self, timeout: float) -> None:
        with self._call("new", timeout):
            epoch = self._cluster.transactions.take_over(self._name, self._timeout_s)
            while epoch is None:
                self._process.sleep(0.05)
                epoch = self._cluster.transactions.take_over(self._name, self._timeout_s)
            self._epoch, self._state = epoch, "ready"

    def begin_transaction(self) -> None:
        self._expect("ready")
        self._raise_if_broken()
        self._used, self._state = False, "open"

    def produce(
        self, topic: str, value: bytes | None, key: bytes | None, partition: int | None = None, headers: Any = None
    ) -> None:
        self._raise_if_broken()
        count = self._cluster.counts[topic]
        if partition is None:
            partition = crc32(key) % count if key is not None else self._world.rng.randrange(count)
        self._queue.append((self._cluster.partition(topic, partition), key, value, headers))
        if self._world.rng.random() < 0.2:
            self._world.soon(partial(deliver, self._process, self._send_some))

    def poll(self, _timeout: float) -> int:
        return 0

    def send_offsets_to_transaction(
        self, places: Sequence[TopicPartition], generation: Generation, timeout: float
    ) -> None:
        with self._call("open", timeout):
            self._raise_if_broken()
            group = self._cluster.group(generation.group)
            offsets = {(place.topic, place.partition): place.offset for place in places}
            self._guarded(partial(self._cluster.transactions.send_offsets, group=group, offsets={}))
            self._process.pause()
            try:
                group.check(generation)
                self._guarded(partial(self._cluster.transactions.send_offsets, group=group, offsets=offsets))
            except KafkaException as exception:
                self._abortable = exception
                raise
            self._lose_answers()

    def commit_transaction(self, timeout: float) -> None:
        with self._call("open", timeout):
            self._raise_if_broken()
            while self._queue:
                self._send_some()
                self._process.pause()
                self._raise_if_broken()
            self._guarded(partial(self._cluster.transactions.end, committed=True))
            self._lose_answers()
            self._state = "ready"

    def abort_transaction(self, timeout: float) -> None:
        with self._call("open", timeout):
            if self._fatal is not None:
                raise self._fatal
            self._queue = []
            if self._used:
                self._guarded(partial(self._cluster.transactions.end, committed=False))
                self._lose_answers()
            self._abortable, self._used, self._state = None, False, "ready"

    def purge(self) -> None:
        self._queue = []

    def _send_some(self) -> None:
        """What librdkafka's own thread does with the queue."""
        if self._cluster.away or self._cluster.transactions.busy(self._name):
            return
        while self._queue and self._fatal is None and self._abortable is None:
            place, key, value, headers = self._queue.pop(0)
            write = partial(self._cluster.transactions.write, place=place, key=key, value=value, headers=headers)
            try:
                self._guarded(write)
            except KafkaException:
                return  # the next call says so
            if self._world.rng.random() < 0.1:
                return

    def _guarded(self, call: Callable[..., None]) -> None:
        self._used = True
        try:
            call(name=self._name, epoch=self._epoch)
        except KafkaException as exception:
            if exception.args[0].fatal():
                self._fatal = exception
            raise

    def _expect(self, state: str) -> None:
        self._process.check()
        if self._calling or self._state != state:
            raise kafka_error(KafkaError._CONFLICT if self._calling else KafkaError._STATE)

    def _raise_if_broken(self) -> None:
        self._process.check()
        broken = self._fatal or self._abortable
        if broken is not None:
            raise broken

    @contextmanager
    def _call(self, state: str, timeout: float) -> Iterator[None]:
        """One call to the coordinator: one at a time, after the last transaction's markers, perhaps far too late."""
        self._expect(state)
        self._calling = True
        try:
            self._process.pause()
            deadline_s = self._world.now_s + timeout
            if self._world.rng.random() < self._cluster.hanging:
                self._process.sleep(self._world.rng.choice([15.0, 25.0, 1e6]))
                deadline_s = self._world.now_s + timeout
            while self._cluster.away or self._cluster.transactions.busy(self._name):
                if self._world.now_s > deadline_s:
                    raise timed_out()
                self._process.sleep(0.05)
            yield
        finally:
            self._calling = False

    def _lose_answers(self) -> None:
        """Now and then what was asked is done, and the answer does not arrive."""
        self._process.pause()
        if self._world.rng.random() < self._cluster.lossy:
            self._process.sleep(1.0)
            raise timed_out()
