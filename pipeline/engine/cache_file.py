"""One changelog partition on the local disk: an SQLite file that is whole or thrown away.

The file holds the newest value of each key, and the offset up to which it holds everything. Both change in one SQLite
transaction, so a crash leaves the file as it was after an earlier one. Beyond what SQLite itself notices, each entry
has a checksum, and their sum and number are part of a seal with the offset and the file's identity: an entry that is
damaged, missing or older than the offset shows when the file is read.

Only one process can have a file open. A predecessor that was stopped and wakes up again therefore never writes into
the file of its successor.
"""

import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

from pipeline.engine.changelog import Entry

FORMAT = 1
"""Rises when this file's tables, or the meaning of what stands in them, change."""

_SUM_MASK = (1 << 62) - 1
_TABLES = """
create table if not exists entries (key blob primary key, value blob not null, checksum integer not null);
create table if not exists head (
  identity text, position integer, written_ms integer, entries integer, sum integer, seal integer
);
"""


_FAULTS = (sqlite3.Error, UnicodeDecodeError)
"""What a broken disk or a damaged file may raise; of damaged names of columns Python cannot make texts."""


class CacheUnusableError(Exception):
    """The file cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a file says about itself.

    Attributes:
        identity: whose entries these are.
        position: they are the changelog up to this offset; -1 while that is not known.
        written_ms: the wall clock at that moment.
        entries: how many there are.
        sum: of their checksums.
    """

    identity: str
    position: int = -1
    written_ms: int = 0
    entries: int = 0
    sum: int = 0

    @property
    def seal(self) -> int:
        """A checksum over all of it."""
        return zlib.crc32(repr((FORMAT, *astuple(self))).encode())


class CacheFile:
    """A file that is open, and nobody else's.

    Args:
        path: where it is, or will be; its folder exists.
        identity: whose entries it holds. Entries of anybody else are deleted.

    Raises:
        CacheUnusableError: another process has it, or the disk does not let us.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self.path = path
        self.rejected: str | None = None
        """Why what the file held was thrown away, if it was."""
        try:
            self._database = self._open()
        except _FAULTS as error:
            if not _is_damage(error):
                raise CacheUnusableError(f"{path}: {error}") from error
            self.rejected = f"damaged ({error})"
            self._remove()
            try:
                self._database = self._open()
            except _FAULTS as second:
                raise CacheUnusableError(f"{path}: {second}") from second
        self.head = Head(identity)
        try:
            self._read_head(identity)
        except _FAULTS as error:
            self.close()
            raise CacheUnusableError(f"{path}: {error}") from error

    def entries(self) -> Iterator[tuple[bytes, bytes]]:
        """Read everything, in the order in which it was last written.

        Yields:
            Key and value.

        Raises:
            CacheUnusableError: in the middle or at the end: the file is damaged, and what it gave is worth nothing.
        """
        count = total = 0
        try:
            for key, value, checksum in self._database.execute(
                "select key, value, checksum from entries order by rowid"
            ):
                whole = isinstance(key, bytes) and isinstance(value, bytes)  # SQLite reads any type from damaged bytes
                if not whole or checksum != _checksum(key, value):
                    raise CacheUnusableError("damaged: an entry's checksum is wrong")
                count += 1
                total += checksum
                yield key, value
        except _FAULTS as error:
            raise CacheUnusableError(f"damaged ({error})") from error
        if (count, total & _SUM_MASK) != (self.head.entries, self.head.sum):
            raise CacheUnusableError("damaged: entries are missing or old")

    def write(self, entries: Iterable[Entry], position: int, now_ms: int) -> None:
        """Apply changelog entries in log order; all of it or, on an error, nothing.

        Args:
            entries: key and value; a None value deletes the key.
            position: the offset up to which the file then holds everything; -1 where that is not known yet.
            now_ms: the wall clock.

        Raises:
            CacheUnusableError: the disk is full or broken.
        """
        count, total = self.head.entries, self.head.sum
        execute = self._database.execute
        try:
            execute("begin")
            for key, value in entries:
                old = execute("select checksum from entries where key = ?", (key,)).fetchone()
                if old:
                    count, total = count - 1, total - old[0]
                    if value is None:
                        execute("delete from entries where key = ?", (key,))
                if value is not None:
                    checksum = _checksum(key, value)
                    count, total = count + 1, total + checksum
                    execute("insert or replace into entries values (?, ?, ?)", (key, value, checksum))
            head = Head(self.head.identity, position, now_ms, count, total & _SUM_MASK)
            self._write_head(head)
            execute("commit")
            self.head = head
        except _FAULTS as error:
            raise CacheUnusableError(f"{self.path}: {error}") from error

    def clear(self) -> None:
        """Throw away what it holds.

        Raises:
            CacheUnusableError: the disk does not let us.
        """
        try:
            # SQLite deletes all rows of a table at once, without reading them.
            self._database.execute("begin")
            self._database.execute("delete from entries")
            self._write_head(Head(self.head.identity))
            self._database.execute("commit")
            self.head = Head(self.head.identity)
        except _FAULTS as error:
            raise CacheUnusableError(f"{self.path}: {error}") from error

    def close(self) -> None:
        """Let go of the file; what was not written is not in it."""
        try:
            self._database.close()
        except _FAULTS:
            return  # a full disk: the last transaction is undone at the next opening

    def _open(self) -> sqlite3.Connection:
        # One thread reads it, then another writes it; they hand it over, never share it.
        database = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            database.execute("pragma page_size = 16384")  # values are large: measured, half the time of the default
            database.execute("pragma locking_mode = exclusive")
            database.execute("pragma journal_mode = wal")
            database.execute("pragma synchronous = normal")  # whole after a power cut, perhaps a little older
            database.execute("pragma journal_size_limit = 67108864")
            database.executescript(f"begin exclusive; {_TABLES} commit;")
        except _FAULTS:
            database.close()
            raise
        return database

    def _read_head(self, identity: str) -> None:
        rows = self._database.execute("select identity, position, written_ms, entries, sum, seal from head").fetchall()
        if not rows:
            self.clear()
            return
        *fields, seal = rows[0]
        found = Head(*fields)
        if len(rows) > 1 or seal != found.seal:
            self.rejected = "damaged: its head is not sealed"
        elif found.identity != identity:
            self.rejected = f"it belongs to {found.identity}, not to {identity}"
        elif found.position < 0:
            self.rejected = "it was not finished"
        if self.rejected:
            self.clear()
        else:
            self.head = found

    def _write_head(self, head: Head) -> None:
        self._database.execute("delete from head")
        self._database.execute("insert into head values (?, ?, ?, ?, ?, ?)", (*astuple(head), head.seal))

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm", "-journal"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)


def _checksum(key: bytes, value: bytes) -> int:
    return zlib.crc32(value, zlib.crc32(key))


def _is_damage(error: Exception) -> bool:
    if not isinstance(error, sqlite3.Error):
        return True
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
