"""Records on disk: one SQLite file with one owner.

The file is in WAL mode with ``synchronous=FULL``: what ``append`` returned for survives a crash of the process and of
the machine. The owner holds SQLite's exclusive lock from opening to closing; the system takes it from a dead process.
"""

import ctypes
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Literal, NamedTuple

from pipeline.publishing.columns import STREAMS, Stream
from pipeline.publishing.encoder import Place, Record

_FORMAT = 1
_WAL_BYTES_MAX = 4 << 20
_SIDE_FILES = ("-wal", "-shm", "-journal")

ID_STEP = 1 << 20
"""From one record's id to the next one's: a record placed anew becomes as many as there are ids between."""

_TABLE = """
CREATE TABLE records (
    id INTEGER PRIMARY KEY, schema TEXT NOT NULL, rows INTEGER NOT NULL,
    partition INTEGER NOT NULL, partitions INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL)
"""
_INDEX = "CREATE INDEX records_by_schema ON records (schema, id)"
_INSERT = "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?)"

# SQLite keeps state of the whole process under locks of its own; a fork while another thread holds one would leave the
# child with a lock that nobody opens. So a fork waits for the statement, and the write to the disk, that is under way.
_using = Lock()
os.register_at_fork(before=_using.acquire, after_in_parent=_using.release, after_in_child=_using.release)


class OwnedError(Exception):
    """Another process, or another publisher of this one, owns the file."""


class ForeignFileError(Exception):
    """The file is whole and not ours to read: another version of Driftline wrote it."""


class Held(NamedTuple):
    """What a file holds of one stream.

    Attributes:
        records: how many records.
        rows: how many rows they carry.
    """

    records: int
    rows: int


class Stored(NamedTuple):
    """A record and its id."""

    id: int
    record: Record


