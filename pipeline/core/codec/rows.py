"""The checks of whole events, one function an event: the authority on what is good and why a row is not."""

from typing import Any

from pipeline.core.codec import limits
from pipeline.core.codec.check import (
    Row,
    array,
    integer,
    mapping,
    number,
    optional,
    required,
    text,
    timestamp,
    wrong_type,
)
from pipeline.core.codec.names import class_name, label_set, ranking
from pipeline.core.codec.shapes import LabelEvent, PredictionEvent
from pipeline.core.errors import BadEventError
from pipeline.core.events import Task

_TASKS = frozenset(task.name.lower() for task in Task)
_STAGES = frozenset({"champion", "challenger", "shadow", "retired"})


def prediction_event(row: Row) -> PredictionEvent:
    """Check a ``prediction.v1`` event.

    Args:
        row: the event.

    Returns:
        The event with canonical values: class labels as integers, booleans or strings, multilabel and ranking values
        as names.

    Raises:
        BadEventError: the first fault found.
    """
    event = PredictionEvent(
        prediction_id=text("prediction_id", required(row, "prediction_id")),
        model=text("model", required(row, "model")),
        model_version=text("model_version", required(row, "model_version"), limits.MAX_VERSION_CHARS),
        timestamp_ms=timestamp(row),
        task=_one_of("task", required(row, "task"), _TASKS),  # type: ignore[arg-type]  # one of the literals by then
        prediction=0,
        score=optional(row, "score", _probability),
        latency_ms=optional(row, "latency_ms", lambda name, value: number(name, value, 0, limits.MAX_LATENCY_MS)),
        features=optional(row, "features", lambda name, value: mapping(name, value, limits.MAX_FEATURES, _feature)),
        segments=optional(row, "segments", lambda name, value: mapping(name, value, limits.MAX_SEGMENTS, _segment)),
        principal=optional(row, "principal", lambda name, value: text(name, value, limits.MAX_PRINCIPAL_CHARS, 0)),
        input_digest=optional(row, "input_digest", lambda name, value: text(name, value, limits.MAX_DIGEST_CHARS, 0)),
    )
    event.prediction = _prediction(event.task, required(row, "prediction"))
    event.scores = optional(row, "scores", lambda name, value: mapping(name, value, limits.MAX_SCORES, _score))
    optional(row, "embedding", _embedding)
    return event


def label_event(row: Row) -> LabelEvent:
    """Check a ``label.v1`` event.

    Args:
        row: the event.

    Returns:
        The event; an array of labels as names.

    Raises:
        BadEventError: the first fault found.
    """
    return LabelEvent(
        prediction_id=text("prediction_id", required(row, "prediction_id")),
        model=text("model", required(row, "model")),
        timestamp_ms=timestamp(row),
        label=_label(required(row, "label")),
    )


def resource_event(row: Row) -> tuple[str, int, dict[str, float]]:
    """Check a ``resource.v1`` event.

    Args:
        row: the event.

    Returns:
        The host, the time in epoch milliseconds, and the metrics that have a value.

    Raises:
        BadEventError: the first fault found.
    """
    host = text("host", required(row, "host"))
    timestamp_ms = timestamp(row)
    metrics = mapping("metrics", required(row, "metrics"), limits.MAX_METRICS, _reading)
    optional(row, "model", text)
    optional(row, "model_version", lambda name, value: text(name, value, limits.MAX_VERSION_CHARS))
    return host, timestamp_ms, {name: value for name, value in metrics.items() if value is not None}


