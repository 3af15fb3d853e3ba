"""The configuration: all faults at once, each with place and mend; the environment wins; secrets stay inside."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.config import Config, load_config
from pipeline.core.errors import ConfigError
from pipeline.core.window import WindowSize


def faults(raw: dict[str, Any]) -> dict[str, str]:
    """Place to problem and mend."""
    with pytest.raises(ConfigError) as caught:
        load_config(overrides=raw)
    places = [fault.place for fault in caught.value.faults]
    assert len(set(places)) == len(places)
    assert all(fault.problem and fault.mend for fault in caught.value.faults)
    assert str(caught.value).count("\n") == len(places) - 1
    return {fault.place: f"{fault.problem} ({fault.mend})" for fault in caught.value.faults}


RULE = {"name": "drop", "metric": "quality.accuracy", "below": 0.8}


@pytest.fixture(autouse=True)
def _nothing_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_nothing_need_be_configured() -> None:
    config = load_config()
    assert config.windows.sizes == (WindowSize(60_000, 60_000),)
    assert config.rules == ()


def test_a_file_is_read(tmp_path: Path) -> None:
    text = """
    [kafka]
    bootstrap_servers = "broker:9092"
    "security.protocol" = "SASL_SSL"
    [windows]
    sizes = ["1m", "1h/5m"]
    label_horizon = "3d"
    [[rules]]
    name = "accuracy-drop"
    metric = "quality.accuracy"
    below = 0.85
    for = 3
    """
    (tmp_path / "driftline.toml").write_text(text)
    config = load_config()
    assert config.kafka.properties == {"bootstrap.servers": "broker:9092", "security.protocol": "SASL_SSL"}
    assert config.windows.sizes[1] == WindowSize(3_600_000, 300_000)
    assert config.windows.label_horizon == 259_200_000
    assert (config.rules[0].for_, config.rules[0].window) == (3, None)


def test_every_fault_is_listed_with_its_place_and_its_mend() -> None:
    """Faults of fields, between fields, between sections and unknown names: none hides another."""
    found = faults(
        {
            "kafka": {"partitions": 0, "typo": 1, "group.id": "x"},
            "windows": {"sizes": ["1m", "1q"], "label_horizon": "1s", "allowed_lateness": "10s", "colour": "red"},
            "engine": {"commit_interval_ms": "often"},
            "reference": {"learn_rows": 500_000},
            "rules": [
                {**RULE, "above": 0.9, "severity": "loud"},
                {**RULE, "window": "7m"},
                {"name": "empty", "metric": "quality"},
            ],
            "nonsense": {},
        }
    )
    places = {
        "kafka.partitions",
        "kafka.typo",
        "kafka.group.id",
        "windows.sizes[1]",
        "windows.label_horizon",
        "windows.colour",
        "engine.commit_interval_ms",
        "reference.learn_rows",
        "rules[0]",
        "rules[0].severity",
        "rules[1].name",
        "rules[2].metric",
        "rules[2]",
        "nonsense",
    }
    assert places <= set(found)
    assert "exactly one of above, below" in found["rules[0]"]
    assert "max_buffered_feature_rows" in found["reference.learn_rows"]
    assert "allowed_lateness" in found["windows.label_horizon"]


def test_a_rule_for_a_window_that_is_not_kept_is_told_with_those_that_are() -> None:
    found = faults({"windows": {"sizes": ["1m", "1h/5m"]}, "rules": [RULE, {**RULE, "name": "b", "window": "5m"}]})
    assert set(found) == {"rules[1].window"}
    assert "1m, 1h/5m" in found["rules[1].window"]


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("windows", "label_horizon", "1w"),
        ("windows", "label_horizon", 0),
        ("windows", "label_horizon", -5),
        ("windows", "label_horizon", True),
        ("windows", "label_horizon", "9999999999d"),
        ("windows", "label_horizon", 10**18),
        ("windows", "sizes", []),
        ("windows", "sizes", [60_000]),
        ("windows", "sizes", [{"size_ms": 0, "slide_ms": 0}]),
        ("windows", "sizes", ["1d", "59999ms"]),
        ("windows", "sizes", ["0s"]),
        ("windows", "sizes", "1m"),
        ("windows", "revision_step", 0),
        ("worker", "name", "two words"),
        ("worker", "roles", ["judge"]),
        ("worker", "web_port", 70_000),
        ("joiner", "max_classes", 1),
        ("reference", "bins", 65),
        ("reactions", "webhooks", [{"url": "ftp://x"}]),
        ("kafka", "topic_prefix", "a b"),
        ("kafka", "bootstrap_servers", ""),
    ],
)
def test_a_value_that_cannot_be_is_told_where_it_stands(section: str, key: str, value: Any) -> None:
    (place,) = faults({section: {key: value}})
    assert place.startswith(f"{section}.{key}")


@pytest.mark.parametrize(
    "metric", ["host", "host.", "quality", "drift", "counts", "speed", "model", "throughput_per_s.x", ""]
)
def test_a_metric_that_no_window_has_is_refused(metric: str) -> None:
    assert "rules[0].metric" in faults({"rules": [{**RULE, "metric": metric}]})


@pytest.mark.parametrize(
    "metric",
    ["quality.accuracy", "drift.*.psi", "throughput_per_s", "label_coverage", "host.cpu.usage_ratio", "counts.late"],
)
def test_the_metrics_of_windows_are_known(metric: str) -> None:
    assert load_config(overrides={"rules": [{**RULE, "metric": metric}]}).rules[0].metric == metric


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_limit_that_nothing_can_cross_is_refused(number: float) -> None:
    assert "rules[0].below" in faults({"rules": [{**RULE, "below": number}]})


def test_a_host_rule_retrains_nothing() -> None:
    assert "retrain" in faults({"rules": [{**RULE, "metric": "host.cpu", "retrain": True}]})["rules[0]"]


def test_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "driftline.toml").write_text(
        '[windows]\nsizes = ["5m"]\nlabel_horizon = "1h"\n[worker]\nname = "file"\n'
    )
    monkeypatch.setenv("DRIFTLINE_WINDOWS__SIZES", '["1m"]')
    monkeypatch.setenv("DRIFTLINE_WORKER__WEB_PORT", "7000")
    monkeypatch.setenv("DRIFTLINE_KAFKA__SASL.PASSWORD", "secret")
    config = load_config()
    assert config.windows.sizes == (WindowSize(60_000, 60_000),)
    assert config.windows.label_horizon == 3_600_000
    assert (config.worker.name, config.worker.web_port) == ("file", 7000)
    assert config.kafka.properties["sasl.password"] == "secret"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DRIFTLINE_WINDOWS__SIZES", "1m"),
        ("DRIFTLINE_WINDOWS__SIZES", '["1q"]'),
        ("DRIFTLINE_WINDOWS__LABEL_HORIZON", "soon"),
        ("DRIFTLINE_WINDOWS__COLOUR", "red"),
        ("DRIFTLINE_WINDOW__SIZES", '["1m"]'),
        ("DRIFTLINE_WINDOWS_SIZES", '["1m"]'),
        ("DRIFTLINE_RULES", "[{"),
        ("DRIFTLINE_RULES", '[{"name": "x"}]'),
        ("DRIFTLINE_WORKER", "7"),
    ],
)
def test_a_variable_that_is_wrong_is_told_by_its_name_and_never_ignored(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    found = faults({})
    assert any(variable in place for place in found)


def test_a_wrong_variable_does_not_hide_a_wrong_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIFTLINE_WINDOWS__SIZES", "1m")
    found = faults({"kafka": {"partitions": 0}})
    assert "kafka.partitions" in found
    assert any("DRIFTLINE_WINDOWS__SIZES" in place for place in found)


def test_other_variables_of_ours_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIFTLINE_CONFIG", "x")
    monkeypatch.setenv("DRIFTLINE_CACHE_DIR", "y")
    load_config()


def test_secrets_are_in_no_text() -> None:
    config = load_config(
        overrides={
            "kafka": {"sasl.password": "hunter2", "ssl.key.pem": "hunter3"},
            "reactions": {"webhooks": [{"url": "https://hooks.example/x", "headers": {"Authorization": "hunter4"}}]},
        }
    )
    for text in (repr(config), str(config), repr(config.kafka), f"{config.reactions}"):
        assert "hunter" not in text
    assert config.kafka.properties["sasl.password"] == "hunter2"


def test_faults_beside_a_secret_do_not_tell_it() -> None:
    raw = {"kafka": {"sasl.password": "hunter2", "partitions": 0, "sasl_password": "hunter3"}}
    raw["reactions"] = {"webhooks": [{"url": "https://x", "headers": {"Authorization": ["hunter4"]}}]}
    with pytest.raises(ConfigError) as caught:
        load_config(overrides=raw)
    assert "hunter" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("text", "problem"), [("[windows", "not TOML"), ("a = 1\na = 2", "not TOML"), ("\udcff", "not TOML")]
)
def test_a_file_that_is_no_toml_is_told_by_its_path(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "my.toml"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    (fault,) = caught.value.faults
    assert fault.place == str(file)
    assert problem in fault.problem


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        load_config(tmp_path / "nowhere.toml")


def test_the_configuration_never_changes() -> None:
    config = load_config()
    with pytest.raises(ValidationError):
        config.windows.label_horizon = 5  # type: ignore[misc]  # frozen
    with pytest.raises(ValidationError):
        config.windows = config.windows  # type: ignore[misc]  # frozen


def test_topics_have_the_prefix() -> None:
    assert Config(kafka={"topic_prefix": "eu-"}).kafka.topic("labels") == "eu-labels"


def test_the_gains_of_a_model_and_the_betas_are_given_once(tmp_path: Path) -> None:
    file = tmp_path / "driftline.toml"
    gains = '[[quality.gains]]\nmodel = "m"\ngains = { yes = { no = -5 } }\n'
    file.write_text(f"[quality]\nbetas = [2, 1.0, 2.0, 0]\ninterval_level = 1\n{gains}{gains}", encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        load_config(file)
    places = {fault.place for fault in raised.value.faults}
    assert places == {
        "quality.betas[1]", "quality.betas[2]", "quality.betas[3]", "quality.interval_level", "quality.gains[1].model",
    }  # fmt: skip
