"""The two processors over in-memory logs: the protocol without Kafka, with crashes where a test wants them."""

from collections import defaultdict
from typing import Any

import orjson

from pipeline.config import Config
from pipeline.core.events import OutputRecord, RecordBatch
from pipeline.core.kernels.hashing import hash_key
from pipeline.processors.joiner import make_joiner
from pipeline.processors.monitor import make_monitor
from pipeline.processors.processor import PartitionTask, Processor
from tests.audit.rows import Log, Record

Written = tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]] | None]


class Loop:
    """All partitions of both processors, driven step by step."""

    def __init__(self, config: Config, partitions: int = 2) -> None:
        self.config = config
        self.partitions = partitions
        self.topics: dict[tuple[str, int], list[Written]] = defaultdict(list)
        self.changelogs: dict[tuple[str, int], list[tuple[bytes, bytes | None]]] = defaultdict(list)
        self.committed: dict[tuple[str, int, str], int] = defaultdict(int)
        self.position: dict[tuple[str, int, str], int] = defaultdict(int)
        self.tasks: dict[tuple[str, int], PartitionTask] = {}
        self.processors: dict[str, Processor] = {}
        self.start()

    def start(self) -> None:
        self.processors = {"joiner": make_joiner(self.config), "monitor": make_monitor(self.config)}
        counts: dict[str, int] = defaultdict(lambda: self.partitions)
        for record in self.topics["references", 0]:
            self.processors["joiner"].on_table("references", record[0] or b"", record[1])
        for name, processor in self.processors.items():
            for partition in range(self.partitions):
                self.restart(name, partition, processor.task(partition, counts))

    def restart(self, name: str, partition: int, task: PartitionTask | None = None) -> None:
        """Forget the state as a crash does, and build it again from the changelog."""
        task = task or self.processors[name].task(partition, defaultdict(lambda: self.partitions))
        task.restore(self.changelogs[name, partition])
        self.tasks[name, partition] = task
        for topic in self.processors[name].inputs:
            self.position[name, partition, topic] = self.committed[name, partition, topic]

    def put(self, topic: str, partition: int, value: Any, headers: Any = None, key: bytes | None = None) -> None:
        encoded = value if isinstance(value, bytes | None) else orjson.dumps(value)
        self.topics[topic, partition].append((key, encoded, headers))

    def read(self, name: str, partition: int, topic: str, count: int, now_ms: int) -> int:
        """Process up to ``count`` records of one input."""
        start = self.position[name, partition, topic]
        records = self.topics[topic, partition][start : start + count]
        if records:
            batch = RecordBatch(
                topic=topic,
                partition=partition,
                offsets=list(range(start, start + len(records))),
                keys=[record[0] for record in records],
                values=[record[1] for record in records],
                headers=[record[2] for record in records],
            )
            self.tasks[name, partition].process(batch, now_ms)
            self.position[name, partition, topic] = start + len(records)
        return len(records)

    def commit(self, name: str, partition: int, now_ms: int) -> None:
        inputs = self.processors[name].inputs
        at_end = frozenset(
            topic for topic in inputs if self.position[name, partition, topic] == len(self.topics[topic, partition])
        )
        flush = self.tasks[name, partition].flush(now_ms, at_end)
        for output in flush.outputs:
            self.topics[output.topic, self.target(output)].append((output.key, output.value, None))
            if output.topic == "references":
                self.processors["joiner"].on_table("references", output.key or b"", output.value)
        self.changelogs[name, partition].extend(flush.changelog)
        for topic in inputs:
            self.committed[name, partition, topic] = self.position[name, partition, topic]

    def target(self, output: OutputRecord) -> int:
        if output.topic == "references" or output.key is None:
            return 0
        if output.partition is not None:
            return output.partition
        return hash_key(output.key.decode(), "")[0] % self.partitions

    def drain(self, now_ms: int) -> None:
        """Read everything to its end and commit, in turns, until nothing comes any more."""
        moved = True
        while moved:
            moved = False
            for name, partition in list(self.tasks):
                for topic in self.processors[name].inputs:
                    while self.read(name, partition, topic, 1_000, now_ms):
                        moved = True
                self.commit(name, partition, now_ms)

    def log(self) -> Log:
        """Everything in all topics, for the auditor."""
        return {
            place: [Record(offset, *record) for offset, record in enumerate(records)]
            for place, records in self.topics.items()
        }

    def events(self, topic: str) -> list[Any]:
        return [
            orjson.loads(record[1] or b"null")
            for partition in range(self.partitions)
            for record in self.topics[topic, partition]
        ]
