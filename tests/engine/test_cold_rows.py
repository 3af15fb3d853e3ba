"""Rows of the cold tier on a real disk: what is written comes back, and nothing is left behind."""

import gc
import resource
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.config import Config
from pipeline.core.errors import StartupError
from pipeline.core.join import JoinLimits, JoinStore
from pipeline.engine.cold_rows import ColdFolder, RocksBlocks, open_cold_folder


@pytest.fixture
def folder(tmp_path: Path) -> ColdFolder:
    return ColdFolder(tmp_path / "cold")


def write(blocks: RocksBlocks, segment: int, texts: list[bytes]) -> None:
    bounds = np.cumsum([0, *map(len, texts)])
    blocks.write(segment, memoryview(b"".join(texts)), bounds)


def test_blocks_come_back(folder: ColdFolder) -> None:
    blocks = folder.blocks()
    texts = [b"%d" % number * (number % 300) for number in range(1_000)]
    write(blocks, 1, texts)
    write(blocks, 4_095, [b"", b"one"])
    assert blocks.read(1, np.array([0, 7, 299, 999])) == texts[0] + texts[7] + texts[299] + texts[999]
    assert blocks.read(4_095, np.array([0, 1])) == b"one"
    assert blocks.size_bytes() > 0


def test_a_dropped_segment_takes_no_disk_and_its_number_is_free(folder: ColdFolder, tmp_path: Path) -> None:
    def on_disk() -> int:
        return sum(path.stat().st_size for path in tmp_path.rglob("*.sst"))

    blocks = folder.blocks()
    noise = np.random.default_rng(1).bytes(1 << 20)
    write(blocks, 1, [noise])
    write(blocks, 2, [b"small"])
    assert on_disk() > 1 << 20
    blocks.drop(1)
    assert on_disk() < 1 << 16
    write(blocks, 1, [b"again"])
    assert blocks.read(1, np.array([0])) + blocks.read(2, np.array([0])) == b"againsmall"


def test_stores_do_not_see_each_other(folder: ColdFolder) -> None:
    one, other = folder.blocks(), folder.blocks()
    write(one, 1, [b"one"])
    write(other, 1, [b"other"])
    assert one.read(1, np.array([0])) == b"one"
    assert other.read(1, np.array([0])) == b"other"


def test_nothing_is_made_before_it_is_needed(folder: ColdFolder, tmp_path: Path) -> None:
    assert folder.blocks().size_bytes() == 0
    assert not list(tmp_path.iterdir())


def test_rows_go_with_their_store_and_the_folder_with_the_last(tmp_path: Path) -> None:
    place = ColdFolder(tmp_path)
    blocks = place.blocks()
    write(blocks, 1, [b"x"])
    (own,) = tmp_path.glob("rows-*")
    assert {path.name for path in own.iterdir()} == {"lock", "1"}
    del blocks
    gc.collect()
    assert {path.name for path in own.iterdir()} == {"lock"}
    del place
    gc.collect()
    assert not own.exists()


_WORKER = """
    import sys, time
    from pathlib import Path
    from pipeline.engine.cold_rows import ColdFolder
    import numpy as np
    blocks = ColdFolder(Path(sys.argv[1])).blocks()
    blocks.write(1, memoryview(b"x"), np.array([0, 1]))
    print("written", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def worker(tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Another process that has rows on disk and ends when its input does."""
    command = [sys.executable, "-c", textwrap.dedent(_WORKER), str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        yield process
        process.kill()


def test_what_a_killed_worker_left_goes_at_the_next_start(worker: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
    ColdFolder(tmp_path)
    (own,) = tmp_path.glob("rows-*")  # the other one lives: its rows are its own
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    assert own.exists()
    ColdFolder(tmp_path)
    assert not own.exists()


def test_a_worker_that_ends_leaves_nothing(worker: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
    worker.communicate()
    assert worker.returncode == 0
    assert not list(tmp_path.glob("rows-*"))


def test_a_full_disk_is_told_with_its_mend(folder: ColdFolder) -> None:
    blocks = folder.blocks()
    write(blocks, 1, [b"first"])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write then fails, as on a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    try:
        with pytest.raises(StartupError, match=r"writing .* failed.*free the disk.*joiner\.memory_mb"):
            write(blocks, 2, [np.random.default_rng(1).bytes(1 << 20)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def test_a_directory_that_cannot_be_made_is_told_with_its_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StartupError, match=r"worker\.state_dir"):
        write(ColdFolder(tmp_path / "file").blocks(), 1, [b"x"])


def test_rows_that_are_gone_are_told(folder: ColdFolder) -> None:
    blocks = folder.blocks()
    write(blocks, 1, [b"x"])
    with pytest.raises(StartupError, match="reading"):
        blocks.read(1, np.array([5]))


@pytest.mark.parametrize("state_dir", ["", "here"])
def test_the_configuration_says_where(state_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DRIFTLINE_WORKER__STATE_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    place = open_cold_folder(Config(worker={"state_dir": state_dir and str(tmp_path / state_dir)}))
    write(place.blocks(), 1, [b"x"])
    (own,) = tmp_path.rglob("rows-*")
    assert own.relative_to(tmp_path).parts[0] == (state_dir or "temporary")


def test_a_store_joins_as_well_from_disk(folder: ColdFolder) -> None:
    """A hundred thousand predictions, most of them on disk, each labelled once, in another order."""
    count, step = 100_000, 10_000
    limits = JoinLimits(horizon_ms=10**9, early_ms=10, memory_bytes=4 << 20)
    store = JoinStore(limits, folder.blocks())
    chance = np.random.default_rng(3)
    keys = chance.integers(0, 2**63, (count, 2)).astype(np.uint64)
    numbers = np.arange(count)
    zeros, kinds = np.zeros(step, np.int32), np.zeros(step, np.uint8)
    for start in range(0, count, step):
        part = slice(start, start + step)
        duplicate, _ = store.insert_predictions(keys[part], numbers[part], numbers[part], zeros, zeros, numbers[part])
        assert not duplicate.any()
    assert store.cold_rows > count // 2
    assert store.hot_rows + store.cold_rows == len(store) == count
    assert 0 < store.cold_bytes < 60 * count
    order = chance.permutation(count)
    now = np.full(step, count)
    for start in range(0, count, step):
        which = order[start : start + step]
        joined, _ = store.insert_labels(
            keys[which], now, now, zeros, kinds, which, sequence=numbers[start : start + step], final_ms=-1
        )
        assert sorted(joined.predicted.tolist()) == sorted(which.tolist())
        assert (joined.new_value == joined.predicted).all()
    duplicate, _ = store.insert_predictions(keys[:step], now, now, zeros, zeros, now)
    assert duplicate.all()
    store.sweep(2 * 10**9)
    assert len(store) == store.cold_bytes == 0
