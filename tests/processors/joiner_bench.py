"""One joiner partition with its logs and its changelog, driven by hand."""

from typing import Any

import numpy as np
import orjson

from pipeline.config import load_config
from pipeline.core.events import OutputRecord, RecordBatch
from pipeline.core.kernels.join_rows import FREE, LABEL, NO_LABEL, PREDICTION, ROW
from pipeline.processors.joiner import Joiner, JoinerTask, make_joiner

START = 1_700_000_000_000
S = 1_000
HORIZON, EARLY, LATENESS, IDLE = 20 * S, 8 * S, 2 * S, 5 * S
INPUTS = ("predictions", "labels", "resources")


class Bench:
    """``now`` is the wall clock; ``crash`` builds the task anew from the changelog."""

    def __init__(self, partition: int = 0, references: Any = None, sizes: Any = ("2s",), **sections: Any) -> None:
        windows = {
            "sizes": sizes,
            "label_horizon": HORIZON,
            "early_label_horizon": EARLY,
            "allowed_lateness": LATENESS,
            "idle_timeout": IDLE,
            "max_future": "60s",
        }
        self.config = load_config(overrides={"windows": windows, "reference": {"learn_rows": 20}, **sections})
        self.joiner: Joiner = make_joiner(self.config, references)
        self.partition = partition
        self.log: dict[bytes, bytes | None] = {}
        self.offsets = dict.fromkeys(INPUTS, 0)
        self.now = START + 3_600 * S
        self.task = self.make()

    def make(self) -> JoinerTask:
        task = self.joiner.task(self.partition, {"partials": 1, "predictions": 2})
        task.restore(self.log.items())
        return task

    def crash(self) -> None:
        self.task = self.make()

    def send(self, topic: str, *events: Any, headers: Any = None) -> None:
        first = self.offsets[topic]
        self.offsets[topic] += len(events)
        values = [event if isinstance(event, bytes | None) else orjson.dumps(event) for event in events]
        nothing: list[Any] = [None] * len(events)
        offsets = list(range(first, first + len(events)))
        self.task.process(
            RecordBatch(topic, self.partition, offsets, nothing, values, [headers] * len(events)), self.now
        )

    def predict(self, *seconds: float, **more: Any) -> None:
        self.send("predictions", *[prediction(second, **more) for second in seconds])

    def label(self, *seconds: float, **more: Any) -> None:
        self.send("labels", *[label(second, **more) for second in seconds])

    def flush(self, at_end: Any = ()) -> list[OutputRecord]:
        flush = self.task.flush(self.now, frozenset(at_end))
        self.log |= dict(flush.changelog)
        return list(flush.outputs)

    def teach(self, outputs: list[OutputRecord]) -> None:
        """Hand learned references back, as the engine does once they are committed."""
        for record in outputs:
            if record.topic == "references":
                self.joiner.on_table("references", record.key or b"", record.value)


def prediction(second: float, **more: Any) -> dict[str, Any]:
    event = {
        "prediction_id": f"p{second}",
        "model": "m",
        "model_version": "1",
        "timestamp_ms": START + int(second * S),
        "task": "binary",
        "prediction": "yes",
    }
    return {**event, **more}


def label(second: float, **more: Any) -> dict[str, Any]:
    event = {"prediction_id": f"p{second}", "model": "m", "timestamp_ms": START + int(second * S), "label": "yes"}
    return {**event, **more}


def values(outputs: list[OutputRecord], topic: str) -> list[Any]:
    return [orjson.loads(record.value or b"") for record in outputs if record.topic == topic]


def reasons(outputs: list[OutputRecord]) -> list[tuple[int, str]]:
    return [(letter["offset"], letter["reason"]) for letter in values(outputs, "dead-letters")]


def cells(outputs: list[OutputRecord]) -> dict[tuple[str, str, int], dict[str, Any]]:
    """(model version, segment, second) to the families on the wire."""
    return {
        (version, segment, (start_ms - START) // S): families
        for record in values(outputs, "partials")
        if record["kind"] == "cells"
        for version, _, segment, start_ms, families in record["cells"]
    }


def total(outputs: list[OutputRecord], name: str) -> int:
    """A count over everything."""
    found = cells(outputs)
    return sum(one.get("counts", {}).get(name, 0) for (_, segment, _), one in found.items() if segment == "")


def progress(outputs: list[OutputRecord]) -> dict[str, int] | None:
    """The progress in seconds after the start."""
    for record in values(outputs, "partials"):
        if record["kind"] == "progress":
            return {name: (record[name] - START) // S for name in ("predictions_ms", "final_ms", "resources_ms")}
    return None


def snapshot(task: JoinerTask) -> Any:
    """Everything that a changelog must give back."""
    state = task._state
    hot = state.store._hot.arrays
    names = [name for name in ROW.names or () if name not in ("next", "dirty", "label", "siblings")]

    def stated(row: Any) -> Any:
        return hot.stated[row["label"]].item() if row["label_kind"] != NO_LABEL else None

    rows = [row for row in hot.rows[: hot.counts[0]] if row["kind"] != FREE]
    predictions = [row for row in rows if row["kind"] == PREDICTION]
    return {
        "predictions": sorted((*(row[name].item() for name in names), stated(row)) for row in predictions),
        # A set: a label that two versions shared may stand twice.
        "labels": {
            (row["key0"].item(), row["key1"].item(), stated(row), row["label_kind"].item(), row["labels"] == 0)
            for row in rows
            if row["kind"] == LABEL
        },
        "marks": {topic: mark.newest_ms for topic, mark in state.watermarks.items()},
        "final": state.final_ms,
        "groups": state.groups.values,
        "models": state.models.values,
        "sets": state.segment_sets.sets,
        "classes": (state.classes.names, state.classes._models),
        "learned": state.learned,
        "announced": state.announced,
        "expiry": state._expiry_ms,
        "waiting": [
            (part.sequence, part.group, part.timestamp_ms.tolist(), part.segment_set.tolist(), sorted(part.columns))
            for part in state.waiting._parts.values()
        ],
        "numbers": [
            np.nan_to_num(part.columns[name].numbers, nan=-1.0).tolist()
            for part in state.waiting._parts.values()
            for name in sorted(part.columns)
        ],
    }
