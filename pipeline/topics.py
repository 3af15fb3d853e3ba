"""Every topic Driftline uses: what it is for, how it is laid out, and whether a cluster has it that way."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

from pipeline.config import Config
from pipeline.core.errors import RetriableError, StartupError

INPUT = "input"
"""The group of topics that are read side by side, partition by partition, with the joiner's state."""
PARTIALS = "partials"
"""The group of topics that follow a model from the joiner to the monitor's state."""
OUTPUT = "output"
"""The group of topics that nothing is aligned with; any partition count will do."""
SINGLE = "single"
"""The group of topics that every worker reads whole: one partition."""

_DAY_MS = 86_400_000
_REQUEST_TIMEOUT_S = 20.0
_VISIBLE_TIMEOUT_S = 20.0
# A state is read to its end at every restart, so what compaction cannot touch, the newest segment, must stay small.
# Deletions stay for a day: a worker's local copy of a state, at most half as old, must still meet them.
_COMPACTED = {
    "segment.bytes": str(64 << 20),
    "min.cleanable.dirty.ratio": "0.2",
    "delete.retention.ms": str(_DAY_MS),
}


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic of the contract.

    Attributes:
        purpose: what it carries, in one sentence.
        group: topics of the same group among ``INPUT`` and ``PARTIALS`` must have equal partition counts.
        cleanup: ``delete`` forgets by age, ``compact`` keeps the newest record of each key.
        keeps_label_horizon: whether its records must live at least as long as labels may take.
        optional: whether Driftline runs without it.
    """

    purpose: str
    group: str = OUTPUT
    cleanup: Literal["delete", "compact"] = "delete"
    keeps_label_horizon: bool = False
    optional: bool = False


TOPICS: Mapping[str, Topic] = {
    "predictions": Topic("what models predicted, keyed by prediction id", INPUT, keeps_label_horizon=True),
    "labels": Topic("what turned out to be true, keyed by prediction id", INPUT, keeps_label_horizon=True),
    "resources": Topic("readings of hosts, keyed by host", INPUT),
    "models": Topic("the versions of each model and their stage, keyed by model", PARTIALS, "compact"),
    "partials": Topic("mergeable counts of each window's parts, from joiner to monitor, keyed by model", PARTIALS),
    "joiner-changelog": Topic("the joiner's state: open predictions and early labels", INPUT, "compact"),
    "monitor-changelog": Topic("the monitor's state: open windows, learned references, rules", PARTIALS, "compact"),
    "references": Topic("what drift is measured against, keyed by model, version and part", SINGLE, "compact"),
    "window-metrics": Topic("metrics of each model's windows"),
    "host-metrics": Topic("metrics of each host's windows"),
    "alerts": Topic("rules that fire and resolve"),
    "retrain-triggers": Topic("requests to retrain a model, with the offsets of the evidence"),
    "retrain-verdicts": Topic("whether a retrained model is better than the one it follows"),
    "dead-letters": Topic("rows that could not be used, with reason and original bytes"),
    "joined": Topic("predictions with their labels, for training", optional=True),
}


@dataclass(frozen=True, slots=True)
class TopicReport:
    """What ``create_topics`` did.

    Attributes:
        created: full names of the topics that were missing.
        existing: full names of the topics that were there and were left as they are.
    """

    created: tuple[str, ...]
    existing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TopicFault:
    """One topic that is not as Driftline needs it.

    Attributes:
        topic: its full name.
        problem: what is wrong.
        mend: what to do.
    """

    topic: str
    problem: str
    mend: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.problem} ({self.mend})"


def partition_count(name: str, config: Config) -> int:
    """How many partitions a topic is created with.

    Args:
        name: the name in the contract.
        config: the configuration.
    """
    return 1 if TOPICS[name].group == SINGLE else config.kafka.partitions


def topic_settings(name: str, config: Config) -> dict[str, str]:
    """The topic-level settings a topic is created with.

    Args:
        name: the name in the contract.
        config: the configuration.

    Returns:
        Kafka's setting name to value. A topic without ``retention.ms`` follows the cluster's own retention.
    """
    topic = TOPICS[name]
    settings: dict[str, str] = {"cleanup.policy": topic.cleanup}
    if topic.cleanup == "compact":
        settings |= _COMPACTED
    if topic.keeps_label_horizon:
        settings["retention.ms"] = str(_retention_ms(config))
    return settings


def create_topics(config: Config) -> TopicReport:
    """Create the topics that are missing; those that exist are left as they are.

    Args:
        config: the configuration; ``[kafka]`` gives prefix, partitions and replication factor.

    Returns:
        Which were created and which were there.

    Raises:
        RetriableError: no broker answers.
        StartupError: the cluster refuses a topic; the message says why.
    """
    admin = _admin(config)
    present = _partitions(admin, config)
    missing = [name for name in TOPICS if name not in present]
    if missing:
        _create(admin, config, missing)
    return TopicReport(
        created=tuple(config.kafka.topic(name) for name in missing),
        existing=tuple(config.kafka.topic(name) for name in TOPICS if name in present),
    )


def check_topics(config: Config) -> list[TopicFault]:
    """Compare the cluster's topics with what Driftline needs.

    Args:
        config: the configuration.

    Returns:
        Every fault found; none when all is well.

    Raises:
        RetriableError: no broker answers.
        StartupError: the cluster refuses to say.
    """
    admin = _admin(config)
    present = _partitions(admin, config)
    faults = [
        TopicFault(config.kafka.topic(name), "is missing", "run: driftline topics create")
        for name, topic in TOPICS.items()
        if name not in present and not topic.optional
    ]
    faults += _uneven(present, config)
    settings = _settings(admin, config, present)
    for name in present:
        faults += _setting_faults(name, settings[name], config)
    return faults


def _retention_ms(config: Config) -> int:
    """A day more than labels may take: a worker that was away must still find what it missed."""
    return config.windows.label_horizon + _DAY_MS


def _admin(config: Config) -> AdminClient:
    # The answer is an exception with its reason; librdkafka's own lines on standard error would only repeat it.
    return AdminClient({"log_level": 2, **config.kafka.properties})


def _partitions(admin: AdminClient, config: Config) -> dict[str, int]:
    """The partition count of each of our topics that exists, by the name in the contract."""
    try:
        found = admin.list_topics(timeout=_REQUEST_TIMEOUT_S).topics
    except KafkaException as error:
        raise _away(error, config) from error
    return {name: len(found[full].partitions) for name in TOPICS if (full := config.kafka.topic(name)) in found}


def _create(admin: AdminClient, config: Config, names: Iterable[str]) -> None:
    wanted = [
        NewTopic(
            config.kafka.topic(name),
            num_partitions=partition_count(name, config),
            replication_factor=config.kafka.replication_factor,
            config=topic_settings(name, config),
        )
        for name in names
    ]
    answers = admin.create_topics(wanted, operation_timeout=_REQUEST_TIMEOUT_S, request_timeout=_REQUEST_TIMEOUT_S)
    refused = []
    for full, answer in answers.items():
        try:
            answer.result()
        except KafkaException as error:
            reason = error.args[0]
            # Another worker that starts at the same moment may have been first.
            if reason.code() != KafkaError.TOPIC_ALREADY_EXISTS:
                refused.append(f"{full}: {reason.str()}")
    if refused:
        raise StartupError(
            "the cluster refuses topics; see [kafka] partitions and replication_factor, and the rights of this user:\n"
            + "\n".join(refused)
        )
    _wait_until_visible(admin, config)


def _wait_until_visible(admin: AdminClient, config: Config) -> None:
    """Creation is answered before every broker's metadata have it; a consumer must not find half of the topics."""
    deadline = time.monotonic() + _VISIBLE_TIMEOUT_S
    while len(_partitions(admin, config)) < len(TOPICS):
        if time.monotonic() > deadline:
            raise StartupError("the cluster took the topics but does not list them; look at its controller's log")
        time.sleep(0.05)


