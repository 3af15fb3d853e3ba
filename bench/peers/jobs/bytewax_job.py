"""The job in Bytewax, run by Python in the peers' own environment, where ``bytewax`` is.

python bytewax_job.py '{"bootstrap_servers": …, "predictions": …, "labels": …, "windows": …, "horizon_ms": …}'

It commits nothing that could be watched from outside, so it measures itself, as the floor does: from the first records
in hand until it has read everything and come to its end. Its figures are the last line it prints.
"""

import json
import resource
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import bytewax.operators as op
import bytewax.operators.windowing as win
import orjson
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.operators.windowing import EventClock, TumblingWindower
from bytewax.testing import run_main

Counts = tuple[int, int]
"""Labelled predictions, and of these the correct ones."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WINDOW = timedelta(minutes=1)

_began: list[tuple[float, float]] = []


def decoded(messages: list[KafkaSourceMessage[bytes, bytes]]) -> list[tuple[str, dict[str, Any]]]:
    if not _began:
        _began.append((time.perf_counter(), time.process_time()))
    return [(message.key.decode(), orjson.loads(message.value)) for message in messages]


def judged(pair: tuple[str, tuple[dict[str, Any], dict[str, Any]]]) -> tuple[str, tuple[datetime, int]]:
    prediction, label = pair[1]
    at = datetime.fromtimestamp(prediction["timestamp_ms"] / 1_000, UTC)
    return f"{prediction['model']}|{prediction['model_version']}", (at, int(prediction["prediction"] == label["label"]))


def published(window: tuple[str, tuple[int, Counts]]) -> KafkaSinkMessage[bytes, bytes]:
    key, (number, (labelled, correct)) = window
    event = {"window_start_ms": number * 60_000, "predictions": labelled, "labelled": labelled, "correct": correct}
    return KafkaSinkMessage(key.encode(), orjson.dumps(event))


def flow_of(given: dict[str, Any]) -> Dataflow:
    brokers = [given["bootstrap_servers"]]
    flow = Dataflow("bench")
    sides = []
    for name in ("predictions", "labels"):
        source = KafkaSource(brokers, [given[name]], tail=False)
        sides.append(op.flat_map_batch(f"decode_{name}", op.input(name, flow, source), decoded))
    joined = op.map("judge", op.join("join", *sides, emit_mode="complete"), judged)
    windows = win.fold_window(
        "count",
        joined,
        EventClock(lambda item: item[0], wait_for_system_duration=timedelta(milliseconds=given["horizon_ms"])),
        TumblingWindower(_WINDOW, align_to=_EPOCH),
        lambda: (0, 0),
        lambda counts, item: (counts[0] + 1, counts[1] + item[1]),
        lambda one, other: (one[0] + other[0], one[1] + other[1]),
    )
    messages = op.map("publish", windows.down, published)
    op.output("windows", messages, KafkaSink(brokers, given["windows"]))
    return flow


def main() -> None:
    run_main(flow_of(json.loads(sys.argv[1])))
    wall, cpu = _began[0]
    figures = {
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
