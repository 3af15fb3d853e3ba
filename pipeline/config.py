"""The configuration: ``driftline.toml``, overridden by ``DRIFTLINE_<SECTION>__<KEY>``; every fault reported at once."""

import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from pipeline.config_joiner import JoinerConfig
from pipeline.config_objectives import ObjectiveConfig, objective_conflicts
from pipeline.config_quality import QualityConfig
from pipeline.config_section import (
    Conflict,
    DurationMs,
    Environment,
    Number,
    Section,
    Window,
    duration_of,
    tell_all,
    windows_of,
)
from pipeline.core.errors import ConfigError, ConfigFault
from pipeline.core.window import WindowSize, pane_ms

DEFAULT_PATH = Path("driftline.toml")
ENV_PREFIX = "DRIFTLINE_"


class KafkaConfig(Section):
    """Where Kafka is; any librdkafka property (``"security.protocol" = "SASL_SSL"``) passes through."""

    model_config = ConfigDict(frozen=True, extra="allow")

    bootstrap_servers: str = Field("localhost:9092", min_length=1)
    topic_prefix: str = Field("", pattern=r"^[A-Za-z0-9._-]*$")
    partitions: int = Field(4, ge=1, le=10_000)
    replication_factor: int = Field(1, ge=1, le=100)

    @classmethod
    def conflicts(cls, raw: Mapping[str, Any]) -> Iterator[Conflict]:
        """Keys that are neither ours nor librdkafka's, and properties that are not to be set."""
        for name in raw:
            # Every librdkafka property that makes sense here has a dot in its name, so a typo of ours stands out.
            if name not in cls.model_fields and "." not in name:
                problem = "neither a key of [kafka] nor a librdkafka property"
                yield Conflict((name,), problem, "remove it or correct its spelling")
            if name in RESERVED_PROPERTIES:
                yield Conflict((name,), "is set by Driftline itself and cannot be passed through", "remove it")

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """What is shown of it: properties may hold secrets."""
        for name, value in super().__repr_args__():
            yield name, value if name in type(self).model_fields else "..."

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

    @classmethod
    def conflicts(cls, raw: Mapping[str, Any]) -> Iterator[Conflict]:
        """Horizons shorter than the lateness, windows with tiny common panes."""
        horizon = duration_of(raw, "label_horizon", cls.model_fields["label_horizon"].default)
        lateness = duration_of(raw, "allowed_lateness", cls.model_fields["allowed_lateness"].default)
        if horizon is not None and lateness is not None and 0 < horizon < lateness:
            yield Conflict(("label_horizon",), "must be at least allowed_lateness", "give a larger value")
        sizes = windows_of(raw, "sizes", ())
        if sizes:
            try:
                pane_ms(sizes)
            except ValueError as error:
                yield Conflict(("sizes",), str(error), 'for instance ["1m", "1h/5m"]')


