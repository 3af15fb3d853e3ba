"""Seeded traffic: single and columnar records, duplicates, corrections, disorder, rows that are late or broken."""

import heapq
import json
import random
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from confluent_kafka import Producer

from pipeline.config import Config
from tests.faults.settings import EARLY_MS, HORIZON_MS, LATENESS_MS, PARTITIONS

CLOSING = "closing"
"""The model of the rows that end a round; its own windows stay open and are not compared."""

PREDICTIONS_A_SECOND = 300
_SPEED = 2
"""Seconds of event time a second: more windows in less time."""
_LABEL_SPAN_MS = 12_000
"""Beyond the horizon: some labels come too late."""


class Record(NamedTuple):
    topic: str
    partition: int
    value: bytes
    headers: list[tuple[str, bytes]]


class Traffic:
    """What a seed sends, and in which order in each partition; nothing here depends on a clock but the start."""

    def __init__(self, seed: int, start_ms: int) -> None:
        self._rng = random.Random(seed)
        self._number = 0
        self._labels: list[list[tuple[int, int, dict[str, Any]]]] = [[] for _ in range(PARTITIONS)]
        self._sent: list[list[dict[str, Any]]] = [[] for _ in range(PARTITIONS)]
        self._start_ms = start_ms

    @property
    def now_ms(self) -> int:
        return self._start_ms + self._number * 1_000 * _SPEED // PREDICTIONS_A_SECOND

    def step(self) -> Iterator[Record]:
        """The next prediction with what goes with it."""
        rng, partition = self._rng, self._rng.randrange(PARTITIONS)
        kind = rng.random()
        if kind < 0.1:
            yield self._columns(partition, [self._prediction(partition) for _ in range(rng.randrange(2, 9))])
        elif kind < 0.103:
            yield Record("predictions", partition, rng.choice(BROKEN), [])
        elif kind < 0.13 and self._sent[partition]:
            again = {**rng.choice(self._sent[partition][-300:]), "latency_ms": 1.0}
            yield Record("predictions", partition, _json(again), [])
        else:
            yield Record("predictions", partition, _json(self._prediction(partition)), [])
        for place, waiting in enumerate(self._labels):
            due = []
            while waiting and waiting[0][0] <= self.now_ms:
                due.append(heapq.heappop(waiting)[2])
            yield from self._label_records(place, due)
        if self._number % 40 == 0:
            metrics = {"cpu.usage_ratio": rng.random(), "memory.used_bytes": rng.randrange(1 << 30)}
            moment_ms = self.now_ms - rng.randrange(1_500)
            event = {"host": f"h{partition}", "timestamp_ms": moment_ms, "metrics": metrics}
            yield Record("resources", partition, _json(event), [("schema", b"resource.v1")])

    def close(self) -> Iterator[Record]:
        """The labels that still wait, and rows far ahead in time: with them all windows become final."""
        for place, waiting in enumerate(self._labels):
            yield from self._label_records(place, [item[2] for item in sorted(waiting, key=lambda item: item[:2])])
        yield from closing(self.now_ms)

    def _prediction(self, partition: int) -> dict[str, Any]:
        rng, number = self._rng, self._number
        self._number += 1
        back_ms = rng.randrange(-500, 1_500) if rng.random() < 0.99 else rng.randrange(8_000, 16_000)
        event = {
            "prediction_id": f"p{number}",
            "model": rng.choice(["fraud", "fraud", "churn"]),
            "model_version": rng.choice("12"),
            "timestamp_ms": self.now_ms - back_ms,
            "task": "binary",
            "prediction": rng.randrange(2),
            "latency_ms": rng.random(),
            "features": {"amount": rng.gauss(0, 1), "age": rng.randrange(90)},
            "segments": {"country": rng.choice(["DE", "FR"])},
        }
        self._sent[partition].append(event)
        for _ in range(rng.choice([0, 1, 1, 1, 2])):
            due_ms = self.now_ms + rng.randrange(-3_000, _LABEL_SPAN_MS)
            label = {
                "prediction_id": event["prediction_id"],
                "model": event["model"],
                "label": rng.randrange(2),
                "timestamp_ms": due_ms - rng.randrange(1_500),
            }
            for _ in range(1 + (rng.random() < 0.05)):
                heapq.heappush(self._labels[partition], (due_ms, rng.getrandbits(60), label))
        return event

    def _label_records(self, partition: int, labels: list[dict[str, Any]]) -> Iterator[Record]:
        if len(labels) > 1 and self._rng.random() < 0.5:
            yield self._columns(partition, labels, "labels", b"label.v1")
        else:
            yield from (Record("labels", partition, _json(label), []) for label in labels)

    def _columns(
        self, partition: int, events: list[dict[str, Any]], topic: str = "predictions", schema: bytes = b"prediction.v1"
    ) -> Record:
        columns: dict[str, Any] = {"n": len(events)}
        for name, value in events[0].items():
            if isinstance(value, dict):
                columns[name] = {key: [event[name][key] for event in events] for key in value}
            else:
                columns[name] = [event[name] for event in events]
        return Record(topic, partition, _json(columns), [("layout", b"columns"), ("schema", schema)])


