"""``python -m bench.family_cost``: what each family of metrics adds to an event, in the joiner.

Columnar records of each task go through one partition's joiner, without Kafka, with a clock around every fold. A
prediction and its label are two events; the cost of either is that of its folds. Merging into what waits for the commit
is counted with the fold.
"""

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
from rich.console import Console
from rich.table import Table

from pipeline.config import Config
from pipeline.core.events import RecordBatch
from pipeline.core.families import FAMILIES
from pipeline.processors import joiner as joiner_module
from pipeline.processors.joiner import make_joiner

TARGET_US = 0.5
ROWS, RECORD, SPAN_MS = 60_000, 1_000, 600_000
CLASSES = [f"class-{number}" for number in range(10)]

_Columns = dict[str, Any]


def columns_of(task: str, chance: np.random.Generator) -> tuple[_Columns, list[Any]]:
    """Predictions and labels of a task, right in about 9 of 10 rows."""
    right = chance.random(ROWS) < 0.9
    if task == "regression":
        numbers = np.round(chance.normal(50, 10, ROWS), 3)
        return {"prediction": numbers.tolist()}, np.round(numbers + chance.normal(0, 2, ROWS), 3).tolist()
    if task == "binary":
        positive = (chance.random(ROWS) < 0.2).astype(int)
        score = np.round((positive + chance.random(ROWS)) / 2, 4)
        label = np.where(right, positive, 1 - positive).tolist()
        return {"prediction": positive.tolist(), "score": score.tolist()}, label
    codes = chance.integers(0, len(CLASSES), ROWS)
    if task == "multiclass":
        shares = np.round(chance.dirichlet(np.ones(len(CLASSES)), ROWS), 4)
        guess = [CLASSES[code] for code in shares.argmax(axis=1)]
        label = [one if good else CLASSES[code] for one, good, code in zip(guess, right, codes, strict=True)]
        return {"prediction": guess, "scores": {name: shares[:, at].tolist() for at, name in enumerate(CLASSES)}}, label
    lists = [[CLASSES[code], CLASSES[(code + step) % 10]] for code, step in zip(codes, 1 + codes % 3, strict=True)]
    if task == "multilabel":
        return {"prediction": lists}, [one if good else one[:1] for one, good in zip(lists, right, strict=True)]
    return {"prediction": lists}, [{one[0]: 1, one[1]: 2} for one in lists]


class Clock:
    """CPU seconds by family, of folds that are told to it."""

    def __init__(self) -> None:
        self.spent_s: dict[str, float] = defaultdict(float)

    def around(self, name: str, call: Callable[..., Any] | None) -> Callable[..., Any] | None:
        """The same call, timed; None stays None."""
        if call is None:
            return None

        def timed(*arguments: Any) -> Any:
            began_s = time.process_time()
            try:
                return call(*arguments)
            finally:
                self.spent_s[name] += time.process_time() - began_s

        return timed


def measure(task: str, batch_rows: int, segments: int) -> tuple[dict[str, float], float]:
    """CPU µs by family that a pair of events costs, halved; and of all that the joiner does."""
    clock, chance = Clock(), np.random.default_rng(1)
    predictions, labels = columns_of(task, chance)
    now_ms = time.time_ns() // 1_000_000
    common = {"model": "m", "timestamp_ms": 0}
    predictions |= common | {
        "prediction_id": [f"p{row:09d}" for row in range(ROWS)],
        "model_version": "1",
        "task": task,
        "latency_ms": np.round(chance.gamma(2, 3, ROWS), 2).tolist(),
        "features": {f"feature_{i}": np.round(chance.lognormal(3, 1, ROWS), 2).tolist() for i in range(5)},
    }
    if segments:
        predictions["segments"] = {
            f"s{i}": [f"v{code}" for code in chance.integers(0, 3, ROWS)] for i in range(segments)
        }
    stated = {"prediction_id": predictions["prediction_id"], "label": labels} | common
    times = (now_ms - SPAN_MS - 60_000 + np.arange(ROWS) * SPAN_MS // ROWS).tolist()
    predictions["timestamp_ms"], stated["timestamp_ms"] = times, times
    timed = tuple(
        replace(
            family,
            fold_predictions=clock.around(family.name, family.fold_predictions),
            fold_labels=clock.around(family.name, family.fold_labels),
        )
        for family in FAMILIES
    )
    vars(joiner_module)["FAMILIES"] = timed
    try:
        whole_s = _run(clock, predictions, stated, batch_rows, now_ms)
    finally:
        vars(joiner_module)["FAMILIES"] = FAMILIES
    events = 2 * ROWS * 3 // 4
    return {name: spent_s / events * 1e6 for name, spent_s in clock.spent_s.items()}, whole_s / events * 1e6


def _run(clock: Clock, predictions: _Columns, stated: _Columns, batch_rows: int, now_ms: int) -> float:
    """All rows, batch by batch; the first quarter loads kernels and gives the reference, and does not count."""
    joiner = make_joiner(Config(windows={"label_horizon": "1h"}))
    task = joiner.task(0, {"partials": 1, "predictions": 1})
    whole_s = 0.0
    for start in range(0, ROWS, batch_rows):
        if start == ROWS // 4:
            clock.spent_s.clear()
            whole_s = 0.0
        for topic, columns in (("predictions", predictions), ("labels", stated)):
            values = list(_records(columns, start, batch_rows))
            headers = [[("schema", f"{topic[:-1]}.v1".encode()), ("layout", b"columns")]] * len(values)
            offsets = range(start, start + len(values))
            batch = RecordBatch(topic, 0, offsets, [None] * len(values), values, headers)
            began_s = time.process_time()
            task.process(batch, now_ms)
            whole_s += time.process_time() - began_s
        for record in task.flush(now_ms, frozenset()).outputs:
            if record.topic == "references":
                joiner.on_table("references", record.key or b"", record.value)
    return whole_s


def _records(columns: _Columns, start: int, rows: int) -> Iterator[bytes]:
    for at in range(start, start + rows, min(RECORD, rows)):
        part = slice(at, min(at + RECORD, start + rows))
        event = {"n": part.stop - part.start} | {name: _cut(value, part) for name, value in columns.items()}
        yield orjson.dumps(event)


def _cut(value: Any, part: slice) -> Any:
    if isinstance(value, dict):
        return {name: column[part] for name, column in value.items()}
    return value[part] if isinstance(value, list) else value


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.family_cost", description=__doc__)
    parser.add_argument("--batch-rows", type=int, nargs="*", default=[15_000, 3_000])
    options = parser.parse_args()
    console = Console(width=140)
    for batch_rows in options.batch_rows:
        for segments in (0, 2):
            found = {
                task: measure(task, batch_rows, segments)
                for task in ("binary", "multiclass", "multilabel", "regression", "ranking")
            }
            table = Table(title=f"CPU µs an event, batches of {batch_rows:,} rows, {1 + segments} cells a row")
            for name in ("family", *found):
                table.add_column(name, justify="left" if name == "family" else "right")
            for family in FAMILIES:
                costs = [spent.get(family.name) for spent, _ in found.values()]
                if any(costs):
                    table.add_row(family.name, *("" if cost is None else f"{cost:.3f}" for cost in costs))
            table.add_section()
            sums = [f"{sum(spent.values()):.2f}" for spent, _ in found.values()]
            table.add_row(f"all families (target {TARGET_US})", *sums)
            table.add_row("the whole joiner", *(f"{whole:.2f}" for _, whole in found.values()))
            console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
