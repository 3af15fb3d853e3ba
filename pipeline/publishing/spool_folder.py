"""The folder that publishers share: each has a file of its own, and takes over those of the dead."""

import logging
import os
import sqlite3
from pathlib import Path
from time import time_ns
from urllib.parse import quote

from pipeline.publishing.spool_file import ForeignFileError, OwnedError, SpoolFile, is_error, set_aside

logger = logging.getLogger("pipeline.publisher")


class SpoolFolder:
    """The spool files of the publishers with one topic prefix.

    A file's name begins with the prefix of its topics: what was meant for other topics is left alone.

    Args:
        folder: where the files lie.
        topic_prefix: the publisher's.
    """

    def __init__(self, folder: Path, topic_prefix: str) -> None:
        self._folder = folder
        self._prefix = quote(topic_prefix, safe="")
        self._foreign: set[Path] = set()

    def has_files(self) -> bool:
        """Whether there is any file, of the living or the dead."""
        return bool(self._paths())

    def _paths(self) -> list[Path]:
        found = (path for path in self._folder.glob("*@*.sqlite3") if path.name.rpartition("@")[0] == self._prefix)
        return sorted(found)  # the name says when it was made

    def make(self) -> SpoolFile:
        """Make a file.

        Raises:
            sqlite3.Error: the disk is full, or the folder is gone.
        """
        while True:
            name = f"{self._prefix}@{time_ns():020d}-{os.urandom(4).hex()}.sqlite3"
            try:
                return SpoolFile(self._folder / name, "rwc")
            except OwnedError:
                continue  # somebody took it for a dead one's in the moment before we had its lock

    def take_over(self) -> SpoolFile | None:
        """Open the oldest file whose owner is dead; None when there is none.

        A file that SQLite cannot read is renamed, and one of another version left where it is; both are logged.
        """
        for path in self._paths():
            if path in self._foreign:
                continue
            try:
                return SpoolFile(path, "rw")
            except OwnedError:
                continue
            except ForeignFileError as error:
                self._foreign.add(path)
                logger.warning("%s: left for a publisher of its version", error)
            except sqlite3.Error as error:
                if is_error(error, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                    logger.warning("a spool cannot be read (%s) and is set aside: %s", error, set_aside(path))
        return None
