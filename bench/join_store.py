"""``python -m bench.join_store``: what the join store costs with ever more open predictions, on one core.

Predictions come in batches of 20,000 with rising times; then labels come for the newest of them, which are in memory,
and for the oldest, which are on disk. CPU time of the whole process, RocksDB's threads and the changelog rows included.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from pipeline.core.join import JoinLimits, JoinStore
from pipeline.core.store_rows import StoreRows
from pipeline.engine.cold_rows import ColdFolder

RESULTS = Path(__file__).parent / "results" / "join_store.json"
BATCH = 20_000
BATCHES_A_COMMIT = 2
LABELS = 1_000_000
PER_MS = 20
"""Predictions a millisecond of event time."""


@dataclass(frozen=True, slots=True)
class Round:
    """What one size showed.

    Attributes:
        rows: open predictions.
        cold_rows: of these on disk.
        fill_us: CPU microseconds a prediction while the store filled up, all in all.
        predict_us: the same for the last million.
        hot_label_us: CPU microseconds a label of a prediction in memory.
        cold_label_us: the same for one on disk.
        longest_batch_ms: wall milliseconds of the slowest batch of predictions.
        resident_mb: of the process at the end.
        peak_mb: the most it ever was.
        disk_bytes_per_row: of a row on disk.
        restore_rows_per_s: rows a CPU second, taken back from changelog records.
    """

    rows: int
    cold_rows: int
    fill_us: float
    predict_us: float
    hot_label_us: float
    cold_label_us: float
    longest_batch_ms: float
    resident_mb: float
    peak_mb: float
    disk_bytes_per_row: float
    restore_rows_per_s: float


def keys_of(numbers: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The key of each prediction: splitmix64 of its number, twice."""
    found = []
    for salt in (0, 1 << 40):
        x = (numbers.astype(np.uint64) + np.uint64(salt)) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        found.append(x ^ (x >> np.uint64(31)))
    return np.stack(found, axis=1)


class Load:
    """Feeds a store."""

    def __init__(self, store: JoinStore) -> None:
        self.store = store
        self.sequence = 0
        self.batches = 0
        self.records: list[bytes] | None = None

    def predict(self, start: int, count: int) -> None:
        numbers = np.arange(start, start + count)
        times, codes = numbers // PER_MS, np.zeros(count, np.int32)
        duplicate, _ = self.store.insert_predictions(keys_of(numbers), times, times, codes, codes, numbers)
        assert not duplicate.any()
        self._commit()

    def label(self, numbers: NDArray[np.int64], now_ms: int) -> None:
        count = len(numbers)
        times, codes = np.full(count, now_ms), np.zeros(count, np.int32)
        sequence = np.arange(self.sequence, self.sequence + count)
        kind = np.zeros(count, np.uint8)
        joined, _ = self.store.insert_labels(
            keys_of(numbers), times, times, codes, kind, numbers, sequence=sequence, final_ms=-1
        )
        assert len(joined) == count
        self.sequence += count
        self._commit()

    def _commit(self) -> None:
        self.batches += 1
        if self.batches % BATCHES_A_COMMIT == 0:
            parts = [part.encode() for part in self.store.take_changed(5_000)]
            if self.records is not None:
                self.records += parts


