"""How much memory and disk the join of labels needs, before it needs it."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from pipeline.core.durations import format_duration
from pipeline.core.join import COLD_SHARE
from pipeline.core.join_cold import DISK_BYTES, MEMORY_BYTES
from pipeline.core.join_hot import ROW_BYTES, STATED_BYTES
from pipeline.core.kernels.join_rows import ROW, STATED

CHANGELOG_BYTES = 55
"""Of a prediction and its label in the changelog, compressed: measured with random ids, 24 and 31."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a rate of predictions needs once labels have been coming for a whole label horizon; all partitions together.

    Attributes:
        open_rows: predictions that a label could still come for.
        hot_rows: of these in memory, where one worker has all partitions.
        memory_bytes: what these and the index of the others take in memory.
        cold_bytes: disk of the workers for the others.
        copy_bytes: disk of the workers for the copy of the changelog.
        changelog_bytes: disk of the brokers, for one copy.
        full_after_ms: when a partition reaches its limit of open rows; None when it never does.
        memory_full_after_ms: when the memory for the index of the others is in use, likewise.
        memory_needed_bytes: the memory with which that would not happen.
    """

    open_rows: int
    hot_rows: int
    memory_bytes: int
    cold_bytes: int
    copy_bytes: int
    changelog_bytes: int
    full_after_ms: int | None
    memory_full_after_ms: int | None
    memory_needed_bytes: int


def estimate_state(
    rate_per_s: float, horizon_ms: int, partitions: int, max_open_rows: int, memory_bytes: int
) -> Estimate:
    """Estimate the joiner's state.

    Args:
        rate_per_s: predictions a second, spread evenly over the partitions, each with a label.
        horizon_ms: the label horizon.
        partitions: of the input topics.
        max_open_rows: the limit of a partition.
        memory_bytes: what a worker may use for them.
    """
    rows = ceil(rate_per_s * horizon_ms / 1_000 / partitions) * partitions
    hot_bytes = memory_bytes - memory_bytes // COLD_SHARE
    hot_rows = min(rows, hot_bytes // (ROW_BYTES + STATED_BYTES))
    cold_rows = rows - hot_rows
    most = hot_rows + int(memory_bytes // COLD_SHARE / MEMORY_BYTES)
    return Estimate(
        open_rows=rows,
        hot_rows=hot_rows,
        memory_bytes=hot_rows * (ROW_BYTES + STATED_BYTES) + (memory_bytes // COLD_SHARE if cold_rows else 0),
        # As it was predicted, and again with its label.
        cold_bytes=2 * cold_rows * DISK_BYTES,
        copy_bytes=rows * (2 * ROW.itemsize + STATED.itemsize),
        changelog_bytes=rows * CHANGELOG_BYTES,
        full_after_ms=_after_ms(max_open_rows * partitions, rows, rate_per_s),
        memory_full_after_ms=_after_ms(most, rows, rate_per_s),
        memory_needed_bytes=ceil(1.2 * COLD_SHARE * MEMORY_BYTES * rows),
    )


def _after_ms(limit: int, rows: int, rate_per_s: float) -> int | None:
    return int(limit / rate_per_s * 1_000) if rows > limit else None


def estimate_lines(
    rate_per_s: float, horizon_ms: int, partitions: int, max_open_rows: int, memory_mb: int
) -> Iterator[str]:
    """The estimate for people.

    Args:
        rate_per_s: predictions a second, as for ``estimate_state``.
        horizon_ms: the label horizon.
        partitions: of the input topics.
        max_open_rows: the limit of a partition.
        memory_mb: what a worker may use for them, in MiB.

    Yields:
        Lines; one that needs somebody to act begins with ``warning:``.
    """
    found = estimate_state(rate_per_s, horizon_ms, partitions, max_open_rows, memory_mb << 20)
    horizon = format_duration(horizon_ms)
    cold_rows = found.open_rows - found.hot_rows
    yield f"at {rate_per_s:,.0f} predictions/s, each with a label within {horizon}, {partitions} partitions in all need"
    yield f"  open predictions  {found.open_rows:,}, {found.hot_rows:,} in memory and {cold_rows:,} on disk"
    yield f"  worker memory     {format_size(found.memory_bytes)}, where one worker has them all"
    yield f"  worker disk       {format_size(found.cold_bytes + found.copy_bytes)} in worker.state_dir"
    yield f"  broker disk       {format_size(found.changelog_bytes)} of joiner-changelog, times the replication factor"
    if found.memory_full_after_ms is not None:
        yield (
            f"warning: joiner.memory_mb = {memory_mb:,} is in use after {_after(found.memory_full_after_ms)} where one"
            f" worker has all partitions, and the worker stops then: raise it to {found.memory_needed_bytes >> 20:,},"
            " run more workers, or shorten windows.label_horizon"
        )
    if found.full_after_ms is not None:
        yield (
            f"warning: joiner.max_open_rows = {max_open_rows:,} a partition is reached after"
            f" {_after(found.full_after_ms)}, and the worker stops then: raise it to"
            f" {ceil(1.2 * found.open_rows / partitions):,}, give the topics more partitions, or shorten"
            " windows.label_horizon"
        )


def _after(duration_ms: int) -> str:
    return format_duration(max(60_000, duration_ms // 60_000 * 60_000))


def format_size(count: float) -> str:
    """Bytes for people.

    Args:
        count: how many.
    """
    for unit, factor in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count / 1024:.1f} KiB"
