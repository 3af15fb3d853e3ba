"""Holds every event on every topic of a run against ``schemas/``: the demo keeps the contract it shows off."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from jsonschema import Draft202012Validator

from pipeline.config import Config
from pipeline.core.errors import RetriableError
from pipeline.schemas import load_schema

EVENTS = {
    "predictions": "prediction.v1",
    "labels": "label.v1",
    "resources": "resource.v1",
    "models": "model.v1",
    "window-metrics": "window_metrics.v1",
    "host-metrics": "host_metrics.v1",
    "alerts": "alert.v1",
    "retrain-triggers": "retrain_trigger.v1",
    "dead-letters": "dead_letter.v1",
}
"""Topic to the event it carries."""

FAULTS_MAX = 20
"""More faults than this teach nothing more."""

_SPREAD = ("features", "segments")
_TIMEOUT_S = 10.0
_POLL_S = 0.1  # a consume call waits this long for its last record


@dataclass(slots=True)
class Findings:
    """What the check found.

    Attributes:
        rows: topic to the number of rows looked at; a columnar record holds many.
        faults: one sentence for each row or record that breaks its schema, up to ``FAULTS_MAX``.
    """

    rows: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether every row is valid and nothing went to the dead letters."""
        return not self.faults and not self.rows["dead-letters"]

    def add_fault(self, message: Message, problem: str) -> None:
        """Note a fault with its place.

        Args:
            message: the record.
            problem: what is wrong with it.
        """
        if len(self.faults) < FAULTS_MAX:
            self.faults.append(f"{message.topic()}[{message.partition()}]@{message.offset()}: {problem}")


def check_events(config: Config) -> Findings:
    """Read all topics of the contract from start to end and validate each row.

    Args:
        config: where Kafka is.

    Returns:
        The findings.

    Raises:
        RetriableError: Kafka stopped answering.
        KafkaException: a topic could not be read.
    """
    findings = Findings(rows=dict.fromkeys(EVENTS, 0))
    names = {config.kafka.topic(name): name for name in EVENTS}
    validators = {event: Draft202012Validator(load_schema(event)) for event in EVENTS.values()}
    for message in _read_all(config, list(names)):
        name = names[message.topic() or ""]
        headers = dict(message.headers() or ())
        event = _text(headers.get("schema")) or EVENTS[name]
        value = message.value()
        if event != EVENTS[name]:
            findings.add_fault(message, f"carries {event}, not {EVENTS[name]}")
        elif value is None:
            findings.add_fault(message, "is null")
        else:
            is_columnar = _text(headers.get("layout")) == "columns"
            _check_record(findings, message, name, orjson.loads(value), validators[event], is_columnar=is_columnar)
    return findings


def rows_of(event: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Take a columnar record apart.

    Args:
        event: a record in the batch layout.

    Returns:
        Its rows as single events; what is null in a row is absent there, a null feature excepted.
    """
    n = event["n"]
    for index in range(n):
        row = {}
        for name, column in event.items():
            if name == "n":
                continue
            if name in _SPREAD and isinstance(column, dict):
                row[name] = {inner: _cell(values, index, n) for inner, values in column.items()}
            elif (value := _cell(column, index, n)) is not None:
                row[name] = value
        yield row


def _check_record(
    findings: Findings,
    message: Message,
    name: str,
    event: dict[str, Any],
    validator: Draft202012Validator,
    *,
    is_columnar: bool,
) -> None:
    if is_columnar and (problem := _layout_fault(event)):
        findings.add_fault(message, problem)
        return
    for index, row in enumerate(rows_of(event) if is_columnar else (event,)):
        findings.rows[name] += 1
        if validator.is_valid(row):
            continue
        error = next(validator.iter_errors(row))
        findings.add_fault(message, f"row {index}, {error.json_path}: {error.message[:200]}")


def _layout_fault(event: Mapping[str, Any]) -> str | None:
    n = event.get("n")
    if not isinstance(n, int) or n < 1:
        return f"n is {n!r}, not a count of rows"
    columns = {
        f"{name}.{inner}": values
        for name in _SPREAD
        if isinstance(event.get(name), dict)
        for inner, values in event[name].items()
    }
    columns |= {name: values for name, values in event.items() if name not in _SPREAD}
    wrong = [name for name, values in columns.items() if isinstance(values, list) and len(values) != n]
    return f"columns of another length than n = {n}: {', '.join(wrong)}" if wrong else None


def _cell(column: Any, index: int, n: int) -> Any:
    return column[index] if isinstance(column, list) and len(column) == n else column


def _text(header: str | bytes | None) -> str:
    return header.decode() if isinstance(header, bytes) else header or ""


def _read_all(config: Config, topics: list[str]) -> Iterator[Message]:
    consumer = Consumer(
        {
            **config.kafka.properties,
            "group.id": config.kafka.topic("demo-check"),
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    try:
        known = consumer.list_topics(timeout=_TIMEOUT_S).topics
        spots = [
            TopicPartition(topic, number, 0) for topic in topics if topic in known for number in known[topic].partitions
        ]
        consumer.assign(spots)
        open_ends = len(spots)
        heard_s = time.monotonic()
        while open_ends:
            messages = consumer.consume(1_000, _POLL_S)
            if messages:
                heard_s = time.monotonic()
            elif time.monotonic() > heard_s + _TIMEOUT_S:
                raise RetriableError(f"Kafka gave nothing for {_TIMEOUT_S:.0f} s; {open_ends} partitions are not read")
            for message in messages:
                error = message.error()
                if error is None:
                    yield message
                elif error.code() == error._PARTITION_EOF:  # noqa: SLF001 - librdkafka's public name for it
                    open_ends -= 1
                elif not error.retriable():
                    raise KafkaException(error)
    finally:
        consumer.close()
