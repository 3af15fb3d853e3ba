"""Before joining: wait for the broker, and refuse topics on which state could not follow its inputs."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from pipeline.core.errors import RetriableError, StartupError
from pipeline.engine.kafka import kafka_error, reaction

_ASK_S = 1.0  # one question; the client goes on connecting between two
_SAY_AGAIN_S = 30.0


def wait_for_topics(
    admin: AdminClient,
    prefix: str,
    wait: Callable[[float], bool],
    note: Callable[[RetriableError], None],
    monotonic_s: Callable[[], float],
) -> dict[str, int] | None:
    """Ask for all topics until a broker answers, for ever.

    Args:
        admin: a client.
        prefix: the configured topic prefix.
        wait: sleeps for some seconds; true when the runner was asked to stop meanwhile.
        note: told of the failure, at first and then every 30 seconds.
        monotonic_s: a clock.

    Returns:
        Partition counts by the name in the contract; None when stopped.

    Raises:
        StartupError: the broker answers that we may not ask.
    """
    noted_s: float | None = None
    while True:
        try:
            return partition_counts(admin.list_topics(timeout=_ASK_S).topics, prefix)
        except KafkaException as exception:
            error = reaction(kafka_error(exception), "asking the broker for its topics")
            if not isinstance(error, RetriableError):
                raise error from exception
            now_s = monotonic_s()
            if noted_s is None or now_s - noted_s >= _SAY_AGAIN_S:
                noted_s = now_s
                note(error)
            if wait(0.1):
                return None


def partition_counts(topics: Mapping[str, Any], prefix: str) -> dict[str, int]:
    """The number of partitions of every topic that has the prefix.

    Args:
        topics: topic metadata by full name.
        prefix: the configured topic prefix.

    Returns:
        Partition counts by the name in the contract.
    """
    return {
        name.removeprefix(prefix): len(topic.partitions)
        for name, topic in topics.items()
        if name.startswith(prefix) and topic.error is None
    }


def check_topics(counts: Mapping[str, int], inputs: Iterable[str], tables: Iterable[str], changelog: str) -> None:
    """Refuse a cluster on which the processor's state could not follow its inputs.

    Args:
        counts: partition counts by topic.
        inputs: topics that must have equal counts.
        tables: topics that must exist.
        changelog: the state's topic, which must have the inputs' count.

    Raises:
        StartupError: a topic is missing or the counts differ.
    """
    aligned = (*inputs, changelog)
    missing = [name for name in (*aligned, *tables) if name not in counts]
    if missing:
        raise StartupError(f"topics are missing: {', '.join(missing)}; run `driftline topics create`")
    if len({counts[name] for name in aligned}) > 1:
        listed = ", ".join(f"{name} {counts[name]}" for name in aligned)
        raise StartupError(
            f"topics that are read together differ in their partition counts: {listed}; "
            "delete those with the wrong count and run `driftline topics create`"
        )