class EngineConfig(Section):
    """The transactional shell: how often it commits and how fast it notices a dead peer."""

    commit_interval_ms: int = Field(500, ge=10, le=60_000)
    batch_events: int = Field(20_000, ge=1, le=1_000_000)
    max_uncommitted_events: int = Field(1_000_000, ge=1)
    transaction_timeout: DurationMs = 10_000
    session_timeout: DurationMs = 10_000
    revoke_timeout: DurationMs = 5_000
    max_retries: int = Field(10, ge=0)
    watchdog: DurationMs = 60_000
    dead_letter_limit: float = Field(1.0, gt=0, le=1)  # 1: input never stops a worker
    dead_letter_span: DurationMs = 60_000


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
        pattern=r"^(throughput_per_s|label_coverage|expected_label_coverage|label_maturity|label_delay_ms\.p\d+|"
        r"(host|quality|estimated|latency_ms|counts|drift|drift_summary|data_quality|worst_segments|generalisation|"
        r"objectives|ageing)\..+)$"
    )
    window: Window | None = None
    above: Number | None = None
    below: Number | None = None
    change_from_reference: Number | None = None
    change_from_baseline: Number | None = None
    baseline_windows: int = Field(5, ge=1, le=1_000)
    for_: int = Field(1, ge=1, le=1_000, alias="for")
    resolve_after: int = Field(1, ge=1, le=1_000)
    min_predictions: int = Field(1, ge=0)
    min_labelled: int = Field(0, ge=0)
    min_label_coverage: float = Field(0.0, ge=0, le=1)
    min_label_maturity: float = Field(0.0, ge=0, le=1)
    severity: Literal["info", "warning", "critical"] = "warning"
    retrain: bool = False
    retrain_cooldown: DurationMs = 3_600_000

    @classmethod
    def conflicts(cls, raw: Mapping[str, Any]) -> Iterator[Conflict]:
        """No condition or several, a host's metric that would retrain a model."""
        conditions = ("above", "below", "change_from_reference", "change_from_baseline")
        if sum(raw.get(name) is not None for name in conditions) != 1:
            problem = "give exactly one of above, below, change_from_reference, change_from_baseline"
            yield Conflict((), problem, "for instance below = 0.85")
        if raw.get("retrain") and str(raw.get("metric", "")).startswith("host"):
            yield Conflict((), "a host rule cannot retrain a model", "drop retrain or watch a model's metric")


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

    url: str = Field(pattern=r"^https?://[^/\s]+", repr=False)
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
    quality: QualityConfig = QualityConfig()
    objectives: tuple[ObjectiveConfig, ...] = Field((), max_length=100)
    rules: tuple[RuleConfig, ...] = ()
    worker: WorkerConfig = WorkerConfig()
    host_agent: HostAgentConfig = HostAgentConfig()
    reactions: ReactionsConfig = ReactionsConfig()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class fixes this signature
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class fixes this signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file, which arrives as the initial values."""
        return Environment(settings_cls), init_settings

    @classmethod
    def conflicts(cls, raw: Mapping[str, Any]) -> Iterator[Conflict]:
        """Faults between sections.

        Args:
            raw: the sections as they came: any may be missing or wrong.
        """
        rules = [rule for rule in _rows(raw.get("rules")) if isinstance(rule, Mapping)]
        names = [rule.get("name") for rule in rules]
        for place, name in enumerate(names):
            if name is not None and name in names[:place]:
                yield Conflict(("rules", place, "name"), f"{name!r} names another rule already", "give it another name")
        windows = raw.get("windows", {})
        sizes = windows_of(windows, "sizes", WindowsConfig().sizes) if isinstance(windows, Mapping) else None
        for place, rule in enumerate(rules if sizes else ()):
            wanted = windows_of({"one": [rule["window"]]}, "one", ()) if rule.get("window") is not None else None
            if wanted and sizes and wanted[0] not in sizes:
                known = ", ".join(map(str, sizes))
                problem = f"{wanted[0]} is not among windows.sizes, which has {known}"
                yield Conflict(("rules", place, "window"), problem, "add it there or choose one of those")
        pane = _pane_of(sizes) if sizes else None
        yield from objective_conflicts(_rows(raw.get("objectives")), _rows(raw.get("rules")), pane)
        learn = _number_in(raw, "reference", "learn_rows", ReferenceConfig().learn_rows)
        kept = _number_in(raw, "joiner", "max_buffered_feature_rows", JoinerConfig().max_buffered_feature_rows)
        if learn is not None and kept is not None and learn > kept:
            problem = f"{learn} rows are never there at once: joiner.max_buffered_feature_rows is {kept}"
            yield Conflict(("reference", "learn_rows"), problem, "lower it or raise the other")

    @model_validator(mode="wrap")
    @classmethod
    def _with_conflicts(cls, raw: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        validated: Self = tell_all(cls.__name__, raw, handler, cls.conflicts)
        return validated


def _pane_of(sizes: Iterable[WindowSize]) -> int | None:
    try:
        return pane_ms(sizes)
    except ValueError:
        return None  # told of the section itself


def _rows(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _number_in(raw: Mapping[str, Any], section: str, key: str, default: int) -> int | None:
    table = raw.get(section, {})
    try:
        return int(table.get(key, default)) if isinstance(table, Mapping) else None
    except (ValueError, TypeError, OverflowError):
        return None


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
    known = sorted(Config.model_fields)
    for name in sorted(os.environ):
        rest = name.removeprefix(ENV_PREFIX).lower()
        section = rest.split("__")[0]
        if not name.startswith(ENV_PREFIX) or section in known:
            continue
        if "__" in rest:
            faults.append(ConfigFault(name, f"there is no section {section!r}", f"sections are {', '.join(known)}"))
        meant = [one for one in known if rest.startswith(f"{one}_")]
        if "__" not in rest and meant:
            right = f"{ENV_PREFIX}{meant[-1].upper()}__{rest.removeprefix(meant[-1] + '_').upper()}"
            faults.append(ConfigFault(name, "is no setting", f"two underscores follow the section: {right}"))
    return faults


_MENDS = {
    "missing": "add it",
    "extra_forbidden": "remove it or correct its spelling",
    "greater_than": "give a larger value",
    "greater_than_equal": "give a larger value",
    "less_than_equal": "give a smaller value",
    "string_pattern_mismatch": "write it in the form the pattern shows",
    "tuple_type": 'give a list; in a variable as JSON, such as ["1m"]',
    "model_type": "give a table; in a variable as JSON",
    "finite_number": "give a number that is finite",
}


def _fault(item: Any) -> ConfigFault:
    place = ""
    for part in item["loc"]:
        place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else str(part)
    keys = [str(part) for part in item["loc"] if not isinstance(part, int)]
    for length in range(len(keys), 0, -1):
        variable = ENV_PREFIX + "__".join(keys[:length]).upper()
        if variable in os.environ:
            place = f"{place} ({variable})"
            break
    mend = item.get("ctx", {}).get("mend") or _MENDS.get(item["type"], "see the README's configuration table")
    return ConfigFault(place or "configuration", str(item["msg"]), mend)
