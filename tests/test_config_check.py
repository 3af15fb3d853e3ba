from pathlib import Path

import pytest

from pipeline.config import Config
from pipeline.config_check import effective_values, load_checked
from pipeline.core.errors import ConfigError, ConfigFault


def write(folder: Path, text: str) -> Path:
    file = folder / "driftline.toml"
    file.write_text(text, encoding="utf-8")
    return file


def faults_of(path: Path, **sections: dict[str, object]) -> dict[str, ConfigFault]:
    with pytest.raises(ConfigError) as caught:
        load_checked(path, sections)
    return {fault.place: fault for fault in caught.value.faults}


def test_options_win_over_environment_and_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path, '[kafka]\nbootstrap_servers = "file:1"\ntopic_prefix = "p-"\n"linger.ms" = 5\n')
    assert load_checked(file, {}).kafka.bootstrap_servers == "file:1"
    monkeypatch.setenv("DRIFTLINE_KAFKA__BOOTSTRAP_SERVERS", "environment:1")
    assert load_checked(file, {}).kafka.bootstrap_servers == "environment:1"
    config = load_checked(file, {"kafka": {"bootstrap_servers": "option:1"}, "worker": {"roles": ("monitor",)}})
    assert config.kafka.properties == {"bootstrap.servers": "option:1", "linger.ms": 5}
    assert config.kafka.topic_prefix == "p-"
    assert config.worker.roles == ("monitor",)
    assert config.worker.name == "worker-1"


def test_librdkafka_properties_are_checked_with_everything_else(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        '[kafka]\npartitions = 0\n"lingr.ms" = 5\n"linger.ms" = "soon"\n"acks" = "all"\n"ssl.ca.location" = []\n'
        '"session.timeout.ms" = 6000\n[windows]\nsizes = ["1q"]\n',
    )
    faults = faults_of(file)
    assert {"kafka.partitions", "windows.sizes[0]", 'kafka."lingr.ms"', 'kafka."linger.ms"'} <= set(faults)
    assert 'No such configuration property: "lingr.ms"' in faults['kafka."lingr.ms"'].problem
    assert 'kafka."session.timeout.ms"' not in faults  # a consumer's property is one of librdkafka's
    assert faults['kafka."ssl.ca.location"'].mend


def test_properties_that_do_not_go_together_are_told(tmp_path: Path) -> None:
    file = write(tmp_path, '[kafka]\n"security.protocol" = "ssl"\n"ssl.ca.location" = "/no/such/file"\n')
    assert "ssl.ca.location" in faults_of(file)["kafka"].problem


def test_wrong_options_are_told_by_their_names(tmp_path: Path) -> None:
    faults = faults_of(write(tmp_path, ""), worker={"roles": ("judge",), "web_port": 99_999})
    assert set(faults) == {"--roles", "--web-port"}


def test_no_secret_is_shown() -> None:
    config = Config(
        kafka={"sasl.password": "hunter2", "sasl.username": "me", "ssl.key.password": "hunter3"},
        reactions={
            "webhooks": [{"url": "https://hooks.example/T0/hunter4", "headers": {"Authorization": "Bearer hunter5"}}]
        },
    )
    text = "\n".join(effective_values(config))
    assert "hunter" not in text
    assert 'kafka."sasl.username" = "me"' in text
    assert 'reactions.webhooks[0].url = "https://hooks.example/****"' in text


def test_a_refused_secret_is_not_quoted(tmp_path: Path) -> None:
    file = write(tmp_path, '[kafka]\n"ssl.key.pem" = "hunter2"\n"security.protocol" = "ssl"\n')
    faults = faults_of(file)
    assert faults
    assert "hunter2" not in str(list(faults.values()))


def test_values_are_shown_as_the_file_writes_them() -> None:
    rule = {"name": "r", "metric": "quality.accuracy", "below": 0.5, "for": 3, "window": "1h/5m"}
    lines = effective_values(Config(windows={"sizes": ["1m", "1h/5m"], "label_horizon": "2d"}, rules=[rule]))
    assert 'windows.sizes = ["1m", "1h/5m"]' in lines
    assert 'windows.label_horizon = "2d"' in lines
    assert "rules[0].for = 3" in lines
    assert 'rules[0].window = "1h/5m"' in lines
    assert "engine.commit_interval_ms = 500" in lines
