"""What a round wrote, read from the broker, against what the auditor makes of its raw log."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import orjson
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from pipeline.config import Config
from tests.audit.rows import Log, Place, Record
from tests.audit.truth import Cell, Truth
from tests.faults.settings import PARTITIONS
from tests.faults.traffic import CLOSING

_COUNTS = ("predictions", "labelled", "duplicates", "late", "labels", "unmatched_labels")
_SHOWN = 10
_FIRST_REASONS = {"too_late": "too_late", "too_far_in_future": "too_far_in_future"}


class Reader:
    """Reads committed records of a topic, each once, as they come; survives an outage of the broker."""

    def __init__(self, config: Config, topic: str) -> None:
        self._places = [TopicPartition(config.kafka.topic(topic), p, 0) for p in range(PARTITIONS)]
        self._consumer = Consumer({
            **config.kafka.properties, "group.id": "reader", "isolation.level": "read_committed",
            "enable.auto.commit": False, "auto.offset.reset": "earliest", "log_level": 0,
            "fetch.queue.backoff.ms": 5, "reconnect.backoff.max.ms": 500,
        })  # fmt: skip
        self._consumer.assign(self._places)

    def new(self, wait_s: float = 0.5) -> list[Message]:
        """What has come since the last call."""
        messages = self._consumer.consume(100_000, wait_s)
        return [message for message in messages if message.error() is None]

    def to_the_end(self, timeout_s: float = 60.0) -> Iterator[Message]:
        """Everything up to where the topic ends now, open transactions waited for."""
        deadline_s = time.monotonic() + timeout_s
        ends = {place.partition: self._end(place, deadline_s) for place in self._places}
        while True:
            yield from self.new(0.2)
            at = {place.partition: place.offset for place in self._consumer.position(self._places)}
            if all(at[p] >= end or end == 0 for p, end in ends.items()):
                return
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"{self._places[0].topic} is read up to {at}, ends at {ends}")

    def close(self) -> None:
        self._consumer.close()

    def _end(self, place: TopicPartition, deadline_s: float) -> int:
        while True:
            try:
                return int(self._consumer.get_watermark_offsets(place, timeout=5)[1])
            except KafkaException:
                if time.monotonic() > deadline_s:
                    raise


def read_log(config: Config) -> Log:
    """The raw log of the inputs, for the auditor."""
    log: dict[tuple[str, int], list[Record]] = defaultdict(list)
    for topic in ("predictions", "labels", "resources"):
        reader = Reader(config, topic)
        for message in reader.to_the_end():
            headers: Any = message.headers()
            record = Record(message.offset() or 0, message.key(), message.value(), headers)
            log[topic, message.partition() or 0].append(record)
        reader.close()
    return log


class Windows:
    """The window events of a round as they come."""

    def __init__(self, config: Config) -> None:
        self._reader = Reader(config, "window-metrics")
        self.events: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
        self.final = 0

    def poll(self) -> None:
        self._take(self._reader.new())

    def read_to_the_end(self) -> None:
        self._take(self._reader.to_the_end())

    def close(self) -> None:
        self._reader.close()

    def _take(self, messages: Any) -> None:
        for message in messages:
            event = orjson.loads(message.value())
            if event["model"] == CLOSING:
                continue
            key = tuple(event[name] for name in ("model", "model_version", "segment", "window", "window_start_ms"))
            self.events[key].append(event)
            self.final += event["final"]


def expected_windows(truth: Truth) -> dict[tuple[Any, ...], Cell]:
    """The truth's windows, without those of the rows that end a round."""
    return {
        (model, version, segment, window, start): cell
        for (model, version, _, segment, window, start), cell in truth.windows.items()
        if model != CLOSING
    }


