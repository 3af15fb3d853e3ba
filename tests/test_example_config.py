"""The example file is the configuration's reference: it must be whole, true and loadable."""

import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from pipeline.config import Config, RuleConfig, load_config

EXAMPLE = Path(__file__).parent.parent / "driftline.example.toml"


@pytest.fixture
def everything(tmp_path: Path) -> Path:
    """The example with each commented-out setting switched on; prose has a space after its ``#``."""
    file = tmp_path / "everything.toml"
    file.write_text(re.sub(r"(?m)^#(?=[^ \n#])", "", EXAMPLE.read_text(encoding="utf-8")), encoding="utf-8")
    return file


def test_its_hints_about_the_environment_work(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in re.findall(r"(DRIFTLINE_[A-Z_]+)=('[^'\n]+'|[^\s']+)", EXAMPLE.read_text(encoding="utf-8")):
        monkeypatch.setenv(name, value.strip("'"))
    config = load_config(EXAMPLE)
    assert config.kafka.properties == {"bootstrap.servers": "kafka:9092", "sasl.password": "..."}
    assert [str(size) for size in config.windows.sizes] == ["1m", "1h/5m"]


def test_it_loads_as_it_is() -> None:
    assert len(load_config(EXAMPLE).rules) == 5


def test_it_loads_with_everything_switched_on(everything: Path) -> None:
    config = load_config(everything)
    assert config.kafka.properties["security.protocol"] == "SASL_SSL"
    assert config.references[0].model == "fraud"
    assert config.reactions.webhooks[0].headers == {"Authorization": "Bearer ..."}
    assert config.host_agent.host == "gpu-7"


def test_every_key_is_in_it(everything: Path) -> None:
    raw = tomllib.loads(everything.read_text(encoding="utf-8"))
    assert _missing(Config, [raw], "") == []


def test_the_values_in_it_are_the_defaults() -> None:
    stated = load_config(EXAMPLE)
    for section in Config.model_fields:
        if section != "rules":
            assert getattr(stated, section) == getattr(Config(), section), section


def test_the_first_rule_states_the_defaults_of_what_it_does_not_choose() -> None:
    chosen = {"name", "metric", "window", "below", "for_", "severity", "retrain"}
    rule = load_config(EXAMPLE).rules[0]
    for name, field in RuleConfig.model_fields.items():
        if name not in chosen:
            assert getattr(rule, name) == field.default, name


def _missing(model: type[BaseModel], tables: list[dict[str, Any]], place: str) -> list[str]:
    """The keys of a section, and of those inside it, that none of its tables has."""
    missing = []
    for name, field in model.model_fields.items():
        key = field.alias or name
        values = [table[key] for table in tables if key in table]
        if not values:
            missing.append(f"{place}{key}")
            continue
        for inner in (field.annotation, *get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                flat = [table for value in values for table in (value if isinstance(value, list) else [value])]
                missing += _missing(inner, flat, f"{place}{key}.")
    return missing
