"""The simulated Kafka: logs, groups, transactions, times of absence, the cleaner of compacted topics."""

from collections.abc import Mapping, Sequence
from zlib import crc32

from tests.audit.rows import Log
from tests.simulation.groups import Group
from tests.simulation.log import Partition
from tests.simulation.transactions import Coordinator
from tests.simulation.world import World

COMPACTED = ("joiner-changelog", "monitor-changelog", "references", "models")
KEEP_TOMBSTONES_S = 60.0


class Cluster:
    """All brokers as one.

    Args:
        world: where it stands.
        prefix: before every topic's name.
        counts: partitions by topic, without the prefix.
        inputs: the topics that each group reads, by the group's name.
    """

    def __init__(
        self, world: World, prefix: str, counts: Mapping[str, int], inputs: Mapping[str, Sequence[str]]
    ) -> None:
        self.world = world
        self.counts = {prefix + topic: count for topic, count in counts.items()}
        self.transactions = Coordinator(world)
        self.away = False
        self.lossy = 0.0
        """How often an answer of the transaction coordinator is lost."""
        self.hanging = 0.0
        """How often a call of a transactional producer returns long after its time, or never."""
        self._prefix = prefix
        self._partitions = {
            (topic, number): Partition(topic, number) for topic, count in self.counts.items() for number in range(count)
        }
        self._groups = {
            name: Group(world, name, {prefix + topic: counts[topic] for topic in topics})
            for name, topics in inputs.items()
        }

    def partition(self, topic: str, number: int) -> Partition:
        return self._partitions[topic, number]

    def group(self, name: str) -> Group:
        return self._groups[name]

    def number_of(self, key: bytes, topic: str) -> int:
        """The partition that a key belongs to; the topic without its prefix."""
        return crc32(key) % self.counts[self._prefix + topic]

    def append(
        self, topic: str, number: int, key: bytes, value: bytes | None, headers: list[tuple[str, bytes | None]]
    ) -> None:
        """What a publisher outside any transaction writes; the topic without its prefix."""
        self.partition(self._prefix + topic, number).append(key, value, headers, None, self.world.now_s)

    def log(self) -> Log:
        """Everything committed, by topic without its prefix and partition."""
        return {
            (topic.removeprefix(self._prefix), number): [entry.record for entry in partition.committed()]
            for (topic, number), partition in self._partitions.items()
        }

    def go_away(self, seconds: float) -> None:
        """No request is answered for a while, and nobody is given up for it."""
        if not self.away:
            self.world.say(f"the cluster is away for {seconds:.1f} s")
            self.away = True
            self.world.at(seconds, self._come_back)

    def _come_back(self) -> None:
        self.away = False
        for partition in self._partitions.values():
            for call in list(partition.on_change):
                call()

    def rebalance(self) -> None:
        """All groups hand their partitions out anew."""
        for group in self._groups.values():
            group.rebalance()

    def clean(self) -> None:
        """Compact: up to somewhere."""
        for (topic, _), partition in self._partitions.items():
            if topic.removeprefix(self._prefix) in COMPACTED:
                upto = self.world.rng.randrange(partition.end + 1)
                partition.compact(upto, self.world.now_s, KEEP_TOMBSTONES_S)
