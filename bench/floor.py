"""The floor: one process that consumes and decodes the same records and does nothing else.

Run as a process of its own (``python -m bench.floor``), so that its CPU time is its own.
"""

import argparse
import json
import sys
import time

import orjson
from confluent_kafka import Consumer, KafkaException, TopicPartition

FETCH = {
    # librdkafka's default sleeps a second whenever its queue is full: a factor of three.
    "fetch.queue.backoff.ms": 5,
    "queued.max.messages.kbytes": 256 * 1024,
    "queued.min.messages": 1_000_000,
    "fetch.message.max.bytes": 10 * 1024 * 1024,
}

_BATCH = 10_000


def consume_and_decode(bootstrap_servers: str, topics: list[str], partitions: int) -> dict[str, float]:
    """Read the topics from start to end.

    Args:
        bootstrap_servers: where Kafka is.
        topics: full names.
        partitions: of each topic.

    Returns:
        ``records``, ``events`` (rows), ``wall_s`` and ``cpu_s`` from the first record to the last.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "bench-floor",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            **FETCH,
        }
    )
    spots = [TopicPartition(topic, number, 0) for topic in topics for number in range(partitions)]
    left = sum(consumer.get_watermark_offsets(spot, timeout=10)[1] for spot in spots)
    records = left
    consumer.assign(spots)
    events = 0
    # Connecting is no part of the floor: the clock starts with the first record in hand.
    messages = consumer.consume(1, 30.0)
    wall, cpu = time.perf_counter(), time.process_time()
    while left:
        for message in messages:
            error = message.error()
            if error is not None:
                raise KafkaException(error)
            value = message.value()
            event = orjson.loads(value if value is not None else b"{}")
            events += event.get("n", 1)
            left -= 1
        # Never for more than is left: consume waits for the full number.
        messages = consumer.consume(min(_BATCH, left), 1.0) if left else []
    result = {
        "records": records,
        "events": events,
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
    }
    consumer.close()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description="Consume and decode, nothing else.")
    parser.add_argument("--bootstrap-servers", required=True)
    parser.add_argument("--topics", required=True, help="full names with commas between")
    parser.add_argument("--partitions", type=int, required=True)
    arguments = parser.parse_args()
    result = consume_and_decode(arguments.bootstrap_servers, arguments.topics.split(","), arguments.partitions)
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
