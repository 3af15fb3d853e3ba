"""Subscribe to alerts and other outputs: committed records only, each acknowledged after the body has run."""

import logging
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any

import orjson
from confluent_kafka import Consumer, KafkaError, KafkaException, Message

from pipeline.core.errors import ConfigError, ConfigFault, RetriableError
from pipeline.kafka_clients import Cluster, cluster_of, property_fault, reserved_faults

if TYPE_CHECKING:
    from pipeline.config import Config  # who only subscribes need not load what reads configuration files

logger = logging.getLogger(__name__)

RESERVED = frozenset({"enable.auto.commit", "enable.auto.offset.store", "error_cb", "group.id", "isolation.level"})
"""The librdkafka properties that the promises of ``subscribe`` rest on: they cannot be passed."""

_DEFAULTS: Mapping[str, Any] = {
    # A new group begins with what is still there: an alert that fired a minute before must not be missed.
    "auto.offset.reset": "earliest",
    # How soon a topic is found that is made after the subscription.
    "topic.metadata.refresh.interval.ms": 5_000,
    "reconnect.backoff.max.ms": 2_000,
    "log_level": 2,
}
_POLL_S = 0.5


def subscribe_alerts(
    bootstrap_servers: str | None = None,
    *,
    group: str,
    model: str | None = None,
    topic_prefix: str | None = None,
    config: "Mapping[str, Any] | Config | None" = None,
) -> Generator[dict[str, Any], None, None]:
    """Yield alerts, as they fire and resolve, for ever; see ``subscribe`` for what is committed when.

    Args:
        bootstrap_servers: where Kafka is; None takes it from ``config``, else ``localhost:9092``.
        group: who subscribes: each alert goes to one member of a group, and a group goes on where it left off.
        model: only this model's alerts; None is all, those of hosts included.
        topic_prefix: goes before the topic's name; None takes it from ``config``, else none.
        config: librdkafka properties, or Driftline's whole configuration.

    Returns:
        A generator of ``alert.v1`` events.

    Raises:
        ConfigError: a property is wrong, or the group has no name.
    """
    return subscribe(
        "alerts",
        bootstrap_servers,
        group=group,
        topic_prefix=topic_prefix,
        config=config,
        wanted=lambda alert: model is None or alert.get("model") == model,
    )


def subscribe(
    topic: str,
    bootstrap_servers: str | None = None,
    *,
    group: str,
    topic_prefix: str | None = None,
    config: "Mapping[str, Any] | Config | None" = None,
    wanted: Callable[[Mapping[str, Any]], bool] = lambda _event: True,
) -> Generator[dict[str, Any], None, None]:
    """Yield the events of an output topic, for ever.

    An event is committed after the loop's body has run, that is when the next one is asked for. A body that raises, or
    leaves the loop by ``break`` or ``return``, leaves its event uncommitted: the group gets it again. So each event
    arrives at least once; ``alert_id`` and ``state`` tell repetitions. Only committed transactions are seen.

    While Kafka is away, or the topic is not there yet, it waits. Closing the generator (which leaving the loop does)
    leaves the group, so that another member takes over at once.

    Args:
        topic: the name in the contract, e.g. ``retrain-triggers``.
        bootstrap_servers: where Kafka is; None takes it from ``config``, else ``localhost:9092``.
        group: who subscribes: each event goes to one member of a group, and a group goes on where it left off.
        topic_prefix: goes before the topic's name; None takes it from ``config``, else none.
        config: librdkafka properties, or Driftline's whole configuration.
        wanted: tells which events to yield; the others are passed over.

    Returns:
        A generator of events; records that hold no JSON object are logged and passed over.

    Raises:
        ConfigError: a property is wrong, or the group has no name.
        RetriableError: raised by the generator when Kafka's client has failed for good: subscribe again.
    """
    cluster = cluster_of(bootstrap_servers, topic_prefix, config)
    errors = _Errors()
    settings = _consumer_properties(cluster, group) | {"error_cb": errors.note}
    try:
        # A wrong property must be told here, not at the first event.
        consumer = Consumer(settings)
    except (KafkaException, TypeError, ValueError) as error:
        raise ConfigError([property_fault(error)]) from None
    consumer.subscribe([cluster.topic_prefix + topic])
    return _events(consumer, wanted, errors)


class _Errors:
    """Notes what Kafka's client reports: each kind is logged once until something arrives again."""

    def __init__(self) -> None:
        self.fatal: KafkaError | None = None
        self.interrupt: BaseException | None = None
        self._said: set[int] = set()

    def note(self, error: KafkaError) -> None:
        """Take in one error; what a signal handler raises meanwhile is kept for the loop that polls."""
        try:
            if error.fatal():
                self.fatal = error
            if error.code() not in self._said:
                self._said.add(error.code())
                logger.warning("waiting for Kafka: %s: %s", error.name(), error.str())
        except BaseException as interrupt:  # noqa: BLE001 - it must not pass through the C code that calls this
            self.interrupt = interrupt

    def forget(self) -> None:
        """Kafka answers again."""
        self._said.clear()


def _consumer_properties(cluster: Cluster, group: str) -> dict[str, Any]:
    faults = reserved_faults(cluster.properties, RESERVED)
    if not group:
        faults.append(ConfigFault("group", "is empty", "give the subscribers a name they share"))
    if faults:
        raise ConfigError(faults)
    return {
        **_DEFAULTS,
        **cluster.properties,
        "bootstrap.servers": cluster.bootstrap_servers,
        "group.id": group,
        "isolation.level": "read_committed",
        # What is stored is committed, at the latest when the group is left; only what the body has seen off is stored.
        "enable.auto.commit": True,
        "enable.auto.offset.store": False,
    }


def _events(
    consumer: Consumer, wanted: Callable[[Mapping[str, Any]], bool], errors: _Errors
) -> Generator[dict[str, Any], None, None]:
    try:
        while True:
            message = _polled(consumer, errors)
            if message is None:
                continue
            error = message.error()
            if error is not None:
                errors.note(error)
                continue
            errors.forget()
            event = _decoded(message)
            if event is not None and wanted(event):
                yield event
                _commit(consumer, message)
            else:
                _store(consumer, message)
    finally:
        consumer.close()


def _polled(consumer: Consumer, errors: _Errors) -> Message | None:
    try:
        message = consumer.poll(_POLL_S)
    except SystemError:
        # confluent-kafka loses the exception of a signal handler that runs as its callback begins.
        raise KeyboardInterrupt from None
    if errors.interrupt is not None:
        raise errors.interrupt
    if errors.fatal is not None:
        raise RetriableError(f"Kafka's client failed for good ({errors.fatal.str()}): subscribe again")
    return message


def _decoded(message: Message) -> dict[str, Any] | None:
    value = message.value()
    try:
        event = orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        event = None
    if not isinstance(event, dict):
        place = f"{message.topic()} {message.partition()}@{message.offset()}"
        logger.warning("passed over a record that holds no JSON object: %s", place)
        return None
    return event


def _store(consumer: Consumer, message: Message) -> bool:
    try:
        consumer.store_offsets(message)
    except KafkaException:
        # The partition went to another member meanwhile; it will yield this event again.
        return False
    return True


def _commit(consumer: Consumer, message: Message) -> None:
    if _store(consumer, message):
        try:
            # Not waited for: were Kafka away, the loop would stand; the next commit covers this one.
            consumer.commit(asynchronous=True)
        except KafkaException as error:
            logger.debug("commit put off: %s", error)
