"""The group coordinator: the classic protocol with eager rebalances, the range assignor and static members.

What counts for exactly-once is modelled as Kafka has it: which offsets are taken from whom, when a member is given up,
that offsets of an undecided transaction make an answer wait, and that a rebalance ends only when every member has come
back or was given up. Members notice things at their next heartbeat, which a process that stands still does not send.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from confluent_kafka import KafkaError

from tests.simulation.errors import kafka_error
from tests.simulation.world import Process, World

Place = tuple[str, int]
Offsets = dict[Place, int]


@dataclass(frozen=True)
class Generation:
    """What a consumer sends along with its offsets."""

    group: str
    generation: int
    member: str
    instance: str


class Client(Protocol):
    """The consumer's side of a membership; it passes over what was meant for an earlier one."""

    process: Process

    @property
    def silent_since_s(self) -> float | None:
        """Since when it has sent no heartbeats."""

    def told_to_rejoin(self, member_id: str) -> None: ...
    def assigned(self, member_id: str, generation: int, places: Sequence[Place]) -> None: ...
    def lost(self, member_id: str) -> None: ...
    def fenced(self, member_id: str) -> None: ...


@dataclass(eq=False)
class Member:
    id: str
    instance: str
    client: Client
    session_s: float
    rebalance_s: float
    joined: bool = False
    places: tuple[Place, ...] = ()
    hears_s: float = 0.0


