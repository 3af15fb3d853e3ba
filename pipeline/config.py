"""The configuration: ``driftline.toml``, overridden by ``DRIFTLINE_<SECTION>__<KEY>``; every fault reported at once."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from pipeline.core.durations import parse_duration_ms
from pipeline.core.errors import ConfigError, ConfigFault
from pipeline.core.window import WindowSize, parse_window

DEFAULT_PATH = Path("driftline.toml")
ENV_PREFIX = "DRIFTLINE_"


def _duration(value: object) -> object:
    return parse_duration_ms(value) if isinstance(value, str) else value


def _window(value: object) -> object:
    return parse_window(value) if isinstance(value, str) else value


DurationMs = Annotated[int, BeforeValidator(_duration), Field(gt=0)]
Window = Annotated[WindowSize, BeforeValidator(_window)]


class Section(BaseModel):
    """A table of the file: unknown keys are faults, values never change after loading."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class KafkaConfig(Section):
    """Where Kafka is; any librdkafka property (``"security.protocol" = "SASL_SSL"``) passes through."""

    model_config = ConfigDict(frozen=True, extra="allow")

    bootstrap_servers: str = Field("localhost:9092", min_length=1)
    topic_prefix: str = Field("", pattern=r"^[A-Za-z0-9._-]*$")
    partitions: int = Field(4, ge=1, le=10_000)
    replication_factor: int = Field(1, ge=1, le=100)

    @model_validator(mode="after")
    def _properties_are_librdkafkas(self) -> "KafkaConfig":
        for name in self.model_extra or {}:
            # Every librdkafka property that makes sense here has a dot in its name, so a typo of ours stands out.
            if "." not in name:
                raise ValueError(f"unknown key {name!r}: neither a key of [kafka] nor a librdkafka property")
            if name in RESERVED_PROPERTIES:
                raise ValueError(f"{name!r} is set by Driftline itself and cannot be passed through")
        return self

    @property
    def properties(self) -> dict[str, Any]:
        """The pass-through librdkafka properties with ``bootstrap.servers``."""
        return {"bootstrap.servers": self.bootstrap_servers, **(self.model_extra or {})}

    def topic(self, name: str) -> str:
        """The full name of a topic.

        Args:
            name: the name in the contract, e.g. ``predictions``.

        Returns:
            The name with the configured prefix before it.
        """
        return self.topic_prefix + name


RESERVED_PROPERTIES = frozenset(
    {"enable.auto.commit", "enable.idempotence", "group.id", "group.instance.id", "isolation.level", "transactional.id"}
)


class WindowsConfig(Section):
    """Event-time windows: their sizes, how long labels may take, how late events may be."""

    sizes: tuple[Window, ...] = Field((WindowSize(60_000, 60_000),), min_length=1, max_length=16)
    label_horizon: DurationMs = 3 * 86_400_000
    early_label_horizon: DurationMs = 3_600_000
    allowed_lateness: DurationMs = 10_000
    idle_timeout: DurationMs = 5_000
    max_future: DurationMs = 60_000
    revision_step: float = Field(0.05, gt=0, le=1)

    @model_validator(mode="after")
    def _horizon_covers_lateness(self) -> "WindowsConfig":
        if self.label_horizon < self.allowed_lateness:
            raise ValueError("label_horizon must be at least allowed_lateness")
        return self


class EngineConfig(Section):
    """The transactional shell: how often it commits and how fast it notices a dead peer."""

    commit_interval_ms: int = Field(500, ge=10, le=60_000)
    batch_events: int = Field(20_000, ge=1, le=1_000_000)
    max_uncommitted_events: int = Field(1_000_000, ge=1)
    transaction_timeout: DurationMs = 10_000
    session_timeout: DurationMs = 10_000
    max_retries: int = Field(10, ge=0)