def closing(last_ms: int) -> Iterator[Record]:
    """Rows so far ahead that everything up to a moment becomes final.

    Args:
        last_ms: the newest prediction's time, about.
    """
    end_ms = last_ms + _LABEL_SPAN_MS + HORIZON_MS + EARLY_MS + 2 * LATENESS_MS + 20_000
    prediction = {
        "prediction_id": CLOSING, "model": CLOSING, "model_version": "1", "timestamp_ms": end_ms, "task": "binary",
        "prediction": 1,
    }  # fmt: skip
    label = {"prediction_id": CLOSING, "model": CLOSING, "timestamp_ms": end_ms, "label": 1}
    reading = {"host": CLOSING, "timestamp_ms": end_ms, "metrics": {"x": 1}}
    for partition in range(PARTITIONS):
        for topic, event in (("predictions", prediction), ("labels", label), ("resources", reading)):
            yield Record(topic, partition, _json(event), [])


class Sender(threading.Thread):
    """Sends a seed's traffic at its pace until it is told to close, through everything that befalls the broker."""

    def __init__(self, config: Config, traffic: Traffic) -> None:
        super().__init__(name="traffic", daemon=True)
        self._config, self._traffic = config, traffic
        self._close = threading.Event()
        self._producer = Producer({
            **config.kafka.properties, "linger.ms": 5, "enable.idempotence": True, "reconnect.backoff.max.ms": 500,
            "message.timeout.ms": 0, "log_level": 0, "queue.buffering.max.messages": 2_000_000,
        })  # fmt: skip

    def run(self) -> None:
        began_s, sent = time.monotonic(), 0
        while not self._close.is_set():
            while sent < (time.monotonic() - began_s) * PREDICTIONS_A_SECOND:
                self.send(self._traffic.step())
                sent += 1
            self._producer.poll(0)
            self._close.wait(0.02)
        self.send(self._traffic.close())
        self._producer.flush()

    def send(self, records: Iterator[Record]) -> None:
        """Put records on their way, from any thread; waits for room in the queue."""
        for record in records:
            while True:
                try:
                    self._producer.produce(
                        self._config.kafka.topic(record.topic),
                        record.value,
                        partition=record.partition,
                        headers=list(record.headers),
                    )
                except BufferError:
                    self._producer.poll(0.1)
                else:
                    break

    def close(self) -> None:
        """Send what ends the round, and return when the broker has it all."""
        self._close.set()
        self.join()

    def flush(self) -> None:
        """Wait until the broker has everything; only while the thread does not run."""
        self._producer.flush()


def _json(event: dict[str, Any]) -> bytes:
    return json.dumps(event).encode()


BROKEN = [b"", b"null", b"{", b"[1]", b'"text"', b'{"prediction_id": "x"}', b"\xff\xfe\x00", b'{"prediction_id": 7}']
"""Records that are no predictions by any reading."""
