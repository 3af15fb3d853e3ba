import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic

from pipeline.config import Config
from pipeline.core.errors import RetriableError, StartupError
from pipeline.topics import TOPICS, TopicFault, check_topics, create_topics, partition_count
from tests.conftest import Eventually, MakeConfig

DAY_MS = 86_400_000


def admin(config: Config) -> AdminClient:
    return AdminClient(config.kafka.properties)


def alter(config: Config, name: str, setting: str, value: str) -> None:
    entry = ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, config.kafka.topic(name), incremental_configs=[entry])
    client = admin(config)  # held: the answers end with it
    for answer in client.incremental_alter_configs([resource]).values():
        answer.result(20)


def delete(config: Config, *names: str) -> None:
    client = admin(config)
    for answer in client.delete_topics([config.kafka.topic(name) for name in names]).values():
        answer.result(20)


def add(config: Config, name: str, partitions: int) -> None:
    wanted = NewTopic(config.kafka.topic(name), partitions, 1, config={"cleanup.policy": TOPICS[name].cleanup})
    client = admin(config)
    for answer in client.create_topics([wanted]).values():
        answer.result(20)


def settled_faults(eventually: Eventually, config: Config, names: set[str]) -> dict[str, TopicFault]:
    """The faults once they concern these topics: the cluster answers a change before its metadata show it."""
    wanted = {config.kafka.topic(name) for name in names}

    def look() -> tuple[list[TopicFault]] | None:
        faults = check_topics(config)
        return (faults,) if {fault.topic for fault in faults} == wanted else None

    return {fault.topic: fault for fault in eventually(look)[0]}


def test_contract_names_are_all_there() -> None:
    inputs = {"predictions", "labels", "resources", "models"}
    inside = {"partials", "joiner-changelog", "monitor-changelog", "references"}
    outputs = {"window-metrics", "host-metrics", "alerts", "retrain-triggers", "retrain-verdicts", "dead-letters"}
    assert set(TOPICS) == inputs | inside | outputs | {"joined"}


def test_created_once_then_left_alone_and_sound(make_config: MakeConfig) -> None:
    config = make_config()
    assert {fault.problem for fault in check_topics(config)} == {"is missing"}
    first = create_topics(config)
    assert set(first.created) == {config.kafka.topic(name) for name in TOPICS}
    assert first.existing == ()
    second = create_topics(config)
    assert second.created == ()
    assert set(second.existing) == set(first.created)
    assert check_topics(config) == []
    found = admin(config).list_topics(timeout=20).topics
    for name in TOPICS:
        assert len(found[config.kafka.topic(name)].partitions) == partition_count(name, config)
    assert len(found[config.kafka.topic("references")].partitions) == 1


def test_only_what_is_missing_is_created(make_config: MakeConfig, eventually: Eventually) -> None:
    config = make_config()
    create_topics(config)
    delete(config, "alerts", "joined")
    faults = settled_faults(eventually, config, {"alerts"})  # joined is optional
    assert faults[config.kafka.topic("alerts")].problem == "is missing"
    assert "driftline topics create" in str(faults[config.kafka.topic("alerts")])
    assert set(create_topics(config).created) == {config.kafka.topic("alerts"), config.kafka.topic("joined")}
    assert check_topics(config) == []


def test_unequal_partition_counts_are_told_per_group(make_config: MakeConfig, eventually: Eventually) -> None:
    config = make_config()
    for name, partitions in {"predictions": 3, "labels": 2, "models": 1, "references": 3, "alerts": 7}.items():
        add(config, name, partitions)
    settled_faults(eventually, config, set(TOPICS) - {"alerts", "predictions", "models", "joined"})
    create_topics(config)
    faults = settled_faults(
        eventually, config, {"labels", "resources", "joiner-changelog", "models", "references"}
    )  # alerts stands beside nothing: any count will do
    labels = faults[config.kafka.topic("labels")]
    assert "has 2 partitions" in labels.problem
    assert "equally many" in labels.problem
    assert f"{config.kafka.topic('predictions')} 3" in labels.problem
    assert "has 1 partitions" in faults[config.kafka.topic("models")].problem
    assert "must have 1" in faults[config.kafka.topic("references")].problem


def test_wrong_cleanup_policy_is_told_with_its_mend(make_config: MakeConfig, eventually: Eventually) -> None:
    config = make_config()
    create_topics(config)
    alter(config, "models", "cleanup.policy", "compact,delete")
    alter(config, "window-metrics", "cleanup.policy", "compact")
    faults = settled_faults(eventually, config, {"models", "window-metrics"})
    assert "cleanup.policy=compact,delete, must be compact" in faults[config.kafka.topic("models")].problem
    assert "--add-config cleanup.policy=delete" in faults[config.kafka.topic("window-metrics")].mend


def test_labels_and_predictions_outlive_the_label_horizon(make_config: MakeConfig, eventually: Eventually) -> None:
    create_topics(make_config(windows={"label_horizon": "3d"}))
    assert check_topics(make_config(windows={"label_horizon": "4d"})) == []  # a day is kept beyond the horizon
    longer = make_config(windows={"label_horizon": "5d"})
    faults = settled_faults(eventually, longer, {"labels", "predictions"})
    for fault in faults.values():
        assert f"retention.ms={4 * DAY_MS}" in fault.problem
        assert f"retention.ms={6 * DAY_MS}" in fault.mend
    alter(longer, "labels", "retention.ms", "-1")
    alter(longer, "predictions", "retention.ms", str(5 * DAY_MS))
    settled_faults(eventually, longer, set())


def test_deletions_outlive_a_workers_local_copy(make_config: MakeConfig, eventually: Eventually) -> None:
    config = make_config()
    create_topics(config)
    alter(config, "joiner-changelog", "delete.retention.ms", "60000")
    faults = settled_faults(eventually, config, {"joiner-changelog"})
    assert "delete.retention.ms=60000" in faults[config.kafka.topic("joiner-changelog")].problem
    assert f"delete.retention.ms={DAY_MS}" in faults[config.kafka.topic("joiner-changelog")].mend


def test_a_cluster_that_refuses_says_why(make_config: MakeConfig) -> None:
    with pytest.raises(StartupError, match=r"replication factor"):
        create_topics(make_config(kafka={"replication_factor": 3}))


def test_no_broker_is_a_fault_that_may_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.topics._REQUEST_TIMEOUT_S", 0.5)
    config = Config(kafka={"bootstrap_servers": "127.0.0.1:1"})
    for call in (create_topics, check_topics):
        with pytest.raises(RetriableError, match=r"127\.0\.0\.1:1.*driftline broker"):
            call(config)
