"""``python -m bench.cost_model``: what features and segments cost, for ``driftline plan``.

The joiner alone, without Kafka: CPU µs a prediction and a label for some numbers of features and segments, and what of
it each feature, each segment, and each feature for each segment adds. What Kafka's client takes beside it is told by
``make profile``.
"""

import itertools
import sys
import time
from collections.abc import Callable, Iterator

import cramjam
import numpy as np
import orjson
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from pipeline.config import Config
from pipeline.core.events import RecordBatch
from pipeline.processors.joiner import make_joiner

FEATURES, SEGMENTS = (0, 5, 20, 50), (0, 1, 3)
ROWS, RECORD, COMMIT_ROWS = 100_000, 1_000, 20_000
SPAN_MS = 600_000

_Make = Callable[["Rows", NDArray[np.int64]], list[bytes]]


class Rows:
    """n predictions with some features and segments, and their labels."""

    def __init__(self, features: int, segments: int, start_ms: int) -> None:
        chance = np.random.default_rng(features * 10 + segments)
        self.ids = [chance.bytes(12).hex() for _ in range(ROWS)]  # as Publisher makes them, nearly: these do not rise
        self.timestamp_ms = start_ms + np.arange(ROWS) * SPAN_MS // ROWS
        self.prediction = (chance.random(ROWS) < 0.2).astype(np.int64)
        self.score = np.round(self.prediction * 0.5 + chance.random(ROWS) / 2, 4)
        self.label = np.where(chance.random(ROWS) < 0.9, self.prediction, 1 - self.prediction)
        self.latency_ms = np.round(chance.gamma(2, 3, ROWS), 2)
        # Every fifth feature is a text, as in the traffic of ``make bench``.
        self.features = {
            f"feature_{i}": [f"value {code}" for code in chance.integers(0, 8, ROWS).tolist()]
            if i % 5 == 4
            else np.round(chance.lognormal(3, 1, ROWS), 2).tolist()
            for i in range(features)
        }
        self.segments = {
            f"segment_{i}": [f"value {code}" for code in chance.integers(0, 8, ROWS).tolist()] for i in range(segments)
        }

    def prediction_columns(self, rows: NDArray[np.int64]) -> dict[str, object]:
        places = rows.tolist()
        event: dict[str, object] = {
            "n": len(places),
            "prediction_id": [self.ids[at] for at in places],
            "model": "fraud",
            "model_version": "3",
            "timestamp_ms": self.timestamp_ms[rows].tolist(),
            "task": "binary",
            "prediction": self.prediction[rows].tolist(),
            "score": self.score[rows].tolist(),
            "latency_ms": self.latency_ms[rows].tolist(),
        }
        for name in ("features", "segments"):
            columns = getattr(self, name)
            if columns:
                event[name] = {one: [column[at] for at in places] for one, column in columns.items()}
        return event

    def label_columns(self, rows: NDArray[np.int64]) -> dict[str, object]:
        return {
            "n": len(rows),
            "prediction_id": [self.ids[at] for at in rows.tolist()],
            "model": "fraud",
            "timestamp_ms": (self.timestamp_ms[rows] + 1_000).tolist(),
            "label": self.label[rows].tolist(),
        }


def records(event: dict[str, object], layout: str) -> list[bytes]:
    """The rows as one record, or as one each."""
    if layout == "columns":
        return [orjson.dumps(event)]
    count = event.pop("n")
    assert isinstance(count, int)
    return [orjson.dumps({name: _value(value, at) for name, value in event.items()}) for at in range(count)]


def _value(value: object, at: int) -> object:
    if isinstance(value, dict):
        return {name: column[at] for name, column in value.items()}
    return value[at] if isinstance(value, list) else value


def measure(features: int, segments: int, layout: str) -> tuple[float, float, float, float]:
    """CPU µs a prediction and a label, and the bytes of each in its topic: compressed as records of one batch are."""
    now_ms = time.time_ns() // 1_000_000
    rows = Rows(features, segments, now_ms - SPAN_MS - 60_000)
    joiner = make_joiner(Config(windows={"label_horizon": "1h"}))
    task = joiner.task(0, {"partials": 1, "predictions": 1})
    headers = [("schema", b""), ("layout", b"columns")] if layout == "columns" else []
    found: list[float] = []
    sizes: list[float] = []
    for topic, make in (("predictions", rows.prediction_columns), ("labels", rows.label_columns)):
        offset, cpu_s, size = 0, 0.0, 0
        for start in range(0, ROWS, COMMIT_ROWS):
            chunks = (np.arange(at, at + RECORD) for at in range(start, start + COMMIT_ROWS, RECORD))
            values = list(itertools.chain.from_iterable(records(make(chunk), layout) for chunk in chunks))
            size += len(cramjam.lz4.compress(b"".join(values)))
            count = len(values)
            header = [("schema", f"{topic[:-1]}.v1".encode()), *headers[1:]]
            batch = RecordBatch(topic, 0, range(offset, offset + count), [None] * count, list(values), [header] * count)
            offset += count
            began_s = time.process_time()
            task.process(batch, now_ms)
            flush = task.flush(now_ms, frozenset())
            # The first batch loads the kernels, and the reference is learned from the first rows.
            cpu_s += time.process_time() - began_s if start else 0.0
            for record in flush.outputs:
                if record.topic == "references":
                    joiner.on_table("references", record.key or b"", record.value)
        found.append(cpu_s / (ROWS - COMMIT_ROWS) * 1e6)
        sizes.append(size / ROWS)
    return found[0], found[1], sizes[0], sizes[1]


def fit(costs: dict[tuple[int, int], tuple[float, float, float, float]]) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Of each figure, relative errors squared being least: what there is without features and segments; what a feature,
    a segment, and a feature for each segment add."""
    grid = np.array([(1, features, segments, features * segments) for features, segments in costs], np.float64)
    for place, name in enumerate(("prediction µs", "label µs", "prediction bytes", "label bytes")):
        values = np.array([cost[place] for cost in costs.values()])
        yield name, np.linalg.lstsq(grid / values[:, None], np.ones(len(values)), rcond=None)[0]


def main() -> int:
    console = Console(width=120)
    for layout in ("single", "columns"):
        costs = {
            (features, segments): measure(features, segments, layout)
            for features, segments in itertools.product(FEATURES, SEGMENTS)
        }
        table = Table(
            "features", "segments", "prediction µs", "label µs", "prediction bytes", "label bytes",
            title=f"The joiner's CPU time, {layout}",
        )  # fmt: skip
        for (features, segments), cost in costs.items():
            table.add_row(str(features), str(segments), *(f"{value:.2f}" for value in cost))
        console.print(table)
        for name, (base, a_feature, a_segment, both) in fit(costs):
            console.print(
                f"{layout}, {name}: {base:.3f}, {a_feature:.4f} a feature, {a_segment:.3f} a segment, {both:.4f} a"
                " feature and segment"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