class JoinerConfig(Section):
    """Limits of the joiner's state, a partition."""

    max_open_rows: int = Field(20_000_000, ge=1_000)
    max_buffered_feature_rows: int = Field(200_000, ge=0)
    max_segment_values: int = Field(200, ge=1)
    max_classes: int = Field(10_000, ge=2)


class ReferenceConfig(Section):
    """What drift is measured against: learned from a version's first rows unless a profile is given."""

    learn_rows: int = Field(1_000, ge=10, le=1_000_000)
    bins: int = Field(10, ge=2, le=64)
    max_categories: int = Field(64, ge=2, le=1_000)
    psi_threshold: float = Field(0.2, gt=0)
    js_threshold: float = Field(0.1, gt=0, le=1)


class ReferenceFile(Section):
    """A profile made by ``driftline reference build``, for one model version."""

    model: str = Field(min_length=1, max_length=128)
    model_version: str = Field("*", min_length=1, max_length=64)
    path: Path


class RuleConfig(Section):
    """One alert rule over one metric of ``window_metrics.v1`` or ``host_metrics.v1``."""

    name: str = Field(min_length=1, max_length=128)
    model: str = "*"
    model_version: str = "*"
    segment: str = ""
    host: str = "*"
    metric: str = Field(
        pattern=r"^(host|quality|estimated|latency_ms|throughput_per_s|label_coverage|counts|drift|drift_summary|data_quality)(\..+)?$"
    )
    window: Window | None = None
    above: float | None = None
    below: float | None = None
    change_from_reference: float | None = None
    change_from_baseline: float | None = None
    baseline_windows: int = Field(5, ge=1, le=1_000)
    for_: int = Field(1, ge=1, le=1_000, alias="for")
    resolve_after: int = Field(1, ge=1, le=1_000)
    min_predictions: int = Field(1, ge=0)
    min_labelled: int = Field(0, ge=0)
    min_label_coverage: float = Field(0.0, ge=0, le=1)
    severity: Literal["info", "warning", "critical"] = "warning"
    retrain: bool = False
    retrain_cooldown: DurationMs = 3_600_000

    @model_validator(mode="after")
    def _exactly_one_condition(self) -> "RuleConfig":
        given = [self.above, self.below, self.change_from_reference, self.change_from_baseline]
        if sum(value is not None for value in given) != 1:
            raise ValueError("give exactly one of above, below, change_from_reference, change_from_baseline")
        if self.retrain and self.metric.startswith("host"):
            raise ValueError("a host rule cannot retrain a model: drop retrain or watch a model's metric")
        return self


class WorkerConfig(Section):
    """A worker process: its stable name, its roles, its web endpoint."""

    name: str = Field("worker-1", pattern=r"^[A-Za-z0-9._-]{1,100}$")
    roles: tuple[Literal["joiner", "monitor", "reactions"], ...] = ("joiner", "monitor", "reactions")
    web_host: str = "127.0.0.1"
    web_port: int = Field(6066, ge=0, le=65_535)
    state_dir: str = "~/.cache/driftline/state"
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class HostAgentConfig(Section):
    """The host agent: how often it reads and which processes it watches."""

    host: str | None = Field(None, min_length=1, max_length=128)
    interval: DurationMs = 5_000
    pids: tuple[int, ...] = ()
    process_names: tuple[str, ...] = ()
    model: str | None = None
    model_version: str | None = None


class WebhookConfig(Section):
    """A URL that gets each alert or trigger as a JSON POST; headers may hold secrets and are never logged."""

    url: str = Field(pattern=r"^https?://[^/\s]+")
    events: tuple[Literal["alerts", "retrain-triggers"], ...] = ("alerts", "retrain-triggers")
    headers: dict[str, str] = Field(default_factory=dict, repr=False)
    timeout: DurationMs = 10_000
    max_retries: int = Field(5, ge=0, le=100)


class ReactionsConfig(Section):
    """What happens with alerts and triggers; ``modules`` are imported at the start: they hold your own reactions."""

    log: bool = True
    webhooks: tuple[WebhookConfig, ...] = ()
    commit_interval_ms: int = Field(1_000, ge=10)
    modules: tuple[str, ...] = ()


