"""How far a restore has come."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipeline.engine.kafka import log

SAY_EVERY_S = 3.0


@dataclass(frozen=True, slots=True)
class RestoreProgress:
    """A snapshot of a restore.

    Attributes:
        records: changelog records read so far, those of the local copy included.
        read_bytes: bytes of their keys and values.
        share: of the changelogs' offsets that are behind us, 0 to 1.
        records_per_s: since the restore began.
        partitions_left: partitions still to do.
    """

    records: int = 0
    read_bytes: int = 0
    share: float = 0.0
    records_per_s: float = 0.0
    partitions_left: int = 0


class RestoreMeter:
    """Counts what a restore reads, and logs it every few seconds.

    Args:
        processor: the processor's name.
        ends: where the changelogs end, by partition.
        monotonic_s: a clock for durations.
    """

    def __init__(self, processor: str, ends: Mapping[int, int], monotonic_s: Callable[[], float]) -> None:
        self._processor, self._ends, self._monotonic_s = processor, ends, monotonic_s
        self._began_s = self._said_s = monotonic_s()
        self._positions = dict.fromkeys(ends, 0)
        self.records = dict.fromkeys(ends, 0)
        """Records read, by partition."""
        self._bytes = 0

    def read(self, partition: int, position: int, records: int, size: int) -> None:
        """Count what was read.

        Args:
            partition: of which changelog partition.
            position: the offset that it has come to.
            records: how many.
            size: bytes.
        """
        self._positions[partition] = min(position, self._ends[partition])
        self.records[partition] += records
        self._bytes += size

    def forget(self, partition: int) -> None:
        """A partition begins anew.

        Args:
            partition: its number.
        """
        self._positions[partition] = self.records[partition] = 0

    def progress(self) -> RestoreProgress:
        """How far it is; logs that now and then."""
        now_s = self._monotonic_s()
        records, all_offsets = sum(self.records.values()), sum(self._ends.values())
        took_s = max(now_s - self._began_s, 1e-9)
        left = sum(self._positions[partition] < end for partition, end in self._ends.items())
        share = sum(self._positions.values()) / all_offsets if all_offsets else 1.0
        if now_s - self._said_s >= SAY_EVERY_S:
            self._said_s = now_s
            log.info(
                "%s: restoring, %.0f %% done, %d of %d partitions left, %d records, %.0f records/s, %.1f MB/s",
                self._processor, 100 * share, left, len(self._ends), records, records / took_s,
                self._bytes / took_s / 1e6,
            )  # fmt: skip
        return RestoreProgress(records, self._bytes, share, records / took_s, left)
