"""The final windows as plain Python has them from the raw logs: dicts, loops and fractions, none of our own code."""

from collections import defaultdict
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any


@dataclass
class Times:
    pane_ms: int
    horizon_ms: int
    early_ms: int
    lateness_ms: int


@dataclass
class Row:
    event: dict[str, Any]
    effective_ms: int
    late: bool
    labels: list[tuple[int, int, Any]] = field(default_factory=list)


def with_effective_times(events: list[dict[str, Any]], times: Times) -> list[tuple[dict[str, Any], int]]:
    newest, result = -(10**18), []
    for event in events:
        newest = max(newest, event["timestamp_ms"])
        result.append((event, newest - times.lateness_ms))
    return result


def join_partition(
    predictions: list[dict[str, Any]], labels: list[dict[str, Any]], times: Times
) -> tuple[list[Row], list[dict[str, Any]], list[tuple[str, int]], int]:
    """Accepted rows with their labels; duplicates; model and effective time of unmatched labels; how many were late."""
    rows: dict[tuple[str, str], list[Row]] = defaultdict(list)
    accepted, duplicates, too_late = [], [], 0
    for event, watermark in with_effective_times(predictions, times):
        time_ms = event["timestamp_ms"]
        if time_ms + times.horizon_ms < watermark:
            too_late += 1
            continue
        effective = max(time_ms, watermark)
        siblings = rows[event["model"], event["prediction_id"]]
        if any(
            effective <= other.event["timestamp_ms"] + times.horizon_ms
            and other.event["model_version"] == event["model_version"]
            for other in siblings
        ):
            duplicates.append(event)
            continue
        row = Row(event, effective, time_ms < watermark)
        siblings.append(row)
        accepted.append(row)
    unmatched = []
    for number, (event, watermark) in enumerate(with_effective_times(labels, times)):
        effective = max(event["timestamp_ms"], watermark)
        met = False
        for row in rows[event["model"], event["prediction_id"]]:
            if (
                effective <= row.event["timestamp_ms"] + times.horizon_ms
                and row.effective_ms <= effective + times.early_ms
            ):
                row.labels.append((event["timestamp_ms"], -number, event["label"]))
                met = True
        if not met:
            unmatched.append((event["model"], effective))
    return accepted, duplicates, unmatched, too_late


def count_row(cell: dict[str, Any], row: Row) -> None:
    event, counts = row.event, cell["counts"]
    counts["predictions"] += 1
    counts["late"] += row.late
    counts["labels"] += len(row.labels)
    cell["task"] = event["task"]
    if row.labels:
        label = max(row.labels)[2]
        suits = suits_task(event["task"], label)
        counts["labelled" if suits else "mismatched"] += 1
        if suits:
            cell["pairs"].append((event["prediction"], label))
    if event.get("latency_ms") is not None:
        cell["latency"].append(event["latency_ms"])
    for name, value in (event.get("features") or {}).items():
        if isinstance(value, float | int):
            cell["features"][name].append(value)


def final_windows(
    logs: list[tuple[list[dict[str, Any]], list[dict[str, Any]]]], size_ms: int, slide_ms: int, times: Times
) -> dict[tuple[str, str, str, int], dict[str, Any]]:
    """(model, version, segment, window start) to the window's numbers."""
    cells: dict[tuple[str, str, str, int], dict[str, Any]] = defaultdict(
        lambda: {"counts": defaultdict(int), "pairs": [], "latency": [], "features": defaultdict(list)}
    )

    def places(model: str, version: str, segments: Any, time_ms: int) -> list[dict[str, Any]]:
        names = ["", *(f"{name}={value}" for name, value in sorted((segments or {}).items()))]
        first = (time_ms - size_ms) // slide_ms * slide_ms + slide_ms
        return [
            cells[model, version, segment, start] for segment in names for start in range(first, time_ms + 1, slide_ms)
        ]

    for predictions, labels in logs:
        accepted, duplicates, unmatched, _ = join_partition(predictions, labels, times)
        for event in duplicates:
            for cell in places(event["model"], event["model_version"], event.get("segments"), event["timestamp_ms"]):
                cell["counts"]["duplicates"] += 1
        for row in accepted:
            event = row.event
            for cell in places(event["model"], event["model_version"], event.get("segments"), event["timestamp_ms"]):
                count_row(cell, row)
        for model, effective_ms in unmatched:
            for cell in places(model, "", None, effective_ms):
                cell["counts"]["unmatched_labels"] += 1
    return cells


def mean(values: list[float]) -> float:
    """The exact mean, rounded once."""
    return float(sum(map(Fraction, values)) / len(values))


COUNTS = ("predictions", "labelled", "duplicates", "late", "labels", "mismatched", "unmatched_labels")


def suits_task(task: str, label: Any) -> bool:
    """Whether a label means something for a task."""
    if task == "regression":
        return isinstance(label, int | float)
    if task == "multilabel":
        return isinstance(label, list)
    return isinstance(label, str | int) or (isinstance(label, float) and label.is_integer())


def expected_quality(task: str, pairs: list[tuple[Any, Any]]) -> dict[str, float | None]:
    """The metrics that are checked, over pairs of prediction and label."""
    if task == "regression":
        errors = [Fraction(float(a) - float(b)) for a, b in pairs]
        return {
            "mse": float(sum(error**2 for error in errors) / len(errors)) if errors else None,
            "mae": float(sum(map(abs, errors)) / len(errors)) if errors else None,
        }
    if task == "multilabel":
        hits = sum(set(map(str, a)) == set(map(str, b)) for a, b in pairs)
        return {"subset_accuracy": hits / len(pairs) if pairs else None}
    return {"accuracy": sum(str(a) == str(b) for a, b in pairs) / len(pairs) if pairs else None}


def expected_numbers(cell: dict[str, Any]) -> dict[str, Any]:
    """What a window event must say of a cell."""
    latency, counts = cell["latency"], cell["counts"]
    return {
        "counts": {name: counts[name] for name in COUNTS},
        "quality": expected_quality(cell["task"], cell["pairs"]) if "task" in cell else {},
        "latency_mean": mean(latency) if latency else None,
        "means": {name: mean(values) for name, values in sorted(cell["features"].items()) if values},
    }


CHECKED = ("accuracy", "mse", "mae", "subset_accuracy")


def said_numbers(event: dict[str, Any]) -> dict[str, Any]:
    """The same of a ``window_metrics.v1`` event."""
    return {
        "counts": {name: event["counts"][name] for name in COUNTS},
        # Without a prediction it is not said of which task the window would have been.
        "quality": {name: event["quality"][name] for name in CHECKED if name in event["quality"]}
        if event["counts"]["predictions"]
        else {},
        "latency_mean": event["latency_ms"].get("mean"),
        "means": {
            name: quality["mean"]
            for name, quality in sorted(event["data_quality"].items())
            if quality["mean"] is not None
        },
    }
