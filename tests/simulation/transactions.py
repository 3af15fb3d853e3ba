"""The transaction coordinator: one producer a transactional id, epochs, timeouts, markers that come one by one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from confluent_kafka import KafkaError

from tests.simulation.errors import fenced, kafka_error
from tests.simulation.groups import Group, Offsets
from tests.simulation.log import Partition, Span
from tests.simulation.world import World

MARKER_S = 0.05


@dataclass(eq=False)
class Transactional:
    """One transactional id."""

    name: str
    epoch: int = -1
    state: str = "empty"  # open, committing, aborting
    started_s: float = 0.0
    timeout_s: float = 10.0
    last: str = ""  # how the last transaction of this epoch ended
    spans: dict[Partition, Span] = field(default_factory=dict)
    groups: dict[Group, Offsets] = field(default_factory=dict)


class Coordinator:
    """Serves all transactional ids."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.marker_s = MARKER_S
        """How long after the decision a marker is written at most, most of the time."""
        self._ids: dict[str, Transactional] = {}

    def busy(self, name: str) -> bool:
        """Whether the last transaction's markers are still being written: everything must wait for them."""
        return name in self._ids and self._ids[name].state in ("committing", "aborting")

    def take_over(self, name: str, timeout_s: float) -> int | None:
        """A producer introduces itself; None while an older one's transaction is being brought to its end."""
        one = self._ids.setdefault(name, Transactional(name))
        one.timeout_s = timeout_s
        if one.state == "open":
            one.epoch += 1
            self._end(one, committed=False)
        if one.state != "empty":
            return None
        one.epoch += 1
        one.last = ""
        return one.epoch

    def write(
        self, name: str, epoch: int, place: Partition, key: bytes | None, value: bytes | None,
        headers: list[tuple[str, bytes | None]] | None,
    ) -> None:  # fmt: skip
        """Append a record to a partition within the open transaction."""
        one = self._opened(name, epoch)
        if place not in one.spans:
            one.spans[place] = place.begin()
        place.append(key, value, headers, one.spans[place], self._world.now_s)

    def send_offsets(self, name: str, epoch: int, group: Group, offsets: Offsets) -> None:
        """Offsets that become the group's when the transaction commits; the group has agreed."""
        one = self._opened(name, epoch)
        one.groups.setdefault(group, {}).update(offsets)
        group.pending[name] = one.groups[group]

    def end(self, name: str, epoch: int, *, committed: bool) -> None:
        """Decide a transaction. Asking again for what was decided is answered with yes."""
        one = self._checked(name, epoch)
        wanted = "committing" if committed else "aborting"
        if one.state == "open":
            self._end(one, committed=committed)
        elif one.state != wanted and (one.state != "empty" or one.last != wanted):
            raise kafka_error(KafkaError.INVALID_TXN_STATE, fatal=True)

    def _checked(self, name: str, epoch: int) -> Transactional:
        one = self._ids[name]
        if epoch != one.epoch:
            raise fenced()
        return one

    def _opened(self, name: str, epoch: int) -> Transactional:
        one = self._checked(name, epoch)
        assert one.state in ("empty", "open"), "the client waits for the markers"
        if one.state == "empty":
            one.state, one.started_s = "open", self._world.now_s
            self._world.at(one.timeout_s, partial(self._expire, one, one.started_s))
        return one

    def _expire(self, one: Transactional, started_s: float) -> None:
        if one.state == "open" and one.started_s == started_s:
            self._world.say(f"transaction of {one.name} times out")
            one.epoch += 1
            self._end(one, committed=False)

    def _end(self, one: Transactional, *, committed: bool) -> None:
        one.state = one.last = "committing" if committed else "aborting"
        spans, one.spans = one.spans, {}
        groups, one.groups = one.groups, {}
        steps: list[Callable[[], None]] = [
            partial(place.mark, span, committed=committed) for place, span in spans.items()
        ]
        steps += [partial(group.settle, one.name, committed=committed) for group in groups]
        left = len(steps)

        def step(call: Callable[[], None]) -> None:
            nonlocal left
            call()
            left -= 1
            if not left:
                one.state = "empty"

        self._world.rng.shuffle(steps)
        for call in steps:
            self._world.soon(partial(step, call), self.marker_s)
        if not steps:
            one.state = "empty"

    def settled(self) -> bool:
        """Whether no transaction is open or on its way to its end."""
        return all(one.state == "empty" for one in self._ids.values())