class SpoolFile:
    """Records in the order of their ids. Used by one thread.

    Args:
        path: where it lies.
        mode: ``"rwc"`` makes the file, ``"rw"`` opens one.

    Attributes:
        path: where it lies.
        size_bytes: what its pages in use take; the files beside it come to a few MB more.

    Raises:
        OwnedError: somebody has it open, or it is gone.
        ForeignFileError: another version wrote it.
        sqlite3.Error: the disk or the file is not usable. Every other method may raise this too, and has then changed
            nothing.
    """

    def __init__(self, path: Path, mode: Literal["rw", "rwc"]) -> None:
        self.path = path
        self.size_bytes = 0
        self._db: sqlite3.Connection | None = None
        address = f"{path.absolute().as_uri()}?mode={mode}"
        with _using:
            try:
                self._db = sqlite3.connect(address, timeout=0, isolation_level=None, uri=True)
                self._open(self._db)
            except BaseException as error:
                if self._db is not None:
                    self._db.close()
                gone = mode == "rw" and not path.exists()
                if isinstance(error, sqlite3.Error) and (gone or is_error(error, sqlite3.SQLITE_BUSY)):
                    raise OwnedError(path) from error
                raise

    def _open(self, db: sqlite3.Connection) -> None:
        for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL"):
            db.execute(f"PRAGMA {pragma}")
        db.execute(f"PRAGMA journal_size_limit={_WAL_BYTES_MAX}")
        db.execute("BEGIN EXCLUSIVE")
        # Its last owner may have removed it between our opening and our lock.
        if not self.path.exists():
            raise OwnedError(self.path)
        [version] = db.execute("PRAGMA user_version").fetchone()
        if version == 0:  # new, or its maker died before the next line
            db.execute(_TABLE)
            db.execute(_INDEX)
            db.execute(f"PRAGMA user_version={_FORMAT}")
        elif version != _FORMAT:
            raise ForeignFileError(f"{self.path} has format {version}")
        db.execute("COMMIT")
        unknown = {name for [name] in db.execute("SELECT DISTINCT schema FROM records")} - STREAMS.keys()
        if unknown:
            raise ForeignFileError(f"{self.path} holds {', '.join(sorted(unknown))}")
        self.size_bytes = self._used_bytes(db)

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        with _using:
            if self._db is None:
                raise sqlite3.ProgrammingError("the spool is closed")
            yield self._db

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._database() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:  # a full disk may have rolled it back already
                    db.execute("ROLLBACK")
                raise
            self.size_bytes = self._used_bytes(db)

    @staticmethod
    def _used_bytes(db: sqlite3.Connection) -> int:
        used, free, size = (
            db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        return int((used - free) * size)

    def held(self) -> Mapping[Stream, Held]:
        """What is in the file, by stream."""
        with self._database() as db:
            found = db.execute("SELECT schema, COUNT(*), SUM(rows) FROM records GROUP BY schema").fetchall()
        return {STREAMS[schema]: Held(records, rows) for schema, records, rows in found}

    def first_id(self) -> int | None:
        """The id of the oldest record; None when the file is empty."""
        with self._database() as db:
            first: int | None = db.execute("SELECT MIN(id) FROM records").fetchone()[0]
        return first

    def last_id(self) -> int | None:
        """The id of the newest record; None when the file is empty."""
        with self._database() as db:
            last: int | None = db.execute("SELECT MAX(id) FROM records").fetchone()[0]
        return last

    def append(self, records: Sequence[Stored]) -> None:
        """Write records; afterwards they are on disk.

        Args:
            records: with ids that are not in the file, multiples of ``ID_STEP``.
        """
        with self._transaction() as db:
            db.executemany(_INSERT, map(_row, records))

    def read(self, stream: Stream, after: int, limit: int) -> list[Stored]:
        """Read records in the order of their ids.

        Args:
            stream: of this stream alone.
            after: only ids beyond this one.
            limit: so many at most.
        """
        with self._database() as db:
            rows = db.execute(
                "SELECT id, rows, partition, partitions, key, value FROM records WHERE schema = ? AND id > ? "
                "ORDER BY id LIMIT ?",
                (stream.schema, after, limit),
            ).fetchall()
        return [
            Stored(at, Record(stream, Place(partition, partitions), key, value, count))
            for at, count, partition, partitions, key, value in rows
        ]

    def replace(self, changes: Mapping[int, Sequence[Record]]) -> None:
        """Put other records where some are now.

        Args:
            changes: id to what comes in its place: that id and those after it, fewer than ``ID_STEP``.
        """
        with self._transaction() as db:
            db.executemany("DELETE FROM records WHERE id = ?", ((at,) for at in changes))
            stored = (Stored(at + part, record) for at, new in changes.items() for part, record in enumerate(new))
            db.executemany(_INSERT, map(_row, stored))

    def delete(self, ids: Iterable[int]) -> None:
        """Delete records.

        Args:
            ids: theirs.
        """
        with self._transaction() as db:
            db.executemany("DELETE FROM records WHERE id = ?", ((at,) for at in ids))

    def close(self) -> None:
        """Leave the file to whoever opens it next."""
        with _using:
            if self._db is not None:
                with closing(self._db):
                    self._db = None

    def remove(self) -> None:
        """Close the file and take it from the disk."""
        # Before the lock goes with the connection: nobody may take over a file that is about to vanish.
        self.path.unlink(missing_ok=True)
        self._close_whatever_it_says()
        for suffix in _SIDE_FILES:
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)

    def set_aside(self) -> Path:
        """Close a file that cannot be read any more and keep it under another name.

        Returns:
            Where it lies now.
        """
        aside = set_aside(self.path)
        self._close_whatever_it_says()
        return aside

    def _close_whatever_it_says(self) -> None:
        with suppress(sqlite3.Error):
            self.close()

    def abandon(self) -> None:
        """Keep the connection alive for ever: in a forked child it is the parent's, and closing it would harm that."""
        if self._db is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._db))
            self._db = None


def is_error(error: sqlite3.Error, *codes: int) -> bool:
    """Whether an error is of one of SQLite's kinds.

    Args:
        error: what SQLite raised.
        codes: primary result codes.
    """
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in codes


def set_aside(path: Path) -> Path:
    """Rename a file that SQLite cannot read, so that nobody tries it again.

    Args:
        path: where it lies.

    Returns:
        Where it lies now.
    """
    aside = path.with_suffix(".broken")
    for suffix in ("", *_SIDE_FILES):
        with suppress(FileNotFoundError):
            Path(f"{path}{suffix}").rename(f"{aside}{suffix}")
    return aside


def _row(stored: Stored) -> tuple[object, ...]:
    at, record = stored
    return (at, record.stream.schema, record.rows, *record.place, record.key, record.value)
