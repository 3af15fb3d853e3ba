"""The disk part of the joiner's cold tier: blocks of rows in RocksDB, a column family a segment.

A segment is written once, as one sorted file that RocksDB takes in whole, and goes in one call. So there is no log, no
compaction and next to nothing in RocksDB's own memory. Nothing here needs to survive the process: the changelog is the
truth, and what a killed process left behind is removed at the next start on the machine.
"""

import contextlib
import fcntl
import logging
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from rocksdict import (
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    IngestExternalFileOptions,
    Options,
    Rdict,
    SstFileWriter,
)

from pipeline.config import Config
from pipeline.core.errors import StartupError
from pipeline.core.events import Int64s

logger = logging.getLogger(__name__)

_CACHE_BYTES = 4 << 20  # blocks are seldom read twice; the system's page cache has the rest
_OPEN_FILES = 512
_KEY_BYTES = 4
_LOCK = "lock"


class ColdFolder:
    """One process's place for the rows of its partitions; made when the first of them is needed.

    Args:
        base: a directory that all workers of a machine may share.
    """

    def __init__(self, base: Path) -> None:
        self._base = base
        self._own: Path | None = None
        self._made = 0
        self._making = threading.Lock()  # partitions are restored side by side
        if base.is_dir():
            with contextlib.suppress(OSError):
                _remove_leftovers(base)

    def blocks(self) -> "RocksBlocks":
        """A place for the rows of one partition."""
        return RocksBlocks(self)

    def make(self) -> Path:
        """A new empty directory, below one that is locked for as long as this object is there.

        Raises:
            OSError: the disk does not let us.
        """
        with self._making:
            if self._own is None:
                self._base.mkdir(parents=True, exist_ok=True)
                with _locked(self._base / _LOCK):
                    own = Path(tempfile.mkdtemp(prefix="rows-", dir=self._base))
                    lock = (own / _LOCK).open("w")
                    fcntl.flock(lock, fcntl.LOCK_EX)
                self._own = own
                weakref.finalize(self, _release, own, lock)
            self._made += 1
            folder = self._own / str(self._made)
            folder.mkdir()
            return folder


def open_cold_folder(config: Config) -> ColdFolder:
    """The place that the configuration names: below ``worker.state_dir``, else below the system's temporary directory.

    Args:
        config: the configuration.
    """
    state_dir = config.worker.state_dir
    if state_dir:
        return ColdFolder(Path(state_dir).expanduser() / "cold")
    return ColdFolder(Path(tempfile.gettempdir()) / f"driftline-cold-{os.getuid()}")


@dataclass(slots=True)
class _Opened:
    """What has to be let go of in the end."""

    folder: Path
    database: Rdict
    families: dict[int, Rdict] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)


class RocksBlocks:
    """Blocks of one partition on disk; they go with this object.

    Args:
        place: makes its directory, at the first segment.
    """

    def __init__(self, place: ColdFolder) -> None:
        self._place = place
        self._cache = Cache(_CACHE_BYTES)
        self._opened: _Opened | None = None

    def write(self, segment: int, data: memoryview, bounds: Int64s) -> None:
        """Keep a segment.

        Args:
            segment: its number, not in use.
            data: its blocks one behind the other.
            bounds: int64[blocks + 1], where each begins, in bytes, and the end.

        Raises:
            StartupError: the disk is full or broken.
        """
        with _explained("writing"):
            opened = self._open()
            path = opened.folder / f"{segment}.new"
            writer = SstFileWriter(self._options())
            writer.open(str(path))
            for number, (start, end) in enumerate(pairwise(bounds.tolist())):
                writer[number.to_bytes(_KEY_BYTES, "big")] = bytes(data[start:end])
            writer.finish()
            opened.sizes[segment] = path.stat().st_size
            family = opened.database.create_column_family(str(segment), self._options())
            ingest = IngestExternalFileOptions()
            ingest.set_move_files(True)
            family.ingest_external_file([str(path)], ingest)
            opened.families[segment] = family

    def read(self, segment: int, blocks: Int64s) -> bytes:
        """Blocks of a segment, one behind the other.

        Args:
            segment: its number.
            blocks: int64[b], which; rising.

        Raises:
            StartupError: the disk is broken.
        """
        keys = [number.to_bytes(_KEY_BYTES, "big") for number in blocks.tolist()]
        with _explained("reading"):
            values: list[bytes] = self._open().families[segment].get(keys)  # type: ignore[assignment] # a list for a list
            return b"".join(values)

    def drop(self, segment: int) -> None:
        """Forget a segment.

        Args:
            segment: its number; it may be used again.

        Raises:
            StartupError: the disk is broken.
        """
        with _explained("removing"):
            opened = self._open()
            del opened.families[segment], opened.sizes[segment]
            opened.database.drop_column_family(str(segment))

    def size_bytes(self) -> int:
        """The disk space that is taken."""
        return sum(self._opened.sizes.values()) if self._opened else 0

    def _open(self) -> _Opened:
        if self._opened is None:
            folder = self._place.make()
            self._opened = _Opened(folder, Rdict(str(folder), self._options()))
            weakref.finalize(self, _remove, self._opened)
        return self._opened

    def _options(self) -> Options:
        options = Options(raw_mode=True)
        options.create_if_missing(True)  # noqa: FBT003 - the library takes a bare flag
        options.set_disable_auto_compactions(True)
        options.set_compression_type(DBCompressionType.lz4())
        options.set_max_open_files(_OPEN_FILES)
        options.set_write_buffer_size(64 << 10)  # nothing is ever written into it
        options.set_keep_log_file_num(1)
        options.set_stats_dump_period_sec(0)
        options.set_stats_persist_period_sec(0)
        table = BlockBasedOptions()
        table.set_block_cache(self._cache)
        options.set_block_based_table_factory(table)
        return options


@contextlib.contextmanager
def _explained(doing: str) -> Iterator[None]:
    """Turn whatever the disk or RocksDB says into an error that ends the worker and names the mend."""
    try:
        yield
    except Exception as error:
        raise StartupError(
            f"{doing} the joiner's rows on disk failed: {error}; free the disk below worker.state_dir, or raise"
            " joiner.memory_mb so that fewer rows go there. The state in Kafka is intact"
        ) from error


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[Any]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock


def _remove_leftovers(base: Path) -> None:
    """Remove the directories that no process holds a lock in."""
    with _locked(base / _LOCK):
        for folder in base.glob("rows-*"):
            with contextlib.suppress(OSError), (folder / _LOCK).open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
                logger.info("removed rows that a killed worker left in %s", folder)


def _release(own: Path, lock: Any) -> None:
    shutil.rmtree(own, ignore_errors=True)
    lock.close()


def _remove(opened: _Opened) -> None:
    opened.families.clear()
    with contextlib.suppress(Exception):  # what cannot be closed is removed all the same
        opened.database.close()
    shutil.rmtree(opened.folder, ignore_errors=True)
