"""What a worker may find in the place of its local copy of the state: damage, another one, an older one, no room."""

import random
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.rounds import Round

_WRITTEN_S = 15.0
"""A copy follows the changelog every ten seconds, and the worker must start first."""
_SETTLED_SHARE = 0.7


def spoil_caches(here: Round) -> None:
    """A worker is killed, its local copy spoilt, and it starts again; at last with a full disk from the beginning."""
    here.begin("a")
    old = here.folder / "old"
    kinds = [_flip, _cut, _exchange, _older(old), _remove_some]
    here.rng.shuffle(kinds)
    for kind in kinds[: max(1, round(len(kinds) * here.amount))]:
        time.sleep(_WRITTEN_S)
        here.fleet.kill("a")
        kind(here.rng, _files(here.fleet.state, settle=here.rng.random() < _SETTLED_SHARE))
        if not old.exists():
            shutil.copytree(here.fleet.state, old)
        here.fleet.start("a")
        here.tries += 1
    time.sleep(_WRITTEN_S)
    here.fleet.kill("a")
    thrown = sum("is thrown away" in line for line in here.fleet.log_lines("a"))
    here.notes.append(f"{thrown} copies thrown away, as the log tells")
    with _tiny_disk(here.fleet.state) as is_tiny:
        if is_tiny:
            here.fleet.start("a")
            time.sleep(_WRITTEN_S)
            here.fleet.kill("a")
            here.fleet.start("a")
            time.sleep(_WRITTEN_S)
            here.fleet.terminate("a")
            here.tries += 1
        else:
            here.notes.append("no full disk: mounting a small one is not allowed here")
    here.fleet.start("a")


def _files(folder: Path, *, settle: bool) -> list[Path]:
    """The copies; settled, all of a copy is in one file, and else most of it in its write-ahead log."""
    if not settle:
        return sorted([*folder.rglob("*.sqlite"), *folder.rglob("*.sqlite-wal")])
    files = sorted(folder.rglob("*.sqlite"))
    for path in files:
        database = sqlite3.connect(path)
        database.execute("pragma wal_checkpoint(truncate)")
        database.close()
    return files


def _is_filled(path: Path) -> bool:
    return path.stat().st_size > 0


def _flip(rng: random.Random, files: list[Path]) -> None:
    for path in filter(_is_filled, files):
        content = bytearray(path.read_bytes())
        for _ in range(20):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)


def _cut(rng: random.Random, files: list[Path]) -> None:
    for path in filter(_is_filled, files):
        content = path.read_bytes()
        path.write_bytes(content[: rng.randrange(len(content))])


def _exchange(rng: random.Random, files: list[Path]) -> None:
    """Each gets the content of another partition, or of the other processor."""
    contents = [path.read_bytes() for path in files]
    for path, content in zip(files, contents[1:] + contents[:1], strict=True):
        path.write_bytes(content)


def _older(old: Path) -> Callable[[random.Random, list[Path]], None]:
    """The copy of some time ago: true, but long past."""

    def put_back(rng: random.Random, files: list[Path]) -> None:
        if old.exists():
            for path in files:
                source = next(old.rglob(path.name), None)
                if source is not None:
                    shutil.copyfile(source, path)

    return put_back


def _remove_some(rng: random.Random, files: list[Path]) -> None:
    for path in rng.sample(files, len(files) // 2):
        path.unlink()


@contextmanager
def _tiny_disk(folder: Path) -> Iterator[bool]:
    """A file system of 256 kB in the place of a folder, where this user may do that."""
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(folder)]
    is_tiny = subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield is_tiny
    finally:
        if is_tiny:
            subprocess.run(["umount", "-l", str(folder)], check=True)
