"""What ``driftline alerts`` and ``driftline metrics`` show: the committed outputs, as tables or as JSON lines."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.config import Config
from pipeline.core.errors import DriftlineError, RetriableError, StartupError

_REQUEST_TIMEOUT_S = 5.0
_SILENCE_S = 10.0  # nothing for so long before the end is reached: Kafka went away
_POLL_S = 0.5
_RETRY_S = 1.0
_WINDOWS_SHOWN = 10  # of each model version, segment and size
_NAMES_SHOWN = 3
_PIPE_WIDTH = 160

_NOTHING = "-"
_SEVERITY_STYLE = {"info": "cyan", "warning": "yellow", "critical": "bold red"}
# What says most about a model, best first; what else there is follows by name.
_QUALITY_FIRST = ("accuracy", "f1", "f1_macro", "rmse", "mae", "r2")


class OutputReader:
    """Reads an output topic from its beginning, committed records only; belongs to no consumer group.

    Args:
        config: where Kafka is.
        name: the topic's name in the contract.
    """

    def __init__(self, config: Config, name: str) -> None:
        self._topic = config.kafka.topic(name)
        self._servers = config.kafka.bootstrap_servers
        self._consumer = Consumer(
            {
                "log_level": 2,
                "reconnect.backoff.max.ms": 2_000,
                **config.kafka.properties,
                "group.id": config.kafka.topic("viewer"),  # asked for by the client; never joined
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
            }
        )
        self._unread: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def open(self) -> None:
        """Find the topic and stand at its beginning.

        Raises:
            RetriableError: Kafka does not answer.
            StartupError: there is no such topic.
        """
        try:
            found = self._consumer.list_topics(self._topic, timeout=_REQUEST_TIMEOUT_S).topics[self._topic]
        except KafkaException as error:
            raise RetriableError(
                f"Kafka at {self._servers} does not answer ({error.args[0].str()}): start it, "
                "or correct [kafka] bootstrap_servers"
            ) from None
        if found.error is not None or not found.partitions:
            raise StartupError(f"topic {self._topic} does not exist: run `driftline topics`, or correct topic_prefix")
        self._unread = set(found.partitions)
        self._consumer.assign([TopicPartition(self._topic, number, OFFSET_BEGINNING) for number in found.partitions])

    def to_end(self) -> Iterator[dict[str, Any]]:
        """The events from the beginning to what is the end when it is reached.

        Raises:
            RetriableError: Kafka went away before the end.
        """
        heard_s = time.monotonic()
        while self._unread:
            for event in self._poll():
                yield event
                heard_s = time.monotonic()
            if time.monotonic() - heard_s > _SILENCE_S:
                raise RetriableError(f"Kafka at {self._servers} stopped answering before the end of {self._topic}")

    def from_there(self) -> Iterator[dict[str, Any]]:
        """The events that come afterwards, for ever; waits while Kafka is away."""
        while True:
            yield from self._poll()

    def _poll(self) -> Iterator[dict[str, Any]]:
        message = self._consumer.poll(_POLL_S)
        if message is None:
            return
        error = message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's public code, so named in Python
                self._unread.discard(message.partition() or 0)
            return
        try:
            event = orjson.loads(message.value() or b"")
        except orjson.JSONDecodeError:
            return
        if isinstance(event, dict):
            yield event


def show_alerts(config: Config, *, follow: bool, as_json: bool) -> int:
    """Show every alert that fired or resolved, and with ``follow`` those to come.

    Args:
        config: where Kafka is.
        follow: go on until interrupted; then a missing topic or Kafka is waited for.
        as_json: one ``alert.v1`` a line instead of a table.

    Returns:
        The exit code: 0 done or interrupted, 1 when Kafka does not answer or the topic is missing.
    """
    return _shown(lambda: _alerts(config, follow=follow, as_json=as_json))


def show_metrics(config: Config, *, model: str | None, as_json: bool) -> int:
    """Show the latest revision of each model's windows; a table has the last ten of each series.

    Args:
        config: where Kafka is.
        model: only this model's.
        as_json: every window, one ``window_metrics.v1`` a line.

    Returns:
        The exit code: 0 done or interrupted, 1 when Kafka does not answer or the topic is missing.
    """
    return _shown(lambda: _metrics(config, model=model, as_json=as_json))


def _shown(show: Callable[[], None]) -> int:
    try:
        show()
    except DriftlineError as error:
        _say(str(error))
        return 1
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        # Whoever read us, ``head`` say, has enough; nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _alerts(config: Config, *, follow: bool, as_json: bool) -> None:
    with OutputReader(config, "alerts") as reader:
        _open(reader, patient=follow)
        past = sorted(reader.to_end(), key=lambda alert: _number(alert.get("window_end_ms")))
        if as_json:
            _print_lines(past)
        elif past:
            _console().print(_alert_table(past))
        if not past:
            _say("no alerts yet")
        if follow:
            for alert in reader.from_there():
                if as_json:
                    _print_lines([alert])
                else:
                    _console().print(_alert_line(alert))


def _metrics(config: Config, *, model: str | None, as_json: bool) -> None:
    with OutputReader(config, "window-metrics") as reader:
        _open(reader, patient=False)
        windows = _latest(event for event in reader.to_end() if model is None or event.get("model") == model)
    if as_json:
        _print_lines(windows)
    elif windows:
        _console().print(_metrics_table(windows))
    if not windows:
        _say("no windows yet" + (f" of model {model}" if model is not None else ""))


def _open(reader: OutputReader, *, patient: bool) -> None:
    said = None
    while True:
        try:
            reader.open()
        except (RetriableError, StartupError) as error:
            if not patient:
                raise
            if str(error) != said:
                said = str(error)
                _say(f"waiting: {error}")
            time.sleep(_RETRY_S)
        else:
            return


def _latest(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The highest revision of each window, by series and time."""
    windows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for event in events:
        key = (*_series(event), _number(event.get("window_start_ms")))
        known = windows.get(key)
        if known is None or _number(event.get("revision")) >= _number(known.get("revision")):
            windows[key] = event
    return [windows[key] for key in sorted(windows)]


