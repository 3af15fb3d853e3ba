"""``python -m bench.changelogs``: what the changelogs hold after many label horizons of traffic, compacted.

One partition of the joiner and of the monitor, without Kafka: of each key the newest value counts, and a key without a
value is gone. Predictions, labels and host readings go on evenly; ids are never used again.
"""

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from rich.console import Console
from rich.table import Table

from bench.events import Traffic, batch_labels, batch_predictions, make_traffic
from pipeline.config import Config
from pipeline.core.events import Int64s, RecordBatch
from pipeline.processors.joiner import make_joiner
from pipeline.processors.monitor import make_monitor
from pipeline.processors.processor import PartitionTask

HORIZON_MS = 60_000
STEP_MS = 1_000  # of event time, and between two commits
START_MS = 1_700_000_000_000
PARTITIONS = dict.fromkeys(("predictions", "labels", "resources", "partials", "models"), 1)
HOSTS = ("a", "b", "c")
_COLUMNS = ("layout", b"columns")


@dataclass(frozen=True, slots=True)
class Held:
    """What the changelogs hold at the end of a horizon.

    Attributes:
        horizon: its number, from 1.
        joiner_keys, monitor_keys: live keys.
        joiner_bytes, monitor_bytes: keys and values of these.
        written_bytes: of all that was ever written.
        final_windows: published so far.
    """

    horizon: int
    joiner_keys: int
    joiner_bytes: int
    monitor_keys: int
    monitor_bytes: int
    written_bytes: int
    final_windows: int


class Changelog:
    """A compacted log."""

    def __init__(self) -> None:
        self._newest: dict[bytes, int] = {}
        self.written_bytes = 0

    def write(self, entries: Iterable[tuple[bytes, bytes | None]]) -> None:
        for key, value in entries:
            size = len(key) + len(value or b"")
            self.written_bytes += size
            if value is None:
                self._newest.pop(key, None)
            else:
                self._newest[key] = size

    def __len__(self) -> int:
        return len(self._newest)

    @property
    def live_bytes(self) -> int:
        return sum(self._newest.values())


class Topic:
    """Hands records of one topic to a task, in log order."""

    def __init__(self, name: str, task: PartitionTask) -> None:
        self._name, self._task, self._end = name, task, 0

    def put(self, values: list[bytes | None], now_ms: int, headers: Any = None, keys: Any = None) -> None:
        offsets = list(range(self._end, self._end + len(values)))
        self._end += len(values)
        batch = RecordBatch(self._name, 0, offsets, keys or [None] * len(values), values, [headers] * len(values))
        self._task.process(batch, now_ms)


def make_config() -> Config:
    return Config(
        windows={"sizes": ["10s", "30s/10s"], "label_horizon": HORIZON_MS, "early_label_horizon": "10s",
                 "allowed_lateness": "2s"},
        # So few windows tell of labels to come, so few rows calibrate estimates, that all are there after two horizons.
        quality={"maturity": {"windows": 4}, "calibration_rows": 100},
        rules=[{"name": "low", "metric": "quality.accuracy", "below": 0.9}],
    )  # fmt: skip


def run(horizons: int, rows_per_horizon: int) -> Iterator[Held]:
    """Run traffic through both processors.

    Args:
        horizons: how many.
        rows_per_horizon: predictions, and as many labels.

    Yields:
        What the changelogs hold, once a horizon.
    """
    config = make_config()
    joiner = make_joiner(config)
    sides: dict[str, PartitionTask] = {
        "joiner": joiner.task(0, PARTITIONS),
        "monitor": make_monitor(config).task(0, PARTITIONS),
    }
    topics = {name: Topic(name, sides["joiner"]) for name in ("predictions", "labels", "resources")}
    partials = Topic("partials", sides["monitor"])
    logs = {name: Changelog() for name in sides}
    finals = 0
    traffic = make_traffic(horizons * rows_per_horizon, 1, START_MS, horizons * HORIZON_MS)
    label_ms = traffic.label_ms[traffic.label_order]
    for step in range(horizons * HORIZON_MS // STEP_MS):
        now_ms = START_MS + (step + 1) * STEP_MS
        _feed(topics, traffic, label_ms, now_ms)
        for name, task in sides.items():
            flush = task.flush(now_ms, frozenset())
            logs[name].write(flush.changelog)
            for record in flush.outputs:
                if record.topic == "references":
                    joiner.on_table("references", record.key or b"", record.value)
                finals += record.topic == "window-metrics" and bool(orjson.loads(record.value or b"{}").get("final"))
            sums = [record for record in flush.outputs if record.topic == "partials"]
            if sums:
                partials.put([one.value for one in sums], now_ms, keys=[one.key for one in sums])
        if (step + 1) % (HORIZON_MS // STEP_MS) == 0:
            (joined, watched), written = logs.values(), sum(log.written_bytes for log in logs.values())
            number = (step + 1) * STEP_MS // HORIZON_MS
            yield Held(number, len(joined), joined.live_bytes, len(watched), watched.live_bytes, written, finals)


def _feed(topics: dict[str, Topic], traffic: Traffic, label_ms: Int64s, now_ms: int) -> None:
    """The events of one step, those of each topic in the order of their times."""
    first, last = np.searchsorted(traffic.timestamp_ms, [now_ms - STEP_MS, now_ms])
    if last > first:
        topics["predictions"].put([batch_predictions(traffic, np.arange(first, last))], now_ms, [_COLUMNS])
    first, last = np.searchsorted(label_ms, [now_ms - STEP_MS, now_ms])
    if last > first:
        topics["labels"].put([batch_labels(traffic, traffic.label_order[first:last])], now_ms, [_COLUMNS])
    readings = [{"host": host, "timestamp_ms": now_ms - 1, "metrics": {"cpu.usage_ratio": 0.5}} for host in HOSTS]
    topics["resources"].put([orjson.dumps(one) for one in readings], now_ms)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.changelogs", description=__doc__)
    parser.add_argument("--horizons", type=int, default=200)
    parser.add_argument("--rows", type=int, default=10_000, help="predictions a horizon, and as many labels")
    arguments = parser.parse_args()
    table = Table("horizon", title=f"Live in the changelogs, {arguments.rows:,} predictions and labels a horizon")
    for name in ("joiner keys", "joiner MB", "monitor keys", "monitor MB", "written MB", "final windows"):
        table.add_column(name, justify="right")
    began_s = time.monotonic()
    for held in run(arguments.horizons, arguments.rows):
        if held.horizon <= 3 or held.horizon % max(1, arguments.horizons // 10) == 0:
            table.add_row(
                str(held.horizon), f"{held.joiner_keys:,}", f"{held.joiner_bytes / 1e6:.2f}", f"{held.monitor_keys:,}",
                f"{held.monitor_bytes / 1e6:.3f}", f"{held.written_bytes / 1e6:,.1f}", f"{held.final_windows:,}",
            )  # fmt: skip
    Console(width=110).print(table)
    Console().print(f"{time.monotonic() - began_s:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