@dataclass(eq=False)
class Group:
    """One consumer group."""

    world: World
    name: str
    partitions: Mapping[str, int]
    """Partition counts of the topics that every member subscribes to."""
    generation: int = 0
    state: str = "empty"  # preparing, stable
    members: dict[str, Member] = field(default_factory=dict)
    """By instance."""
    offsets: Offsets = field(default_factory=dict)
    pending: dict[str, Offsets] = field(default_factory=dict)
    """Offsets of undecided transactions, by transactional id."""
    rebalances: int = 0
    _ids: int = 0
    _round: int = 0

    # --- membership ----------------------------------------------------------------------------------------------

    def join(self, client: Client, member_id: str, instance: str, session_s: float, rebalance_s: float) -> str:
        """A client comes, or comes back; its member id."""
        known = self.members.get(instance)
        if known is not None and known.id == member_id:
            if self.state == "stable":  # it heard too late that there was something to do
                self._answer(known, partial(client.assigned, known.id, self.generation, known.places))
            known.joined = True
            self._complete_if_all_joined()
            return known.id
        self._ids += 1
        member = Member(f"{instance}-{self._ids}", instance, client, session_s, rebalance_s)
        if known is None:
            self._prepare(rebalance_s)
        self.members[instance] = member
        if known is not None:
            # A static member that was started again takes its predecessor's place, without a rebalance.
            self.world.say(f"{self.name}: {instance} is taken over by {client.process}")
            self._notify(known, partial(known.client.fenced, known.id))
            if self.state == "stable":
                member.joined, member.places = True, known.places
                self._answer(member, partial(client.assigned, member.id, self.generation, member.places))
                return member.id
        member.joined = True
        self._complete_if_all_joined()
        return member.id

    def leave(self, member_id: str) -> None:
        for instance, member in list(self.members.items()):
            if member.id == member_id:
                self._remove(instance, "leaves")

    def rebalance(self) -> None:
        """All members must come back, as when one of them changes what it subscribes to."""
        if self.members:
            self._prepare(max(one.rebalance_s for one in self.members.values()))

    def silent(self, client: Client) -> None:
        """A client sends no heartbeats from now on; after the session timeout it is given up."""
        for member in self.members.values():
            if member.client is client:
                self.world.at(member.session_s, partial(self._expire, member, self.world.now_s))

    def _expire(self, member: Member, asked_s: float) -> None:
        since_s = member.client.silent_since_s
        if self.members.get(member.instance) is member and since_s is not None and since_s <= asked_s:
            self._remove(member.instance, "is given up")

    def _remove(self, instance: str, how: str) -> None:
        self.world.say(f"{self.name}: {instance} {how}")
        member = self.members.pop(instance)
        self._notify(member, partial(member.client.lost, member.id))
        if self.members:
            self._prepare(max(one.rebalance_s for one in self.members.values()))
            self._complete_if_all_joined()
        else:
            self.state = "empty"
            self.generation += 1

    def _prepare(self, longest_s: float) -> None:
        if self.state == "preparing":
            return
        self.state = "preparing"
        self._round += 1
        for member in self.members.values():
            member.joined = False
            self._notify(member, partial(member.client.told_to_rejoin, member.id))
        self.world.at(longest_s, partial(self._give_up_waiting, self._round))

    def _give_up_waiting(self, number: int) -> None:
        if self.state == "preparing" and self._round == number:
            for instance, member in list(self.members.items()):
                if not member.joined:
                    self._remove(instance, "did not rejoin")

    def _complete_if_all_joined(self) -> None:
        if self.state != "preparing" or not all(member.joined for member in self.members.values()):
            return
        self.state = "stable"
        self.generation += 1
        self.rebalances += 1
        members = [self.members[instance] for instance in sorted(self.members)]
        for index, member in enumerate(members):
            member.places = tuple(
                (topic, partition)
                for topic, count in sorted(self.partitions.items())
                for partition in range(count)
                if _owner(partition, count, len(members)) == index
            )
            self._answer(member, partial(member.client.assigned, member.id, self.generation, member.places))
        self.world.say(f"{self.name}: generation {self.generation} {[(m.instance, len(m.places)) for m in members]}")

    def _answer(self, member: Member, call: Callable[[], None]) -> None:
        """The client hears of it at once."""
        self._tell(member, call, 0.05)

    def _notify(self, member: Member, call: Callable[[], None]) -> None:
        """The client hears of it at its next heartbeat, unless it is another member by then."""
        self._tell(member, call, member.session_s / 3)

    def _tell(self, member: Member, call: Callable[[], None], within_s: float) -> None:
        """One thing after the other; a process that stands still hears of it some time after its thaw."""
        member.hears_s = max(member.hears_s, self.world.now_s + self.world.rng.random() * within_s)

        def deliver() -> None:
            process = member.client.process
            if process.alive and process.frozen:
                process.on_thaw.append(partial(self._tell, member, call, within_s))
            elif process.alive:
                call()

        self.world.at(member.hears_s - self.world.now_s, deliver)

    # --- offsets -------------------------------------------------------------------------------------------------

    def check(self, sent: Generation) -> None:
        """Whether offsets sent in a transaction are taken (KIP-447); raises when they are not."""
        if sent.generation < 0 and not self.members:
            return
        member = self.members.get(sent.instance)
        if sent.generation < 0 and not sent.member and not sent.instance:
            return
        if member is None:
            raise kafka_error(KafkaError.UNKNOWN_MEMBER_ID, abortable=True)
        if member.id != sent.member:
            raise kafka_error(KafkaError.FENCED_INSTANCE_ID, abortable=True)
        if self.generation != sent.generation:
            raise kafka_error(KafkaError.ILLEGAL_GENERATION, abortable=True)

    def settle(self, transactional_id: str, *, committed: bool) -> None:
        """The marker of a transaction that carried offsets."""
        offsets = self.pending.pop(transactional_id)
        if committed:
            self.offsets.update(offsets)

    def stable_offsets(self, places: Sequence[Place]) -> Offsets | None:
        """Committed offsets, -1001 where there are none; None while a transaction holds one of them open."""
        if any(place in offsets for offsets in self.pending.values() for place in places):
            return None
        return {place: self.offsets.get(place, -1001) for place in places}


def _owner(partition: int, count: int, members: int) -> int:
    """The range assignor: the first members get one more."""
    each, more = divmod(count, members)
    first = more * (each + 1)
    return partition // (each + 1) if partition < first else more + (partition - first) // each


def deliver(process: Process, call: Callable[[], None]) -> None:
    """Hand something to a process's background threads: at once, after its thaw, or never."""
    if process.alive and process.frozen:
        process.on_thaw.append(call)
    elif process.alive:
        call()