def measure(rows: int, memory_mb: int, folder: Path) -> Round:
    """One size, in a process of its own."""
    limits = JoinLimits(horizon_ms=10**12, early_ms=10**6, max_rows=2 * 10**9, memory_bytes=memory_mb << 20)
    warm = Load(JoinStore(limits, ColdFolder(folder).blocks()))
    warm.predict(0, BATCH)
    warm.label(np.arange(BATCH), 10**6)
    load = Load(JoinStore(limits, ColdFolder(folder).blocks()))
    began_s, longest_s, last_s = time.process_time(), 0.0, 0.0
    for start in range(0, rows, BATCH):
        if start == max(0, rows - LABELS):
            last_s = time.process_time()
        wall_s = time.perf_counter()
        load.predict(start, BATCH)
        longest_s = max(longest_s, time.perf_counter() - wall_s)
    fill_s, last_s = time.process_time() - began_s, time.process_time() - last_s
    chance, labels = np.random.default_rng(3), min(LABELS, rows // 4)
    hot = chance.permutation(np.arange(rows - labels, rows))
    hot_s = timed(load, hot, rows // PER_MS)
    cold = chance.choice(max(load.store.cold_rows // 2, rows // 2), labels, replace=False)
    cold_rows, cold_bytes = load.store.cold_rows, load.store.cold_bytes
    cold_s = timed(load, cold, rows // PER_MS)
    memory = psutil.Process().memory_info().rss / 2**20
    with Path("/proc/self/status").open() as lines:
        peak_kb = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    del load.store
    return Round(
        rows=rows,
        cold_rows=cold_rows,
        fill_us=fill_s / rows * 1e6,
        predict_us=last_s / min(LABELS, rows) * 1e6,
        hot_label_us=hot_s / labels * 1e6,
        cold_label_us=cold_s / labels * 1e6,
        longest_batch_ms=longest_s * 1e3,
        resident_mb=memory,
        peak_mb=peak_kb / 1024,
        disk_bytes_per_row=cold_bytes / max(1, cold_rows),
        restore_rows_per_s=restore(limits, folder, min(rows, 20_000_000)),
    )


def timed(load: Load, numbers: NDArray[np.int64], now_ms: int) -> float:
    """CPU seconds that some labels take."""
    began_s = time.process_time()
    for start in range(0, len(numbers), BATCH):
        load.label(numbers[start : start + BATCH], now_ms)
    return time.process_time() - began_s


def restore(limits: JoinLimits, folder: Path, rows: int) -> float:
    """Rows that come back from changelog records, a CPU second."""
    store, cpu_s = JoinStore(limits, ColdFolder(folder).blocks()), 0.0
    source = Load(JoinStore(JoinLimits(10**12, 10**6, memory_bytes=256 << 20)))
    for start in range(0, rows, 50 * BATCH):
        source.records, source.store = [], JoinStore(JoinLimits(10**12, 10**6, memory_bytes=256 << 20))
        for batch in range(start, min(rows, start + 50 * BATCH), BATCH):
            source.predict(batch, BATCH)
        began_s = time.process_time()
        store.restore(StoreRows.decode(record) for record in source.records)
        cpu_s += time.process_time() - began_s
    assert len(store) == rows
    return rows / cpu_s


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.join_store", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="the largest number of open predictions")
    parser.add_argument("--memory-mb", type=int, default=1_536)
    parser.add_argument("--only", action="store_true", help="this number alone, in this process")
    parser.add_argument("--folder", type=Path, default=None, help="where the disk tier goes")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="driftline-bench-", dir=arguments.folder) as folder:
        if arguments.only:
            sys.stdout.write(json.dumps(asdict(measure(arguments.rows, arguments.memory_mb, Path(folder)))))
            return 0
        rounds = []
        for rows in [size for size in (10**6, 10**7, 10**8) if size <= arguments.rows]:
            command = [sys.executable, "-m", "bench.join_store", "--only", "--rows", str(rows)]
            command += ["--memory-mb", str(arguments.memory_mb), "--folder", folder]
            found = subprocess.run(command, check=True, capture_output=True, text=True)
            rounds.append(json.loads(found.stdout))
    table = Table("", title=f"Join store, joiner.memory_mb = {arguments.memory_mb}, one core")
    for one in rounds:
        table.add_column(f"{one['rows'] / 1e6:,.0f} M", justify="right")
    for name in Round.__slots__[1:]:
        table.add_row(name, *(f"{one[name]:,.2f}" if one[name] < 1_000 else f"{one[name]:,.0f}" for one in rounds))
    Console().print(table)
    RESULTS.write_text(json.dumps({"memory_mb": arguments.memory_mb, "rounds": rounds}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
