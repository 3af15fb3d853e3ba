"""The configuration as a command needs it: file, environment, options, librdkafka's opinion; all faults at once."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

from confluent_kafka import KafkaException, Producer
from pydantic import BaseModel, ValidationError

from pipeline.config import DEFAULT_PATH, Config, load_config
from pipeline.config_section import DurationMs
from pipeline.core.durations import format_duration
from pipeline.core.errors import ConfigError, ConfigFault

_MASK = "****"
_SECRET_PARTS = (
    "password",
    "secret",
    "token",
    "credential",
    "jaas",
    "ssl.key",
    "keystore",
    "oauthbearer.config",
    "pem",
)


def load_checked(path: Path | None, overrides: Mapping[str, Mapping[str, Any]]) -> Config:
    """Read the configuration, apply command-line options, and let librdkafka check what passes through to it.

    Args:
        path: the TOML file; None reads ``driftline.toml`` where it exists.
        overrides: section to key to value; these win over file and environment.

    Returns:
        The validated configuration.

    Raises:
        ConfigError: one or more faults; all of them are listed.
    """
    try:
        config = load_config(path)
    except ConfigError as error:
        raise ConfigError([*error.faults, *_property_faults(_raw_properties(path or DEFAULT_PATH))]) from None
    faults = _property_faults(config.kafka.model_extra or {})
    for section, values in overrides.items():
        try:
            changed = type(getattr(config, section)).model_validate(
                {**getattr(config, section).model_dump(by_alias=True), **values}
            )
        except ValidationError as error:
            faults += [_option_fault(item) for item in error.errors()]
        else:
            config = config.model_copy(update={section: changed})
    if faults:
        raise ConfigError(faults)
    return config


def effective_values(config: Config) -> list[str]:
    """The configuration in force, for people.

    Args:
        config: the configuration.

    Returns:
        One ``place = value`` a line, values as JSON; secrets are masked.
    """
    lines: list[str] = []
    _flatten("", config, lines)
    return lines


def _flatten(place: str, value: Any, lines: list[str]) -> None:
    if isinstance(value, BaseModel):
        value = _keys(value)
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            _flatten(f"{place}.{key}" if place else str(key), item, lines)
    elif isinstance(value, tuple) and any(isinstance(item, BaseModel) for item in value):
        for index, item in enumerate(value):
            _flatten(f"{place}[{index}]", item, lines)
    else:
        lines.append(f"{place} = {_shown(place, value)}")


def _keys(section: BaseModel) -> dict[str, Any]:
    """A section's keys as the file names them, durations as the file writes them."""
    keys: dict[str, Any] = {}
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        is_duration = get_args(DurationMs)[1] in field.metadata
        keys[field.alias or name] = format_duration(value) if is_duration else value
    for name, value in (section.model_extra or {}).items():
        keys[f'"{name}"'] = value
    return keys


def _shown(place: str, value: Any) -> str:
    if value and (".headers." in place or _is_secret(place)):
        return json.dumps(_MASK)
    if place.startswith("reactions.webhooks") and place.endswith(".url"):
        # A webhook's address is often its only secret: the host is enough to recognize it.
        url = urlsplit(str(value))
        return json.dumps(f"{url.scheme}://{url.hostname}/{_MASK}")
    return json.dumps(value, default=str)


def _raw_properties(path: Path) -> dict[str, Any]:
    """The librdkafka properties of a file that is wrong elsewhere, so that all faults are told at once."""
    try:
        kafka = tomllib.loads(path.read_text(encoding="utf-8")).get("kafka", {})
    except (OSError, ValueError):
        return {}
    return {name: value for name, value in kafka.items() if "." in name} if isinstance(kafka, dict) else {}


def _property_faults(properties: Mapping[str, Any]) -> list[ConfigFault]:
    faults = []
    sound = {}
    for name, value in properties.items():
        problem = _refusal({name: value})
        # Alone, a property may miss its companions; only what is wrong in any company is told here.
        if problem and problem.startswith(
            ("No such configuration property", "Invalid value", "Configuration property")
        ):
            faults.append(ConfigFault(f'kafka."{name}"', _masked(problem, name, value), _MEND))
        elif isinstance(value, dict | list):
            faults.append(ConfigFault(f'kafka."{name}"', "is a table or a list", "give a text, number or boolean"))
        else:
            sound[name] = value
    problem = _refusal(sound)
    if problem:
        for name, value in sound.items():
            problem = _masked(problem, name, value)
        faults.append(ConfigFault("kafka", problem, _MEND))
    return faults


_MEND = "see librdkafka's CONFIGURATION.md for its properties"


def _refusal(properties: Mapping[str, Any]) -> str | None:
    """What librdkafka says against a set of properties; nothing is connected to."""
    try:
        Producer({"log_level": 0, **properties})
    except KafkaException as error:
        return str(error.args[0].str())
    except (TypeError, ValueError) as error:
        return f"Invalid value: {error}"
    return None


def _masked(problem: str, name: str, value: Any) -> str:
    """A refusal may quote the value."""
    return problem.replace(str(value), _MASK) if value and _is_secret(name) else problem


def _is_secret(place: str) -> bool:
    return any(part in place.lower() for part in _SECRET_PARTS)


def _option_fault(item: Any) -> ConfigFault:
    option = "--" + str(item["loc"][0]).rstrip("_").replace("_", "-")
    return ConfigFault(option, str(item["msg"]).removeprefix("Value error, "), "see --help")
