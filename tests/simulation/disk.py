"""The workers' local disk: real files, written by the code under test with greenlets in the place of its threads.

Between two lives of a worker its files may be lost, damaged, or set back to what they were before an earlier life.
"""

import random
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from pipeline.engine import cache_follower, state_cache
from pipeline.engine.cache_file import CacheFile
from tests.simulation.world import Process, current_process

MAX_AGE_MS = 20_000
"""Less than the simulated cleaner keeps deletions for, as with Kafka's own."""
FAULTS = ("none", "none", "none", "lost", "damaged", "damaged", "set back", "set back")


class Disk:
    """The disks of all workers, a folder each.

    Args:
        folder: where they are; emptied at first.
        seed: decides what goes wrong.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder, self._rng = folder, random.Random(f"disk {seed}")
        self.taken: Counter[str] = Counter()
        self.remove()

    def of(self, worker: str) -> str:
        """A worker's folder."""
        return str(self._folder / worker)

    def between_lives(self, worker: str) -> None:
        """What happens to a worker's files while it does not run."""
        here, before = self._folder / worker, self._folder / "before" / worker
        files = sorted(path for path in here.rglob("*") if path.is_file())
        fault = self._rng.choice(FAULTS)
        if not files or fault == "none":
            return
        self.taken[fault] += 1
        if fault == "lost":
            shutil.rmtree(here)
        elif fault == "damaged":
            self._damage(self._rng.choice(files))
        elif before.exists():
            shutil.rmtree(here)
            shutil.move(before, here)
        else:
            shutil.copytree(here, before)

    def remove(self) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _damage(self, path: Path) -> None:
        content = bytearray(path.read_bytes())
        for _ in range(self._rng.choice([1, 3, 100])):
            content[self._rng.randrange(len(content))] ^= 1 << self._rng.randrange(8)
        if self._rng.random() < 0.2:
            del content[self._rng.randrange(len(content)) :]
        path.write_bytes(content)


@contextmanager
def simulated_disk() -> Iterator[None]:
    """Have the local copy of the state written in simulated threads, and often."""
    replaced: dict[str, Any] = {
        "CacheFile": SimCacheFile,
        "EVERY_S": 1.0,
        "_BATCH_ENTRIES": 7,
        "MAX_AGE_MS": MAX_AGE_MS,
    }
    with mock.patch.multiple(state_cache, **replaced), mock.patch.object(cache_follower, "CHUNK_BYTES", 3_000):
        yield


class SimCacheFile(CacheFile):
    """A file that is let go when its process ends."""

    def __init__(self, path: Path, identity: str) -> None:
        process = _process()
        super().__init__(path, identity)
        process.on_silence.append(partial(self._let_go, process))

    def _let_go(self, process: Process) -> None:
        if not process.alive:
            self.close()


def _process() -> Process:
    process = current_process()
    assert process is not None, "only workers have disks"
    return process
