"""Ways to break the protocol on purpose, so that it shows whether the auditor would notice.

Each is put into the simulated Kafka, as if the engine had relied on something that does not hold, or had sent something
else than it does. None touches the code under test.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest import mock

from confluent_kafka import TopicPartition

from pipeline.core.errors import RetriableError
from tests.simulation.clients import SimAdmin, SimConsumer
from tests.simulation.disk import SimCacheFile
from tests.simulation.fleet import SimBackground
from tests.simulation.groups import Generation, Group, Offsets, Place
from tests.simulation.log import Partition
from tests.simulation.producer import SimProducer
from tests.simulation.transactions import Coordinator
from tests.simulation.world import Process


def _patch(owner: type, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Any:
    return mock.patch.object(owner, name, make(getattr(owner, name)))


@contextmanager
def offsets_without_state() -> Iterator[None]:
    """The input offsets are committed, the state changes are not."""

    def make(produce: Callable[..., None]) -> Callable[..., None]:
        def broken(self: SimProducer, topic: str, *rest: Any, **more: Any) -> None:
            if not topic.endswith("-changelog"):
                produce(self, topic, *rest, **more)

        return broken

    with _patch(SimProducer, "produce", make):
        yield


@contextmanager
def state_without_offsets() -> Iterator[None]:
    """The state changes and outputs are committed, the input offsets are not."""

    def make(send: Callable[..., None]) -> Callable[..., None]:
        def broken(self: Coordinator, name: str, epoch: int, group: Group, offsets: Offsets) -> None:
            send(self, name, epoch, group, offsets if self._world.rng.random() < 0.9 else {})

        return broken

    with _patch(Coordinator, "send_offsets", make):
        yield


@contextmanager
def offsets_before_they_are_stable() -> Iterator[None]:
    """Committed offsets are told while a transaction that changes them is on its way: as if state was read first."""

    def make(_stable: Callable[..., Any]) -> Callable[..., Any]:
        def broken(self: Group, places: list[Place]) -> Offsets:
            return {place: self.offsets.get(place, -1001) for place in places}

        return broken

    with _patch(Group, "stable_offsets", make):
        yield


@contextmanager
def changelog_end_too_early() -> Iterator[None]:
    """Logs are said to end at the last stable offset: open transactions are not waited for."""

    def make(ask: Callable[..., Any]) -> Callable[..., Any]:
        def broken(self: SimAdmin, asked: Mapping[Any, Any], **how: Any) -> Any:
            answers = ask(self, asked, **how)
            for place, future in answers.items():
                if future.exception() is None and future.result().offset:
                    future.result().offset = self._cluster.partition(place.topic, place.partition).stable
            return answers

        return broken

    with _patch(SimAdmin, "list_offsets", make):
        yield


@contextmanager
def no_generations() -> Iterator[None]:
    """The group takes offsets from anybody, whatever generation they come from."""

    def make(_check: Callable[..., None]) -> Callable[..., None]:
        def broken(self: Group, sent: Generation) -> None:
            pass

        return broken

    with _patch(Group, "check", make):
        yield


@contextmanager
def no_isolation() -> Iterator[None]:
    """Aborted records are read like committed ones."""

    def make(mark: Callable[..., None]) -> Callable[..., None]:
        def broken(self: Partition, span: Any, *, committed: bool) -> None:
            mark(self, span, committed=committed or self.topic.endswith("partials"))

        return broken

    with _patch(Partition, "mark", make):
        yield


@contextmanager
def a_record_twice() -> Iterator[None]:
    """After a restore, reading begins one record too early: what it changed is applied a second time."""

    def make(assign: Callable[..., None]) -> Callable[..., None]:
        def broken(self: SimConsumer, places: list[Any]) -> None:
            for place in places:
                if self._instance and place.offset > 0:
                    place.offset -= 1
            assign(self, places)

        return broken

    with _patch(SimConsumer, "assign", make):
        yield


@contextmanager
def one_partitions_watermark() -> Iterator[None]:
    """Every joiner partition says that it is the only one: windows close by the first one's watermark."""

    def make(produce: Callable[..., None]) -> Callable[..., None]:
        def broken(self: SimProducer, topic: str, value: bytes | None, *rest: Any, **more: Any) -> None:
            if topic.endswith("partials") and value is not None and b'"kind":"progress"' in value:
                head, _, tail = value.partition(b'"partitions":')
                value = head + b'"partitions":1' + tail.lstrip(b"0123456789")
            produce(self, topic, value, *rest, **more)

        return broken

    with _patch(SimProducer, "produce", make):
        yield


@contextmanager
def compaction_of_the_newest() -> Iterator[None]:
    """The cleaner drops a key's newest record now and then."""

    def make(compact: Callable[..., None]) -> Callable[..., None]:
        def broken(self: Partition, *rest: Any) -> None:
            compact(self, *rest)
            if self.topic.endswith("-changelog") and len(self.entries) > 2:
                del self.entries[len(self.entries) // 2]

        return broken

    with _patch(Partition, "compact", make):
        yield


@contextmanager
def offsets_of_the_next_transaction() -> Iterator[None]:
    """A transaction carries the offsets that stand when they are sent: also of what was read after the hand-over."""
    consumers: dict[tuple[Process, str], SimConsumer] = {}

    def subscribing(subscribe: Callable[..., None]) -> Callable[..., None]:
        def broken(self: SimConsumer, *rest: Any, **more: Any) -> None:
            consumers[self.process, self._group.name] = self
            subscribe(self, *rest, **more)

        return broken

    def sending(send: Callable[..., None]) -> Callable[..., None]:
        def broken(self: SimProducer, places: list[Any], generation: Generation, timeout: float) -> None:
            now = consumers[self._process, generation.group]._positions
            newest = [
                TopicPartition(one.topic, one.partition, now.get((one.topic, one.partition), one.offset))
                for one in places
            ]
            send(self, newest, generation, timeout)

        return broken

    with (
        _patch(SimConsumer, "subscribe", subscribing),
        _patch(SimProducer, "send_offsets_to_transaction", sending),
    ):
        yield


@contextmanager
def failures_unnoticed() -> Iterator[None]:
    """A transaction that failed while the rounds went on is taken for a good one."""

    def make(wait: Callable[..., Any]) -> Callable[..., Any]:
        def broken(self: SimBackground, *rest: Any) -> Any:
            try:
                return wait(self, *rest)
            except RetriableError:
                return True

        return broken

    with _patch(SimBackground, "wait", make):
        yield


@contextmanager
def copies_that_miss_something() -> Iterator[None]:
    """A local copy of the state says that it reaches further than it does."""

    def make(write: Callable[..., None]) -> Callable[..., None]:
        def broken(self: SimCacheFile, entries: Sequence[Any], *rest: Any) -> None:
            write(self, entries[:-1], *rest)

        return broken

    with _patch(SimCacheFile, "write", make):
        yield


SABOTAGES: Mapping[str, Callable[[], AbstractContextManager[None]]] = {
    one.__name__: one
    for one in (
        offsets_without_state,
        state_without_offsets,
        offsets_before_they_are_stable,
        changelog_end_too_early,
        no_generations,
        no_isolation,
        a_record_twice,
        one_partitions_watermark,
        compaction_of_the_newest,
        offsets_of_the_next_transaction,
        failures_unnoticed,
        copies_that_miss_something,
    )
}