def model_event(row: Row) -> dict[str, Any]:
    """Check a ``model.v1`` event.

    Args:
        row: the event.

    Returns:
        The event with all its fields, ``timestamp_ms`` as an integer.

    Raises:
        BadEventError: the first fault found.
    """
    text("model", required(row, "model"))
    text("model_version", required(row, "model_version"), limits.MAX_VERSION_CHARS)
    timestamp_ms = timestamp(row)
    _one_of("task", required(row, "task"), _TASKS)
    _one_of("stage", required(row, "stage"), _STAGES)
    optional(row, "positive_label", lambda _, value: class_name(value))
    optional(row, "git_commit", text)
    optional(row, "config", lambda name, value: mapping(name, value, limits.MAX_ENTRIES, _anything))
    optional(row, "dependencies", lambda name, value: mapping(name, value, limits.MAX_ENTRIES, _dependency))
    optional(row, "parameters", lambda name, value: mapping(name, value, limits.MAX_ENTRIES, _size))
    optional(row, "metrics", lambda name, value: mapping(name, value, limits.MAX_ENTRIES, _measured))
    optional(row, "reference", lambda name, value: mapping(name, value, limits.MAX_ENTRIES, _anything))
    return {**row, "timestamp_ms": timestamp_ms}


def segment_text(value: object) -> str:
    """How a segment's value stands in ``name=value``: booleans as in JSON, integers in decimal.

    Args:
        value: a checked value.

    Returns:
        The text.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _one_of(name: str, value: object, known: frozenset[str]) -> str:
    checked = text(name, value)
    if checked not in known:
        raise BadEventError(
            "unknown_value", f"{name} is {checked[:64]!r}, it must be one of {', '.join(sorted(known))}"
        )
    return checked


def _prediction(task: str, value: Any) -> Any:
    if task == "regression":
        return float(number("prediction", value, -limits.MAX_CLASS_NUMBER, limits.MAX_CLASS_NUMBER))
    if task == "multilabel":
        return label_set(array("prediction", value, limits.MAX_MEMBERS))
    if task == "ranking":
        return ranking(array("prediction", value, limits.MAX_MEMBERS))
    class_name(value)
    return int(value) if isinstance(value, float) else value


def _label(value: Any) -> Any:
    if isinstance(value, str | bool):
        class_name(value)
        return value
    if isinstance(value, list):
        return label_set(array("label", value, limits.MAX_MEMBERS))
    if isinstance(value, dict):
        return mapping("label", value, limits.MAX_MEMBERS, _gain)
    if value is None:
        raise wrong_type("label", "a string, number, boolean, array or object", value)
    return number("label", value, -limits.MAX_CLASS_NUMBER, limits.MAX_CLASS_NUMBER)


def _gain(name: str, value: object) -> float:
    return float(number(name, value, -limits.MAX_CLASS_NUMBER, limits.MAX_CLASS_NUMBER))


def _probability(name: str, value: object) -> float:
    return float(number(name, value, 0, 1))


def _score(name: str, value: object) -> float | None:
    return None if value is None else _probability(name, value)


def _feature(name: str, value: object) -> float | str | bool | None:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return text(name, value, limits.MAX_FEATURE_CHARS, 0)
    return float(number(name, value))


def _segment(name: str, value: object) -> int | str | bool | None:
    if "=" in name:
        raise BadEventError("bad_name", f"the name of {name[:200]!r} contains '=', which ends a segment's name")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return text(name, value, limits.MAX_SEGMENT_CHARS, 0)
    return integer(name, value, -limits.MAX_CLASS_NUMBER, limits.MAX_CLASS_NUMBER)


def _embedding(name: str, value: object) -> None:
    for element in array(name, value, limits.MAX_EMBEDDING):
        number(f"an element of {name}", element)


def _reading(name: str, value: object) -> float | None:
    return None if value is None else float(number(name, value))


def _anything(_: str, value: object) -> object:
    return value


def _dependency(name: str, value: object) -> str:
    return text(name, value, limits.MAX_NAME_CHARS, 0)


def _size(name: str, value: object) -> int | None:
    return None if value is None else integer(name, value, 0, limits.MAX_CLASS_NUMBER)


def _measured(name: str, value: object) -> dict[str, float | None]:
    return mapping(name, value, limits.MAX_ENTRIES, _reading)
