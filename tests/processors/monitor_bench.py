"""One monitor partition, fed with partials by hand."""

from typing import Any

import orjson

from pipeline.config import load_config
from pipeline.core.accumulate.confusion import Confusion
from pipeline.core.accumulate.counts import Counts
from pipeline.core.accumulate.offsets import OffsetRanges
from pipeline.core.events import Group, OutputRecord, RecordBatch, Task
from pipeline.processors.monitor import MonitorTask, make_monitor
from pipeline.processors.partials import Pending, Progress, progress_records

S = 1_000
HORIZON = 20 * S
GROUP = Group("fraud", "1", Task.BINARY)


class Bench:
    """One monitor partition with its changelog; ``crash`` builds it anew from there."""

    def __init__(self, sizes: tuple[str, ...] = ("2s",), joiners: int = 1, **sections: Any) -> None:
        windows = {"sizes": sizes, "label_horizon": HORIZON, "allowed_lateness": "1s"}
        self.config = load_config(overrides={"windows": windows, **sections})
        self.joiners = joiners
        self.log: dict[bytes, bytes | None] = {}
        self.offset = 0
        self.task = self.make()

    def make(self) -> MonitorTask:
        task = make_monitor(self.config).task(0, {})
        task.restore(self.log.items())
        return task

    def crash(self) -> None:
        self.task = self.make()

    def send(self, *values: bytes | None, topic: str = "partials") -> None:
        offsets = list(range(self.offset, self.offset + len(values)))
        self.offset += len(values)
        nothing: list[Any] = [None] * len(values)
        self.task.process(RecordBatch(topic, 0, offsets, nothing, values, nothing), 0)

    def send_records(self, records: Any) -> None:
        self.send(*[record.value for record in records])

    def count(
        self,
        second: int,
        group: Group = GROUP,
        segment: str = "",
        right: int = 0,
        wrong: int = 0,
        offsets: tuple[int, int] | None = None,
        **counts: int,
    ) -> None:
        pending, key = Pending(), (group, segment, second * S)
        pending.merge(key, "counts", Counts({**counts, "labelled": right + wrong, "labels": right + wrong}))
        confusion = Confusion()
        confusion.counts = {outcome: n for outcome, n in {("1", "1"): right, ("1", "0"): wrong}.items() if n}
        pending.merge(key, "confusion", confusion)
        if offsets:
            ranges = OffsetRanges()
            ranges.add("predictions", 0, *offsets)
            pending.merge(key, "offsets", ranges)
        self.send_records(pending.take(0))

    def progress(self, predictions: int, final: int | None = None, joiner: int = 0, resources: int = -(10**9)) -> None:
        final_ms = (predictions if final is None else final) * S
        record = Progress(joiner, self.joiners, predictions * S, final_ms, resources * S)
        self.send_records(list(progress_records(record, 1)))

    def flush(self) -> list[OutputRecord]:
        flush = self.task.flush(77, frozenset())
        self.log |= dict(flush.changelog)
        return list(flush.outputs)

    def events(self, topic: str = "window-metrics") -> list[Any]:
        return [orjson.loads(record.value or b"") for record in self.flush() if record.topic == topic]

    def windows(self) -> list[tuple[int, int, bool, int]]:
        """Start in seconds, revision, final, predictions."""
        return [
            (event["window_start_ms"] // S, event["revision"], event["final"], event["counts"]["predictions"])
            for event in self.events()
        ]


def snapshot(task: MonitorTask) -> Any:
    state = task._state
    return {
        "panes": {
            (key, start): {name: one.to_wire() for name, one in sorted(pane.items()) if not one.is_zero()}
            for key, track in state.tracks.items()
            for start, pane in track.panes.items()
        },
        "windows": {
            (key, *place): (window.revision, window.events)
            for key, track in state.tracks.items()
            for place, window in track.windows.items()
        },
        "progress": state._progress,
        "least": state._least_ms,
        "models": state._models,
        "rules": {key: one.to_json() for key, one in state.alerting._states.items()},
        "triggered": state.alerting._triggered_ms,
        "closing": sorted((at, str(key)) for at, _, key in state._closing),
        "ending": sorted((at, str(key)) for at, _, key in state._ending if key[1:] in state.tracks[key[0]].windows),
        "parted": state._parted,
    }
