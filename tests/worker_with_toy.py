"""A worker process for the tests whose processors are toys: they commit what they read and can be made to fail."""

import sys
from collections.abc import Iterable, Mapping
from functools import partial

import pipeline.worker
from pipeline.config import Config, load_config
from pipeline.core.events import Flush, RecordBatch

POISON = b"poison"


class ToyTask:
    def restore(self, entries: Iterable[tuple[bytes, bytes | None]]) -> None:
        pass

    def process(self, batch: RecordBatch, now_ms: int) -> None:
        if POISON in batch.values:
            raise RuntimeError("the toy met its poison")

    def flush(self, now_ms: int, at_end: frozenset[str]) -> Flush:
        return Flush()

    def paused(self, at_end: frozenset[str]) -> frozenset[str]:
        return frozenset()

    def stats(self) -> Mapping[str, float]:
        return {"toys": 1.0}


class Toy:
    def __init__(self, name: str, inputs: tuple[str, ...]) -> None:
        self.name = name
        self.inputs = inputs
        self.tables: tuple[str, ...] = ()

    def task(self, partition: int, partitions: Mapping[str, int]) -> ToyTask:
        return ToyTask()

    def on_table(self, topic: str, key: bytes, value: bytes | None) -> None:
        pass


def make_toy(name: str, inputs: tuple[str, ...], _config: Config) -> Toy:
    return Toy(name, inputs)


def main() -> int:
    inputs = {"joiner": ("predictions", "labels", "resources"), "monitor": ("partials", "models")}
    for name, topics in inputs.items():
        pipeline.worker._MAKERS[name] = partial(make_toy, name, topics)
    return pipeline.worker.run_worker(load_config())


if __name__ == "__main__":
    sys.exit(main())