def _series(event: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(event.get(name, "")) for name in ("model", "model_version", "segment", "window"))


def _alert_table(alerts: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title="Alerts", header_style="bold")
    for name in ("window end (UTC)", "state", "severity", "rule", "of", "value", "bound"):
        table.add_column(name, no_wrap=name != "of", justify="right" if name in {"value", "bound"} else "left")
    table.add_column("summary", ratio=1)
    # The same alert may have been produced more than once.
    for alert in {(alert.get("alert_id"), alert.get("state")): alert for alert in alerts}.values():
        table.add_row(
            _time(alert.get("window_end_ms")),
            _state(alert),
            Text(str(alert.get("severity")), style=_SEVERITY_STYLE.get(str(alert.get("severity")), "")),
            Text(str(alert.get("rule"))),
            Text(_subject(alert)),
            _figure(alert.get("value")),
            _figure(alert.get("threshold")),
            Text(str(alert.get("summary", ""))),
        )
    return table


def _alert_line(alert: Mapping[str, Any]) -> Text:
    severity = str(alert.get("severity"))
    return Text(" ").join(
        [
            Text(_time(alert.get("window_end_ms"))),
            _state(alert),
            Text(severity, style=_SEVERITY_STYLE.get(severity, "")),
            Text(f"{alert.get('rule')} of {_subject(alert)}: {alert.get('summary', '')}"),
        ]
    )


def _metrics_table(windows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title="Windows", header_style="bold")
    for name in ("model", "segment", "window", "start (UTC)", "rev"):
        table.add_column(name, no_wrap=name != "segment")
    for name in ("predictions", "labelled", "p95 ms"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("quality")
    table.add_column("drifted")
    series: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for window in windows:
        series.setdefault(_series(window), []).append(window)
    for members in series.values():
        for window in members[-_WINDOWS_SHOWN:]:
            table.add_row(*_metrics_row(window))
        table.add_section()
    if any(len(members) > _WINDOWS_SHOWN for members in series.values()):
        table.caption = f"the last {_WINDOWS_SHOWN} of each series; --json has all {len(windows)}"
    return table


def _metrics_row(window: Mapping[str, Any]) -> tuple[Text | str, ...]:
    model, version, segment, size = _series(window)
    coverage = window.get("label_coverage")
    revision = f"{window.get('revision', 0)}{' final' if window.get('final') else ''}"
    return (
        Text(f"{model} {version}".rstrip()),
        Text(segment or "all"),
        Text(size),
        _time(window.get("window_start_ms")),
        revision,
        _figure(_within(window, "counts").get("predictions")),
        f"{coverage:.0%}" if isinstance(coverage, int | float) else _NOTHING,
        _figure(_within(window, "latency_ms").get("p95")),
        Text(_quality(_within(window, "quality"))),
        Text(_drifted(_within(window, "drift"))),
    )


def _quality(quality: Mapping[str, Any]) -> str:
    names = [name for name in _QUALITY_FIRST if name in quality]
    names += sorted(name for name in quality if name not in _QUALITY_FIRST)
    known = [name for name in names if isinstance(quality[name], int | float)]
    return ", ".join(f"{name} {_figure(quality[name])}" for name in known[:_NAMES_SHOWN]) or _NOTHING


def _drifted(drift: Mapping[str, Any]) -> str:
    names = [name for name in sorted(drift) if isinstance(drift[name], dict) and drift[name].get("drifted")]
    more = len(names) - _NAMES_SHOWN
    return (", ".join(names[:_NAMES_SHOWN]) or _NOTHING) + (f" and {more} more" if more > 0 else "")


def _within(event: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = event.get(name)
    return value if isinstance(value, dict) else {}


def _state(alert: Mapping[str, Any]) -> Text:
    state = str(alert.get("state"))
    return Text(state, style="bold red" if state == "firing" else "green")


def _subject(alert: Mapping[str, Any]) -> str:
    if alert.get("model") is None:
        return f"host {alert.get('host')}"
    return " ".join(str(alert[name]) for name in ("model", "model_version", "segment") if alert.get(name))


def _number(value: object) -> float:
    return value if isinstance(value, int | float) else 0


def _figure(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else _NOTHING


def _time(value: object) -> str:
    try:
        return datetime.fromtimestamp(_number(value) / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError):
        return _NOTHING


def _print_lines(events: Iterable[Mapping[str, Any]]) -> None:
    for event in events:
        sys.stdout.write(orjson.dumps(event).decode() + "\n")
    sys.stdout.flush()


def _console() -> Console:
    # A pipe has no width; eighty columns would cut every cell.
    return Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def _say(text: str) -> None:
    Console(stderr=True, soft_wrap=True).print(Text(text))
