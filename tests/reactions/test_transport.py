"""Faust on topics written in transactions, with a real broker: nothing aborted, nothing lost, few repeats."""

import json
import random
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from pipeline.local_broker import LocalBroker
from pipeline.reactions.transport import Deliveries

FOLLOWER = Path(__file__).with_name("follower.py")
PARTITIONS = 2
CODECS = {"alerts": "lz4", "retrain-triggers": "zstd", "window-metrics": "snappy", "host-metrics": "gzip"}

Eventually = Callable[..., object]
Seen = dict[tuple[str, int], list[int]]


def create_topics(bootstrap_servers: str, prefix: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    wanted = [NewTopic(prefix + topic, PARTITIONS, 1) for topic in CODECS]
    for future in admin.create_topics(wanted).values():
        future.result(20)


def produce(bootstrap_servers: str, prefix: str, topic: str, count: int, start: int = 0) -> None:
    """Numbers from ``start`` on, spread over the partitions; a third of the transactions is aborted."""
    settings = {"bootstrap.servers": bootstrap_servers, "compression.type": CODECS[topic]}
    producer = Producer({**settings, "transactional.id": f"{prefix}{topic}", "linger.ms": 0})
    producer.init_transactions(30)
    chance = random.Random(count)
    number = start
    while number < start + count:
        aborted = chance.random() < 1 / 3
        producer.begin_transaction()
        for _ in range(chance.randint(1, 40)):
            partition = number % PARTITIONS
            shown = -1 if aborted else number
            value = json.dumps({"alert_id": f"{topic}-{shown}", "partition": partition, "number": shown})
            producer.produce(prefix + topic, value.encode(), partition=partition)
            number += 0 if aborted else 1
        producer.flush(30)
        (producer.abort_transaction if aborted else producer.commit_transaction)(30)


@contextmanager
def follower(broker: LocalBroker, prefix: str, seen: Path, pause_s: float) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, str(FOLLOWER), broker.bootstrap_servers, prefix, str(seen), str(pause_s)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def read_seen(path: Path) -> Seen:
    """What the follower has written down whole: a line may be in the writing, or be cut off by a kill."""
    seen: Seen = defaultdict(list)
    for line in path.read_text().splitlines() if path.exists() else ():
        match line.split():
            case [topic, partition, number, "."]:
                seen[topic, int(partition)].append(int(number))
    return seen


def unique(numbers: list[int]) -> list[int]:
    """Without repeats, in the order of the first appearances."""
    return list(dict.fromkeys(numbers))


def truth(broker: LocalBroker, prefix: str) -> tuple[Seen, dict[tuple[str, int], int]]:
    """What a plain reader of committed records finds, and the offset after the last record of each partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "group.id": "truth",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    places = [TopicPartition(prefix + topic, partition, 0) for topic in CODECS for partition in range(PARTITIONS)]
    consumer.assign(places)
    numbers: Seen = defaultdict(list)
    after: dict[tuple[str, int], int] = {}
    ended = 0
    while ended < len(places):
        message = consumer.poll(20)
        assert message is not None
        if message.error():
            ended += 1
            continue
        place = (str(message.topic()).removeprefix(prefix), int(message.partition() or 0))
        numbers[place].append(json.loads(message.value() or b"")["number"])
        after[place] = int(message.offset() or 0) + 1
    consumer.close()
    return numbers, after


def committed(broker: LocalBroker, prefix: str) -> dict[tuple[str, int], int]:
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": f"{prefix}driftline-reactions"})
    places = [TopicPartition(prefix + topic, partition) for topic in CODECS for partition in range(PARTITIONS)]
    found = {
        (place.topic.removeprefix(prefix), place.partition): place.offset
        for place in consumer.committed(places, timeout=20)
    }
    consumer.close()
    return found


def size(seen: Seen) -> int:
    return sum(len(unique(numbers)) for numbers in seen.values())


def test_committed_records_only_in_order_none_lost_by_a_kill_and_none_repeated_by_a_restart(
    broker: LocalBroker, topic_prefix: str, tmp_path: Path, eventually: Eventually
) -> None:
    create_topics(broker.bootstrap_servers, topic_prefix)
    for topic in CODECS:
        produce(broker.bootstrap_servers, topic_prefix, topic, 1_200)
    made, after = truth(broker, topic_prefix)
    seen = tmp_path / "seen"

    # 256 events of a topic side by side, 0.4 s each: the kill comes in mid-stream.
    with follower(broker, topic_prefix, seen, 0.4) as process:
        eventually(lambda: size(read_seen(seen)) >= 1_500, 30)
        process.kill()
        process.wait(10)
    assert size(read_seen(seen)) < size(made)

    with follower(broker, topic_prefix, seen, 0) as process:
        eventually(lambda: size(read_seen(seen)) >= size(made), 40)
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    finished = read_seen(seen)
    assert {place: unique(numbers) for place, numbers in finished.items()} == made
    repeats = Counter(number for numbers in finished.values() for number in Counter(numbers).values())
    assert set(repeats) <= {1, 2}
    # A topic repeats at most what was in work at the kill (256) and what was finished since the last commit, half a
    # second before: two rounds of 256.
    assert repeats[2] <= len(CODECS) * 3 * 256
    # Only commit markers and aborted records lie behind the committed offsets.
    assert committed(broker, topic_prefix) == after

    produce(broker.bootstrap_servers, topic_prefix, "alerts", 1, start=5_000)
    with follower(broker, topic_prefix, seen, 0) as process:
        eventually(lambda: size(read_seen(seen)) > size(made), 30)
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    last = read_seen(seen)
    fresh = [number for place in last for number in last[place][len(finished[place]) :]]
    assert fresh
    assert min(fresh) >= 5_000


def delivery(offset: int, *, acked: bool, partition: int = 0) -> ConsumerMessage:
    message = ConsumerMessage("t", partition, offset, 0.0, 0, None, None, b"", None, tp=TP("t", partition))
    message.acked = acked
    return message


def test_deliveries_commit_up_to_the_first_unacknowledged_across_gaps() -> None:
    deliveries = Deliveries()
    messages = [delivery(offset, acked=acked) for offset, acked in [(3, True), (9, True), (10, False), (40, True)]]
    for message in messages:
        deliveries.add(message)
    assert deliveries.committable() == {TP("t", 0): 10}
    deliveries.committed({TP("t", 0): 10})
    assert deliveries.pending() == 2
    assert deliveries.committable() == {}
    messages[2].acked = True
    assert deliveries.committable() == {TP("t", 0): 41}


def test_an_acknowledgement_of_a_delivery_before_a_rebalance_does_not_count_for_the_one_after() -> None:
    deliveries = Deliveries()
    old, new = delivery(5, acked=False), delivery(5, acked=False)
    deliveries.add(old)
    deliveries.forget({TP("t", 0)})
    deliveries.add(new)
    old.acked = True
    assert deliveries.committable() == {}