class Config(BaseSettings):
    """The whole configuration, immutable."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=ENV_PREFIX, env_nested_delimiter="__", arbitrary_types_allowed=True
    )

    kafka: KafkaConfig = KafkaConfig()
    windows: WindowsConfig = WindowsConfig()
    engine: EngineConfig = EngineConfig()
    joiner: JoinerConfig = JoinerConfig()
    reference: ReferenceConfig = ReferenceConfig()
    references: tuple[ReferenceFile, ...] = ()
    rules: tuple[RuleConfig, ...] = ()
    worker: WorkerConfig = WorkerConfig()
    host_agent: HostAgentConfig = HostAgentConfig()
    reactions: ReactionsConfig = ReactionsConfig()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the base class fixes this signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file, which arrives as the initial values."""
        return env_settings, init_settings

    @field_validator("rules")
    @classmethod
    def _rule_names_are_unique(cls, rules: tuple[RuleConfig, ...]) -> tuple[RuleConfig, ...]:
        names = [rule.name for rule in rules]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"rule names must be unique; given more than once: {', '.join(doubled)}")
        return rules

    @model_validator(mode="after")
    def _rules_name_known_windows(self) -> "Config":
        sizes = set(self.windows.sizes)
        for rule in self.rules:
            if rule.window is not None and rule.window not in sizes:
                known = ", ".join(str(size) for size in self.windows.sizes)
                raise ValueError(f"rule {rule.name!r} asks for window {rule.window}, windows.sizes has {known}")
        return self


def load_config(path: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read the configuration.

    Args:
        path: the TOML file; None reads ``driftline.toml`` where it exists and the defaults where not.
        overrides: values by section that win over the file, e.g. from command-line options.

    Returns:
        The validated, immutable configuration.

    Raises:
        ConfigError: one or more faults; all of them are listed.
    """
    file = path or DEFAULT_PATH
    raw: dict[str, Any] = {}
    if path is not None or file.exists():
        try:
            raw = tomllib.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(
                [ConfigFault(str(file), error.strerror or str(error), "give the path of a readable file")]
            ) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(
                [ConfigFault(str(file), f"not TOML: {error}", "correct the file at that place")]
            ) from None
    for section, values in (overrides or {}).items():
        raw[section] = {**raw.get(section, {}), **values} if isinstance(values, Mapping) else values
    faults = _unknown_variables()
    try:
        config = Config(**raw)
    except ValidationError as error:
        faults += [_fault(item) for item in error.errors()]
    if faults:
        raise ConfigError(faults)
    return config


def _unknown_variables() -> list[ConfigFault]:
    """Settings in the environment that no section knows: a typo must not be silently ignored."""
    faults = []
    for name in sorted(os.environ):
        section = name.removeprefix(ENV_PREFIX).split("__")[0].lower()
        if name.startswith(ENV_PREFIX) and "__" in name and section not in Config.model_fields:
            known = ", ".join(sorted(Config.model_fields))
            faults.append(ConfigFault(name, f"there is no section {section!r}", f"sections are {known}"))
    return faults


_MENDS = {
    "missing": "add it",
    "extra_forbidden": "remove it or correct its spelling",
    "greater_than": "give a larger value",
    "greater_than_equal": "give a larger value",
    "less_than_equal": "give a smaller value",
    "string_pattern_mismatch": "write it in the form the pattern shows",
}


def _fault(item: Any) -> ConfigFault:
    place = ""
    for part in item["loc"]:
        place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else str(part)
    loc = item["loc"]
    variable = ENV_PREFIX + "__".join(str(part) for part in loc).upper()
    if variable in os.environ:
        place = f"{place} ({variable})"
    problem = str(item["msg"]).removeprefix("Value error, ")
    return ConfigFault(
        place or "configuration", problem, _MENDS.get(item["type"], "see the README's configuration table")
    )
