"""``python -m bench.monitor_cost``: partials that one monitor merges a second, with many features and bins.

A joiner folds the rows of many model versions; the cells that it sends at a commit go to a monitor again and again,
without Kafka.
"""

import argparse
import sys
import time

import numpy as np
import orjson
from rich.console import Console

from pipeline.config import Config
from pipeline.core.events import RecordBatch
from pipeline.processors.joiner import make_joiner
from pipeline.processors.monitor import make_monitor

ROWS, LEARNED, SENT, REPEATS = 10_000, 55, 5, 8
TARGET = 20_000


def measure(features: int, bins: int, versions: int) -> tuple[int, float, float]:
    """Cells a commit, bytes a cell, and cells merged a CPU second."""
    config = Config(windows={"label_horizon": "1h"}, reference={"bins": bins})
    now_ms = time.time_ns() // 1_000_000
    joiner = make_joiner(config)
    task = joiner.task(0, {"partials": 1, "predictions": 1})
    monitor = make_monitor(config).task(0, {})
    chance = np.random.default_rng(1)
    sent = 0

    def commit(number: int) -> list[bytes]:
        event = {
            "n": ROWS,
            "prediction_id": [f"{number}-{row}" for row in range(ROWS)],
            "model": [f"model-{row % versions}" for row in range(ROWS)],
            "model_version": "1",
            "timestamp_ms": now_ms - 660_000 + number * 100,
            "task": "regression",
            "prediction": chance.random(ROWS).tolist(),
            "latency_ms": 5.0,
            "features": {f"feature_{i}": np.round(chance.lognormal(3, 1, ROWS), 2).tolist() for i in range(features)},
        }
        headers = [[("schema", b"prediction.v1"), ("layout", b"columns")]]
        task.process(RecordBatch("predictions", 0, [number], [None], [orjson.dumps(event)], headers), now_ms)
        outputs = task.flush(now_ms, frozenset()).outputs
        for record in outputs:
            if record.topic == "references":
                joiner.on_table("references", record.key or b"", record.value)
        return [record.value for record in outputs if record.topic == "partials" and record.value]

    def send(values: list[bytes]) -> None:
        nonlocal sent
        nothing = [None] * len(values)
        offsets = range(sent, sent + len(values))
        monitor.process(RecordBatch("partials", 0, offsets, nothing, values, nothing), now_ms)
        sent += len(values)

    for number in range(LEARNED):  # until all versions have their reference
        send(commit(number))
    commits = [commit(LEARNED + number) for number in range(SENT)]
    cells = sum(len(orjson.loads(value).get("cells", ())) for values in commits for value in values)
    size = sum(len(value) for values in commits for value in values)
    for values in commits:
        send(values)
    best_s = np.inf
    for _ in range(REPEATS):
        began_s = time.process_time()
        for values in commits:
            send(values)
        best_s = min(best_s, time.process_time() - began_s)
    return cells // SENT, size / cells, cells / best_s


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.monitor_cost", description=__doc__)
    parser.add_argument("--features", type=int, default=50)
    parser.add_argument("--bins", type=int, default=64)
    parser.add_argument("--versions", type=int, default=50)
    options = parser.parse_args()
    cells, size, rate = measure(options.features, options.bins, options.versions)
    Console(width=120).print(
        f"{options.features} features of {options.bins} bins, {cells} cells a commit of {size:,.0f} bytes each:"
        f" {rate:,.0f} cells merged a CPU second ({1e6 / rate:.0f} µs each; target {TARGET:,})"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
