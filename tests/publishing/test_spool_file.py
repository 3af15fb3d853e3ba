import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.publishing.columns import LABELS, PREDICTIONS
from pipeline.publishing.encoder import Place, Record
from pipeline.publishing.spool_file import ID_STEP, ForeignFileError, Held, OwnedError, SpoolFile, Stored
from pipeline.publishing.spool_folder import SpoolFolder


def label(number: int, size_bytes: int = 10) -> Record:
    return Record(LABELS, Place(number % 3, 3), b"key", str(number).encode().ljust(size_bytes), 2)


def stored(*numbers: int, size_bytes: int = 10) -> list[Stored]:
    return [Stored(number * ID_STEP, label(number, size_bytes)) for number in numbers]


def numbers_in(file: SpoolFile) -> list[int]:
    return [int(record.value) for _, record in file.read(LABELS, -1, 1_000)]


def test_what_was_appended_is_read_in_order_by_the_next_owner(tmp_path: Path) -> None:
    file = SpoolFile(tmp_path / "a", "rwc")
    other = Record(PREDICTIONS, Place(7, 8), b"\xc3\xa9", b"{}", 1)
    file.append([*stored(0, 1, 2), Stored(3 * ID_STEP, other), *stored(4)])
    file.close()
    file = SpoolFile(tmp_path / "a", "rw")
    assert file.held() == {LABELS: Held(4, 8), PREDICTIONS: Held(1, 1)}
    assert file.read(LABELS, 0, 2) == stored(1, 2)
    assert file.read(PREDICTIONS, 0, 2) == [Stored(3 * ID_STEP, other)]
    assert (file.first_id(), file.last_id()) == (0, 4 * ID_STEP)
    file.close()


def test_what_was_appended_survives_a_kill(tmp_path: Path) -> None:
    script = """
import os, signal, sys
from tests.publishing.test_spool_file import *
file = SpoolFile(Path(sys.argv[1]), "rwc")
file.append(stored(0, 1, 2))
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path / "a")], check=False)
    assert killed.returncode == -9
    file = SpoolFile(tmp_path / "a", "rw")
    assert numbers_in(file) == [0, 1, 2]
    file.close()


def test_a_file_has_one_owner(tmp_path: Path) -> None:
    path = tmp_path / "a"
    file = SpoolFile(path, "rwc")
    file.append(stored(0))
    with pytest.raises(OwnedError):
        SpoolFile(path, "rw")
    script = "from tests.publishing.test_spool_file import *; SpoolFile(Path(sys.argv[1]), 'rw')"
    refused = subprocess.run([sys.executable, "-c", script, str(path)], check=False, capture_output=True, text=True)
    assert "OwnedError" in refused.stderr
    child = os.fork()
    if child == 0:
        try:
            file.abandon()
            SpoolFile(path, "rw")
        except OwnedError:
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    file.append(stored(1))  # it is the owner still
    file.close()
    file = SpoolFile(path, "rw")
    assert numbers_in(file) == [0, 1]
    file.remove()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OwnedError):
        SpoolFile(path, "rw")


def test_records_placed_anew_stand_where_the_old_ones_stood(tmp_path: Path) -> None:
    file = SpoolFile(tmp_path / "a", "rwc")
    file.append(stored(0, 1, 2, 3))
    file.replace({ID_STEP: [label(10), label(11), label(12)], 2 * ID_STEP: []})
    assert numbers_in(file) == [0, 10, 11, 12, 3]
    file.delete([0, ID_STEP + 1])
    assert numbers_in(file) == [10, 12, 3]
    file.close()


def test_the_size_is_what_the_records_take_and_room_is_used_again(tmp_path: Path) -> None:
    file = SpoolFile(tmp_path / "a", "rwc")
    empty_bytes = file.size_bytes
    file.append(stored(*range(100), size_bytes=10_000))
    full_bytes = file.size_bytes
    assert 1_000_000 < full_bytes < 1_400_000
    file.delete(number * ID_STEP for number in range(100))
    assert file.size_bytes <= empty_bytes + 8_192
    file.append(stored(*range(100, 200), size_bytes=10_000))
    assert file.size_bytes == full_bytes
    file.close()
    assert (tmp_path / "a").stat().st_size < full_bytes + 100_000


def test_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    file = SpoolFile(tmp_path / "a", "rwc")
    file.append(stored(0))
    assert file._db is not None
    file._db.execute("PRAGMA max_page_count = 20")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        file.append(stored(1, 2, size_bytes=100_000))
    assert numbers_in(file) == [0]
    file._db.execute("PRAGMA max_page_count = 1000")
    file.append(stored(1, 2, size_bytes=100_000))
    assert numbers_in(file) == [0, 1, 2]
    file.close()


def test_files_of_the_dead_are_taken_over_oldest_first_and_those_of_other_topics_are_not(tmp_path: Path) -> None:
    folder, other = SpoolFolder(tmp_path, "a-"), SpoolFolder(tmp_path, "b/ä")
    for number in range(3):
        file = folder.make()
        file.append(stored(number))
        file.close()
    foreign = other.make()
    foreign.close()
    living = folder.make()
    taken = [folder.take_over() for _ in range(4)]
    assert [numbers_in(file) for file in taken if file] == [[0], [1], [2]]
    assert taken[3] is None
    assert other.has_files()
    assert not SpoolFolder(tmp_path, "").has_files()
    for file in (living, *filter(None, taken)):
        file.remove()
    assert not folder.has_files()
    assert other.has_files()


def test_files_that_cannot_be_read_are_kept_and_hold_nobody_up(tmp_path: Path) -> None:
    folder = SpoolFolder(tmp_path, "")
    newer, unreadable, good = folder.make(), folder.make(), folder.make()
    assert newer._db is not None
    newer._db.execute("PRAGMA user_version = 99")
    for file in (newer, unreadable, good):
        file.close()
    unreadable.path.write_bytes(b"no database at all" * 1_000)
    with pytest.raises(ForeignFileError, match="99"):
        SpoolFile(newer.path, "rw")
    taken = folder.take_over()
    assert taken is not None
    assert taken.path == good.path
    assert newer.path.exists()
    assert unreadable.path.with_suffix(".broken").read_bytes().startswith(b"no database")
    assert not unreadable.path.exists()
    taken.close()


def test_a_folder_that_is_gone_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        SpoolFolder(tmp_path / "gone", "").make()


def test_a_fork_waits_for_the_statement_under_way(tmp_path: Path) -> None:
    file = SpoolFile(tmp_path / "a", "rwc")
    with file._database():
        assert not _fork_lock_is_free()
    assert _fork_lock_is_free()
    file.close()


def _fork_lock_is_free() -> bool:
    from pipeline.publishing.spool_file import _using  # noqa: PLC0415 - the module's own lock

    free = _using.acquire(blocking=False)
    if free:
        _using.release()
    return free
