"""From a window's merged states to its ``window_metrics.v1`` event."""

import math
from collections.abc import Mapping
from typing import Any

import orjson

from pipeline.core.accumulate.counts import Counts
from pipeline.core.events import Json
from pipeline.core.families import FAMILIES, Context, Report
from pipeline.core.window import WindowSize
from pipeline.processors.partials import COUNTS
from pipeline.processors.tracks import Pane

PUBLISHED_COUNTS = (
    "predictions", "labelled", "duplicates", "late", "labels", "mismatched", "unmatched_labels", "unbinned",
)  # fmt: skip
EVENT_BYTES = 800_000
"""How large an event may be, below Kafka's usual limit of a megabyte."""
SECTIONS = (
    "quality",
    "estimated",
    "generalisation",
    "ageing",
    "objectives",
    "label_delay_ms",
    "latency_ms",
    "drift",
    "drift_summary",
    "data_quality",
)


def window_event(
    context: Context, pane: Pane, size: WindowSize, start_ms: int, *, revision: int, now_ms: int
) -> dict[str, Any]:
    """Build the event of one window.

    Args:
        context: whose window it is, and what reports need.
        pane: the window's merged states.
        size: the window's size.
        start_ms: its start.
        revision: how often it was published before.
        now_ms: the wall clock.

    Returns:
        The event; what cannot be computed is None, and ``reasons`` says why.
    """
    counts = pane[COUNTS]
    assert isinstance(counts, Counts)  # noqa: S101 - the registry made it
    predictions, labelled = counts["predictions"], counts["labelled"]
    event: dict[str, Any] = {
        "model": context.model,
        "model_version": context.model_version,
        "task": context.task.name.lower(),
        "segment": context.segment,
        "window": str(size),
        "window_start_ms": start_ms,
        "window_end_ms": start_ms + size.size_ms,
        "revision": revision,
        "final": context.final,
        "published_ms": now_ms,
        "counts": {name: counts[name] for name in PUBLISHED_COUNTS},
        "label_coverage": labelled / predictions if predictions else None,
        "throughput_per_s": predictions * 1000 / size.size_ms,
        **{section: {} for section in SECTIONS},
    }
    event["reasons"] = {} if predictions else {"label_coverage": "no_predictions"}
    # What belongs to no version holds labels that met no prediction, and nothing else.
    for family in FAMILIES if context.model_version else ():
        if family.report is not None:
            add_report(event, family.report(pane[family.name], context))
    return event


def add_report(event: dict[str, Any], report: Report) -> None:
    """Put what was computed into an event.

    Args:
        event: the event; changed in place.
        report: sections to be merged into it, and the reasons of what is null in them.
    """
    for section, values in report.values.items():
        _merge(event.setdefault(section, {}), values)
    event["reasons"].update(report.reasons)


def encode_event(event: Mapping[str, Any]) -> bytes:
    """The event as a record's value.

    Args:
        event: a ``window_metrics.v1`` event.

    Returns:
        Its JSON. Where that is more than a record may hold, the largest sections are emptied, and ``reasons`` says so.
    """
    encoded = orjson.dumps(event)
    left = {name: event[name] for name in SECTIONS if event[name]}
    reasons = event["reasons"]
    while len(encoded) > EVENT_BYTES and left:
        largest = max(left, key=lambda name: len(orjson.dumps(left[name])) + _length_of(reasons, name))
        del left[largest]
        reasons = {path: why for path, why in reasons.items() if path.split(".")[0] != largest}
        reasons[largest] = "too_large"
        event = {**event, largest: {}, "reasons": reasons}
        encoded = orjson.dumps(event)
    return encoded


def _length_of(reasons: Mapping[str, str], section: str) -> int:
    return len(orjson.dumps({path: why for path, why in reasons.items() if path.split(".")[0] == section}))


def host_event(host: str, size: WindowSize, start_ms: int, metrics: Mapping[str, Json]) -> dict[str, Any]:
    """Build the ``host_metrics.v1`` event of one window.

    Args:
        host: the host.
        size: the window's size.
        start_ms: its start.
        metrics: metric to its mean, min, max and last.
    """
    return {
        "host": host,
        "window": str(size),
        "window_start_ms": start_ms,
        "window_end_ms": start_ms + size.size_ms,
        "metrics": dict(metrics),
    }


def _merge(into: dict[str, Any], values: Mapping[str, Json]) -> None:
    for name, value in values.items():
        if isinstance(value, Mapping):
            _merge(into.setdefault(name, {}), value)
        else:
            into[name] = value if not isinstance(value, float) or math.isfinite(value) else None