def _uneven(present: Mapping[str, int], config: Config) -> list[TopicFault]:
    """Topics that are read side by side and differ in their partition counts."""
    faults = []
    for group in (INPUT, PARTIALS):
        counts = {name: count for name, count in present.items() if TOPICS[name].group == group}
        if len(set(counts.values())) > 1:
            largest = max(counts.values())
            told = ", ".join(f"{config.kafka.topic(name)} {count}" for name, count in counts.items())
            faults += [
                TopicFault(
                    config.kafka.topic(name),
                    f"has {count} partitions, but topics read side by side must have equally many: {told}",
                    "with all workers and publishers stopped, delete and create the topics of this group anew; adding"
                    " partitions would part keys that are there already",
                )
                for name, count in counts.items()
                if count < largest
            ]
    faults += [
        TopicFault(config.kafka.topic(name), f"has {count} partitions, must have 1", "delete and create it anew")
        for name, count in present.items()
        if TOPICS[name].group == SINGLE and count != 1
    ]
    return faults


def _settings(admin: AdminClient, config: Config, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """The settings in force of each topic, its own and the cluster's."""
    resources = {config.kafka.topic(name): name for name in names}
    if not resources:
        return {}
    answers = admin.describe_configs(
        [ConfigResource(ConfigResource.Type.TOPIC, full) for full in resources], request_timeout=_REQUEST_TIMEOUT_S
    )
    try:
        return {
            resources[resource.name]: {key: entry.value for key, entry in answer.result().items()}
            for resource, answer in answers.items()
        }
    except KafkaException as error:
        raise StartupError(f"the cluster does not tell the topics' settings: {error.args[0].str()}") from error


def _setting_faults(name: str, found: Mapping[str, str], config: Config) -> list[TopicFault]:
    topic, full = TOPICS[name], config.kafka.topic(name)
    faults = []
    policies = sorted(policy.strip() for policy in found.get("cleanup.policy", "").split(","))
    if policies != [topic.cleanup]:
        faults.append(
            TopicFault(
                full,
                f"has cleanup.policy={','.join(policies)}, must be {topic.cleanup}",
                f"kafka-configs --alter --entity-type topics --entity-name {full}"
                f" --add-config cleanup.policy={topic.cleanup}",
            )
        )
    deletions_ms = int(found.get("delete.retention.ms", _DAY_MS))
    if topic.cleanup == "compact" and deletions_ms < _DAY_MS:
        faults.append(
            TopicFault(
                full,
                f"forgets deletions after delete.retention.ms={deletions_ms}, must keep them for {_DAY_MS}",
                f"kafka-configs --alter --entity-type topics --entity-name {full}"
                f" --add-config delete.retention.ms={_DAY_MS}",
            )
        )
    retention_ms = int(found.get("retention.ms", "-1"))
    horizon_ms = config.windows.label_horizon
    if topic.keeps_label_horizon and 0 <= retention_ms < horizon_ms:
        faults.append(
            TopicFault(
                full,
                f"forgets after retention.ms={retention_ms}, but labels may take windows.label_horizon={horizon_ms} ms",
                f"kafka-configs --alter --entity-type topics --entity-name {full}"
                f" --add-config retention.ms={_retention_ms(config)}, or shorten label_horizon",
            )
        )
    return faults


def _away(error: KafkaException, config: Config) -> RetriableError:
    reason = error.args[0]
    return RetriableError(
        f"no Kafka broker answers at {config.kafka.bootstrap_servers} ({reason.str()}); start one (driftline broker)"
        " or correct [kafka] bootstrap_servers"
    )