def window_differences(expected: dict[tuple[Any, ...], Cell], said: dict[tuple[Any, ...], Any]) -> list[str]:
    """What is wrong with the windows, a line each: numbers, revisions, finals, windows too many or too few."""
    faults = [f"{key} is missing" for key in expected if key not in said]
    faults += [f"{key} should not be there" for key in said if key not in expected]
    for key, events in said.items():
        revisions = [event["revision"] for event in events]
        if revisions != list(range(len(events))):
            faults.append(f"{key} has revisions {revisions}")
        if [event["final"] for event in events] != [False] * (len(events) - 1) + [True]:
            faults.append(f"{key} is final in {[event['final'] for event in events]}")
        if key in expected:
            right, wrong = _expected_numbers(expected[key]), _said_numbers(events[-1])
            faults += [
                f"{key} says {name} {wrong[name]}, not {right[name]}" for name in right if right[name] != wrong[name]
            ]
    return faults


def _expected_numbers(cell: Cell) -> dict[str, Any]:
    rows = cell.predictions
    pairs = [(row.event["prediction"], max(row.labels)[2]) for row in rows if row.labels]
    features: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        for name, value in (row.event.get("features") or {}).items():
            features[name].append(value)
    counts = {
        "predictions": len(rows),
        "labelled": len(pairs),
        "duplicates": cell.duplicates,
        "late": sum(row.late for row in rows),
        "labels": sum(len(row.labels) for row in rows),
        "unmatched_labels": cell.unmatched,
    }
    return {
        **counts,
        "accuracy": sum(a == b for a, b in pairs) / len(pairs) if pairs else None,
        "latency": _mean([row.event["latency_ms"] for row in rows if "latency_ms" in row.event]),
        "means": {name: _mean(values) for name, values in sorted(features.items())},
    }


def _mean(values: list[float]) -> float | None:
    """The exact mean, rounded once."""
    return float(sum(map(Fraction, values)) / len(values)) if values else None


def _said_numbers(event: dict[str, Any]) -> dict[str, Any]:
    return {
        **{name: event["counts"][name] for name in _COUNTS},
        "accuracy": event["quality"].get("accuracy"),
        "latency": event["latency_ms"].get("mean"),
        "means": {
            name: quality["mean"]
            for name, quality in sorted(event["data_quality"].items())
            if quality["mean"] is not None
        },
    }


def host_differences(config: Config, truth: Truth) -> list[str]:
    """What is wrong with the windows of hosts; each is published once."""
    reader = Reader(config, "host-metrics")
    said: dict[tuple[Any, ...], list[Any]] = defaultdict(list)
    for message in reader.to_the_end():
        event = orjson.loads(message.value() or b"")
        metrics = {name: (said["min"], said["max"]) for name, said in event["metrics"].items()}
        said[event["host"], event["window"], event["window_start_ms"]].append(metrics)
    reader.close()
    right = {
        key: [{name: (min(v for _, v in read), max(v for _, v in read)) for name, read in metrics.items()}]
        for key, metrics in truth.hosts.items()
        if key[0] != CLOSING
    }
    keys = {key for key in {*said, *right} if key[0] != CLOSING}
    return [f"{key} says {said.get(key)}, not {right.get(key)}" for key in keys if said.get(key) != right.get(key)]


def dead_letter_differences(config: Config, truth: Truth) -> list[str]:
    """What is wrong with the dead letters: each bad row has one."""
    reader = Reader(config, "dead-letters")
    said: Counter[tuple[Place, str]] = Counter()
    for message in reader.to_the_end(300):
        letter = orjson.loads(message.value() or b"")
        place = Place(letter["topic"], letter["partition"], letter["offset"], letter["row"])
        said[place, _FIRST_REASONS.get(letter["reason"], "malformed")] += 1
    reader.close()
    missing, more = truth.dead - said, said - truth.dead
    return [f"no dead letter for {place}" for place in missing.elements()] + [
        f"a dead letter too many for {place}" for place in more.elements()
    ]


def shown(faults: list[str]) -> list[str]:
    """The first of many."""
    return [*faults[:_SHOWN], f"... and {len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else faults
