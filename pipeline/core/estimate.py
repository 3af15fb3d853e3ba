"""How much memory and disk the join of labels needs, before it needs it."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from pipeline.core.durations import format_duration
from pipeline.core.join_hot import ROW_BYTES, STATED_BYTES
from pipeline.core.kernels.join_rows import ROW, STATED

CHANGELOG_BYTES = 55
"""Of a prediction and its label in the changelog, compressed: measured with random ids, 24 and 31."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a rate of predictions needs once labels have been coming for a whole label horizon; all partitions together.

    Attributes:
        open_rows: predictions that a label could still come for.
        memory_bytes: resident memory of the joiners' stores.
        changelog_bytes: disk of the brokers, for one copy.
        copy_bytes: disk of the workers, in ``worker.state_dir``.
        full_after_ms: when a partition reaches its limit of open rows; None when it never does.
    """

    open_rows: int
    memory_bytes: int
    changelog_bytes: int
    copy_bytes: int
    full_after_ms: int | None


def estimate_state(rate_per_s: float, horizon_ms: int, partitions: int, max_open_rows: int) -> Estimate:
    """Estimate the joiner's state.

    Args:
        rate_per_s: predictions a second, spread evenly over the partitions, each with a label.
        horizon_ms: the label horizon.
        partitions: of the input topics.
        max_open_rows: the limit of a partition.
    """
    rows = ceil(rate_per_s * horizon_ms / 1_000 / partitions)
    full_after_ms = int(max_open_rows * partitions / rate_per_s * 1_000) if rows > max_open_rows else None
    kept = min(rows, max_open_rows)
    return Estimate(
        open_rows=rows * partitions,
        memory_bytes=kept * (ROW_BYTES + STATED_BYTES) * partitions,
        changelog_bytes=rows * partitions * CHANGELOG_BYTES,
        # As it was predicted, and again with its label.
        copy_bytes=rows * partitions * (2 * ROW.itemsize + STATED.itemsize),
        full_after_ms=full_after_ms,
    )


def estimate_lines(rate_per_s: float, horizon_ms: int, partitions: int, max_open_rows: int) -> Iterator[str]:
    """The estimate for people.

    Args:
        rate_per_s: predictions a second, as for ``estimate_state``.
        horizon_ms: the label horizon.
        partitions: of the input topics.
        max_open_rows: the limit of a partition.

    Yields:
        Lines; one that needs somebody to act begins with ``warning:``.
    """
    found = estimate_state(rate_per_s, horizon_ms, partitions, max_open_rows)
    horizon = format_duration(horizon_ms)
    yield f"at {rate_per_s:,.0f} predictions/s, each with a label within {horizon}, {partitions} partitions in all need"
    yield f"  open predictions  {found.open_rows:,}"
    yield f"  worker memory     {_size(found.memory_bytes)}"
    yield f"  worker disk       {_size(found.copy_bytes)} in worker.state_dir"
    yield f"  broker disk       {_size(found.changelog_bytes)} of joiner-changelog, times the replication factor"
    if found.full_after_ms is not None:
        after = format_duration(max(60_000, found.full_after_ms // 60_000 * 60_000))
        yield (
            f"warning: joiner.max_open_rows = {max_open_rows:,} a partition is reached after {after}, and the worker"
            f" stops then: raise it to {ceil(1.2 * found.open_rows / partitions):,}, give the topics more"
            " partitions, or shorten windows.label_horizon"
        )


def _size(count: int) -> str:
    for unit, factor in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count / 1024:.1f} KiB"
