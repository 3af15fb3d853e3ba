"""``python -m bench.joiner_cost``: CPU time of the whole joiner an event, with open predictions in memory and on disk.

Columnar records go straight into one partition's state machine, without Kafka: decoding, joining, folding and what a
commit hands over. Labels come for the newest predictions and then, in any order, for the oldest.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bench.events import Traffic, batch_labels, batch_predictions, make_traffic
from pipeline.config import Config
from pipeline.core.events import RecordBatch
from pipeline.engine.cold_rows import ColdFolder
from pipeline.processors.joiner import Joiner, make_joiner

ROUNDS = ((1_000_000, 1_024), (6_000_000, 1_024), (6_000_000, 128))
"""Open predictions, and ``joiner.memory_mb``."""

BATCH = 20_000
RECORD = 1_000
LABELS = 500_000
SPAN_MS = 600_000
_MAKE = {"predictions": batch_predictions, "labels": batch_labels}
_SCHEMA = {"predictions": b"prediction.v1", "labels": b"label.v1"}


class Fed:
    """One partition's joiner, fed with a part of the traffic at a time."""

    def __init__(self, joiner: Joiner, traffic: Traffic, now_ms: int) -> None:
        self.joiner, self.traffic, self.now_ms = joiner, traffic, now_ms
        self.task = joiner.task(0, {"partials": 1, "predictions": 1})
        self.offset = {"predictions": 0, "labels": 0}

    def feed(self, topic: str, rows: NDArray[np.int64]) -> float:
        """CPU seconds for some predictions, or labels, with a commit every ``BATCH``."""
        cpu_s = 0.0
        for start in range(0, len(rows), BATCH):
            which = rows[start : start + BATCH]
            values = [_MAKE[topic](self.traffic, which[i : i + RECORD]) for i in range(0, len(which), RECORD)]
            first = self.offset[topic]
            self.offset[topic] += len(values)
            headers: list[Any] = [[("schema", _SCHEMA[topic]), ("layout", b"columns")]] * len(values)
            offsets = list(range(first, first + len(values)))
            batch = RecordBatch(topic, 0, offsets, [None] * len(values), list(values), headers)
            began_s = time.process_time()
            self.task.process(batch, self.now_ms)
            flush = self.task.flush(self.now_ms, frozenset())
            cpu_s += time.process_time() - began_s
            for record in flush.outputs:
                if record.topic == "references":
                    self.joiner.on_table("references", record.key or b"", record.value)
        return cpu_s


def measure(rows: int, memory_mb: int, folder: Path) -> dict[str, float]:
    """CPU microseconds an event, and how many rows were on disk."""
    now_ms = time.time_ns() // 1_000_000
    traffic = make_traffic(rows, 1, now_ms - SPAN_MS - 60_000, SPAN_MS)
    config = Config(windows={"label_horizon": "3d"}, joiner={"memory_mb": memory_mb})
    fed = Fed(make_joiner(config, None, ColdFolder(folder).blocks), traffic, now_ms)
    fed.feed("predictions", np.arange(BATCH))
    fed.feed("labels", np.arange(BATCH))
    last = rows // 2
    fed.feed("predictions", np.arange(BATCH, last))
    predict_s = fed.feed("predictions", np.arange(last, rows))
    on_disk = int(fed.task.stats()["open_rows_on_disk"])
    chance = np.random.default_rng(1)
    newest_s = fed.feed("labels", chance.permutation(np.arange(rows - LABELS, rows)))
    oldest = chance.choice(np.arange(BATCH, on_disk or rows - LABELS), min(LABELS, rows // 4), replace=False)
    oldest_s = fed.feed("labels", oldest)
    return {
        "rows": rows,
        "memory_mb": memory_mb,
        "on_disk": on_disk,
        "predict_us": predict_s / (rows - last) * 1e6,
        "newest_label_us": newest_s / LABELS * 1e6,
        "oldest_label_us": oldest_s / len(oldest) * 1e6,
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.joiner_cost", description=__doc__)
    parser.add_argument("--rows", type=int, default=0, help="this number alone, in this process")
    parser.add_argument("--memory-mb", type=int, default=1_024)
    arguments = parser.parse_args()
    if arguments.rows:
        with tempfile.TemporaryDirectory(prefix="driftline-bench-") as folder:
            sys.stdout.write(json.dumps(measure(arguments.rows, arguments.memory_mb, Path(folder))))
        return 0
    table = Table("open predictions", "joiner.memory_mb", title="The joiner's CPU time, µs an event, columnar records")
    for name in ("of them on disk", "a prediction", "a label of the newest", "a label of the oldest"):
        table.add_column(name, justify="right")
    for rows, memory_mb in ROUNDS:
        command = [sys.executable, "-m", "bench.joiner_cost", "--rows", str(rows), "--memory-mb", str(memory_mb)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        costs = [f"{found[name]:.2f}" for name in ("predict_us", "newest_label_us", "oldest_label_us")]
        table.add_row(f"{rows:,}", f"{memory_mb:,}", f"{found['on_disk']:,}", *costs)
    Console(width=120).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
