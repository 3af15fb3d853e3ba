"""What follows the changelog: whatever it has read and however it ends, a copy is true up to the offset it names."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from confluent_kafka import KafkaError, Message
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import Config
from pipeline.engine import cache_follower
from pipeline.engine.cache_file import CacheFile
from pipeline.engine.cache_follower import CacheFollower
from pipeline.engine.changelog import Entry
from pipeline.engine.outside import REAL, Outside
from tests.conftest import Eventually

_MESSAGE: Any = Message
CONFIG = Config(kafka={"bootstrap_servers": "nowhere:1"})
TOPIC = "toy-changelog"
NOW_MS = 10**12
OLD_MS = 1_000


class Log:
    """A consumer of one partition's log; hands out a batch at a time, then what ``after`` says."""

    def __init__(self, entries: list[Entry], batch: int, after: int = KafkaError._PARTITION_EOF) -> None:
        self.entries, self._batch, self._after = entries, batch, after
        self._position, self._said = 0, False
        self.closed = False

    def assign(self, places: list[Any]) -> None:
        self._position = max(0, places[0].offset)

    def pause(self, _places: list[Any]) -> None:
        self._said = False

    def resume(self, _places: list[Any]) -> None:
        self._said = False

    def poll(self, _wait_s: float) -> Any:
        if self._position < len(self.entries):
            return self._next()
        if self._said:
            return None
        self._said = True
        return _MESSAGE(topic=TOPIC, partition=0, offset=self._position, error=KafkaError(self._after))

    def consume(self, _most: int, _wait_s: float) -> list[Any]:
        return [self._next() for _ in range(min(self._batch - 1, len(self.entries) - self._position))]

    def close(self) -> None:
        self.closed = True

    def _next(self) -> Any:
        key, value = self.entries[self._position]
        self._position += 1
        return _MESSAGE(topic=TOPIC, partition=0, offset=self._position - 1, key=key, value=value)


def outside(log: Log) -> Outside:
    return replace(REAL, consumer=lambda _: log)


def follow(path: Path, log: Log, held: Mapping[str, Any] | None = None) -> SimpleNamespace:
    """Follow a log to what comes after it, and end; what the file holds then."""
    file = CacheFile(path, "me")
    if held:
        file.write(**held)
    follower = CacheFollower(CONFIG, "toy", {0: file}, outside(log), lambda: NOW_MS, 3600.0)
    follower.start()
    follower.catch_up(10.0)
    follower.close(10.0)
    found = CacheFile(path, "me")
    held_now = SimpleNamespace(head=found.head, rejected=found.rejected, entries=list(found.entries()))
    found.close()
    return held_now


def compacted(log: list[Entry]) -> list[tuple[bytes, bytes]]:
    """The newest value of each key, in the order in which they were written."""
    newest: dict[bytes, bytes | None] = {}
    for key, value in log:
        newest.pop(key, None)
        newest[key] = value
    return [(key, value) for key, value in newest.items() if value is not None]


_ENTRIES = st.lists(
    st.tuples(st.sampled_from([b"a", b"b", b"c", b"d"]), st.none() | st.binary(max_size=8)), max_size=30
)


@settings(max_examples=40)
@given(
    log=_ENTRIES,
    held=st.integers(0, 30),
    batch=st.integers(1, 10),
    chunk_bytes=st.integers(0, 40),
    breaks=st.booleans(),
)
def test_a_copy_is_the_log_up_to_its_offset(
    *, log: list[Entry], held: int, batch: int, chunk_bytes: int, breaks: bool
) -> None:
    held = min(held, len(log))
    had = {"entries": compacted(log[:held]), "position": held, "now_ms": OLD_MS} if held else None
    after = KafkaError.TOPIC_AUTHORIZATION_FAILED if breaks else KafkaError._PARTITION_EOF
    with TemporaryDirectory() as folder, patch.object(cache_follower, "CHUNK_BYTES", chunk_bytes):
        found = follow(Path(folder) / "0.sqlite", Log(log, batch, after), had)
    if breaks and not held:  # it never had everything
        assert (found.head.position, found.entries) == (-1, [])
        return
    assert found.rejected is None
    assert found.entries == compacted(log[: found.head.position])
    assert held <= found.head.position <= len(log)
    # Deletions behind the offset may be as old as the last moment at which it had everything.
    assert found.head.written_ms == (OLD_MS if breaks else NOW_MS)
    if not breaks:
        assert found.head.position == len(log)


def test_a_copy_that_is_not_finished_is_never_taken_for_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_follower, "CHUNK_BYTES", 10)
    log = Log([(b"%d" % n, b"value") for n in range(20)], 3, KafkaError.TOPIC_AUTHORIZATION_FAILED)
    file = CacheFile(tmp_path / "0.sqlite", "me")
    follower = CacheFollower(CONFIG, "toy", {0: file}, outside(log), lambda: NOW_MS, 3600.0)
    follower.start()
    follower.catch_up(10.0)
    assert file.head.entries >= 18
    again = CacheFile(tmp_path / "0.sqlite", "me")
    assert again.rejected == "it was not finished"
    assert list(again.entries()) == []
    again.close()


def test_an_offset_that_is_not_there_any_more_ends_the_copying(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, eventually: Eventually
) -> None:
    log = Log([], 3, KafkaError._AUTO_OFFSET_RESET)
    with caplog.at_level(logging.WARNING, "driftline.engine"):
        found = follow(tmp_path / "0.sqlite", log, {"entries": [(b"a", b"1")], "position": 7, "now_ms": OLD_MS})
    assert (found.head.position, found.entries) == (7, [(b"a", b"1")])
    assert [record for record in caplog.records if "no local copy" in record.message]
    eventually(lambda: log.closed)


def test_a_quiet_changelog_s_copy_does_not_grow_old(tmp_path: Path) -> None:
    young = NOW_MS - cache_follower._REFRESH_MS
    held = {"entries": [], "position": 0, "now_ms": young}
    assert follow(tmp_path / "0.sqlite", Log([], 1), held).head.written_ms == young
    held["now_ms"] = young - 1
    assert follow(tmp_path / "0.sqlite", Log([], 1), held).head.written_ms == NOW_MS
