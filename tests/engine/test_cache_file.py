"""The file of the local copy: what is read from it is what was written last, whatever happened before; or nothing."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.engine.cache_file import CacheFile, CacheUnusableError
from pipeline.engine.changelog import Entry

ROOT = Path(__file__).parents[2]
ME = "cluster c topic t 1 partition 0"

keys = st.integers(0, 5).map(lambda number: b"key-%d" % number)
entries = st.lists(st.tuples(keys, st.none() | st.binary(max_size=40)), max_size=8)


def newest(writes: Sequence[Sequence[Entry]]) -> list[Entry]:
    """The oracle: the newest value of each key, in the order of its writing."""
    held: dict[bytes, bytes | None] = {}
    for key, value in (entry for write in writes for entry in write):
        held.pop(key, None)
        if value is not None:
            held[key] = value
    return list(held.items())


def read(path: Path, identity: str = ME) -> list[Entry]:
    file = CacheFile(path, identity)
    try:
        return list(file.entries())
    finally:
        file.close()


def written(path: Path, writes: Sequence[Sequence[Entry]]) -> None:
    file = CacheFile(path, ME)
    for number, write in enumerate(writes):
        file.write(write, number, 1_000 + number)
    file.close()


@settings(max_examples=30)
@given(st.lists(entries, max_size=5))
def test_it_holds_the_newest_value_of_each_key_in_the_logs_order(
    tmp_path_factory: pytest.TempPathFactory, writes: list[list[Entry]]
) -> None:
    path = tmp_path_factory.mktemp("cache") / "0.sqlite"
    written(path, writes)
    file = CacheFile(path, ME)
    assert list(file.entries()) == newest(writes)
    assert file.head.position == len(writes) - 1
    file.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "0.sqlite"
    written(path, [[(b"rows/%d" % n, bytes([n]) * 5_000) for n in range(first, first + 20)] for first in (0, 10)])
    return path


@settings(max_examples=150)
@given(st.data())
def test_a_damaged_one_gives_the_same_or_is_noticed(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(whole.read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        # Heads of pages hold the structure, where damage does most.
        place = data.draw(st.one_of(st.integers(0, len(content) - 1), st.integers(0, 200)))
        content[place] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("damaged") / "0.sqlite"
    path.write_bytes(content)
    try:
        file = CacheFile(path, ME)
    except CacheUnusableError:
        return
    try:
        found = list(file.entries())
    except CacheUnusableError:
        return
    finally:
        file.close()
    if file.head.position >= 0:
        assert (file.head.position, found) == (1, read(whole))
    else:
        assert found == []


@pytest.mark.parametrize("column", ["key", "value", "checksum"])
def test_an_entry_whose_type_is_damaged_is_noticed(tmp_path: Path, column: str) -> None:
    path = tmp_path / "0.sqlite"
    written(path, [[(b"a", b"1"), (b"b", b"2")]])
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"update entries set {column} = 'text' where key = ?", (b"a",))  # as if the page said so
    file = CacheFile(path, ME)
    with closing(file), pytest.raises(CacheUnusableError, match="damaged"):
        list(file.entries())


def test_a_damaged_one_can_be_used_again(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "0.sqlite"
    path.write_bytes(b"no database" + bytes(5_000))
    file = CacheFile(path, ME)
    assert "damaged" in str(file.rejected)
    file.write([(b"a", b"1")], 3, 0)
    file.close()
    assert read(path) == [(b"a", b"1")]


def test_an_entry_that_is_older_than_the_head_is_noticed(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "0.sqlite"
    shutil.copy(whole, path)
    other = sqlite3.connect(path)
    old = other.execute("select * from entries where key = ?", (b"rows/1",)).fetchone()
    other.execute("delete from entries where key = ?", (b"rows/2",))
    other.execute("insert into entries values (?, ?, ?)", (b"rows/other", *old[1:]))
    other.commit()
    other.close()
    with pytest.raises(CacheUnusableError, match="checksum"):
        read(path)
    other = sqlite3.connect(path)
    other.execute("delete from entries where key = ?", (b"rows/other",))
    other.commit()
    other.close()
    with pytest.raises(CacheUnusableError, match="missing or old"):
        read(path)


def test_somebody_elses_entries_are_thrown_away(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "0.sqlite"
    shutil.copy(whole, path)
    file = CacheFile(path, ME.replace("partition 0", "partition 1"))
    assert "partition 0" in str(file.rejected)
    assert (list(file.entries()), file.head.position) == ([], -1)
    file.close()


def test_only_one_has_it_open_and_the_other_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "0.sqlite"
    file = CacheFile(path, ME)
    file.write([(b"a", b"1")], 3, 0)
    with pytest.raises(CacheUnusableError, match="locked"):
        CacheFile(path, ME)
    file.write([(b"b", b"2")], 4, 0)
    file.close()
    assert read(path) == [(b"a", b"1"), (b"b", b"2")]


def test_a_full_disk_leaves_it_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "0.sqlite"
    file = CacheFile(path, ME)
    file.write([(b"a", b"1")], 3, 0)
    pages = file._database.execute("pragma page_count").fetchone()[0]
    file._database.execute(f"pragma max_page_count = {pages + 2}")
    with pytest.raises(CacheUnusableError, match="full"):
        file.write([(b"a", b"2"), (b"b", bytes(500_000))], 9, 0)
    file.close()
    file = CacheFile(path, ME)
    assert (list(file.entries()), file.head.position) == ([(b"a", b"1")], 3)
    file.close()


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CacheUnusableError, match="unable to open"):
        CacheFile(tmp_path / "missing" / "0.sqlite", ME)


WRITE_FOR_EVER = """
import sys
from pathlib import Path
from pipeline.engine.cache_file import CacheFile
file = CacheFile(Path(sys.argv[1]), sys.argv[2])
for number in range(1_000_000):
    file.write([(b"count", b"%d" % number), (b"rows/%d" % number, bytes(3_000))], number, 0)
    if number == 200:
        print("going", flush=True)
"""


def test_a_killed_writer_leaves_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "0.sqlite"
    with subprocess.Popen(
        [sys.executable, "-c", WRITE_FOR_EVER, str(path), ME], cwd=ROOT, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"going\n"
        writer.kill()
    file = CacheFile(path, ME)
    position = file.head.position
    assert position >= 200
    held = dict(file.entries())
    file.close()
    assert held.pop(b"count") == b"%d" % position
    assert held.keys() == {b"rows/%d" % number for number in range(position + 1)}
