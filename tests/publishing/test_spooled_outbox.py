import sqlite3
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import orjson
import pytest
from confluent_kafka import KafkaError
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.publishing.columns import LABELS, MODELS, Columns
from pipeline.publishing.delivery import Delivery
from pipeline.publishing.encoder import Encoder, Entry
from pipeline.publishing.settings import PublisherSettings
from pipeline.publishing.spool_file import SpoolFile, Stored
from pipeline.publishing.spool_folder import SpoolFolder
from pipeline.publishing.spooled_outbox import SpooledOutbox
from tests.publishing.fake_producer import FakeProducer

COUNT = 3


class KnownPartitions:
    """As ``Partitions``; a test says what is known."""

    def __init__(self, count: int | None) -> None:
        self.known = {} if count is None else dict.fromkeys(("labels", "models"), count)
        self.asked: list[str] = []
        self.told: Callable[[], None] = lambda: None

    def learn(self, topics: list[str], *, refresh: bool) -> None:
        self.asked += topics
        self.told()

    def forget(self, topic: str) -> None:
        self.known.pop(topic, None)


class Rig:
    """An outbox over a producer, a clock and a disk that a test plays."""

    def __init__(self, folder: Path, count: int | None = COUNT, max_bytes: int = 10_000_000) -> None:
        self.now_s = 1_000.0
        self.folder = SpoolFolder(folder, "")
        self.max_bytes = max_bytes
        self.settings = PublisherSettings("127.0.0.1:1", spool_dir=folder)
        self.partitions: Any = KnownPartitions(count)
        self.written: list[tuple[str, int, bytes]] = []
        self.logged = 0
        self.held_rows = 0
        self.rejected_rows = 0
        self.disk_is_sick = False
        self.open()

    def open(self) -> None:
        """Begin as a new publisher."""
        self.producers: list[FakeProducer] = []
        self.delivery = Delivery(self.settings, self._make_producer)
        encoder = Encoder(100, 100_000, self._reject)
        self.outbox = SpooledOutbox(self.delivery, self.folder, self.max_bytes, self.partitions, encoder, self._release)
        self.outbox.tend()

    def _make_producer(self, properties: dict[str, Any]) -> Any:
        self.producers.append(FakeProducer(properties))
        return self.producers[-1]

    def _release(self, rows: int) -> None:
        self.held_rows -= rows

    def _reject(self, rows: int, _why: str) -> None:
        self.rejected_rows += rows

    @property
    def producer(self) -> FakeProducer:
        return self.producers[-1]

    def log(
        self, rows: int, stream: str = "labels", pad_bytes: int = 0, give_up: Callable[[], bool] = lambda: True
    ) -> None:
        """Send rows; the value of each is its number."""
        numbers = [self.logged + at for at in range(rows)]
        self.logged += rows
        self.held_rows += rows
        keys = [f"k{number % 7}" for number in numbers]  # few keys: order counts
        if stream == "labels":
            label = [f"{number}".ljust(pad_bytes) for number in numbers]
            entries: list[Entry] = [Columns((LABELS, "m"), keys, {"timestamp_ms": numbers, "label": label})]
        else:
            entries = [((MODELS,), key, {"timestamp_ms": n}) for key, n in zip(keys, numbers, strict=True)]
        count = self.partitions.known.get(stream, 1)
        for record in Encoder(100, 100_000, self._reject).records(entries, {stream: count}, {}):
            self.outbox.send(record, give_up)

    def answer(self, count: int | None = None, error: int | None = None) -> None:
        """Kafka answers the oldest records on their way: all of them, or so many."""
        producer = self.producer
        count = len(producer.answers) if count is None else min(count, len(producer.answers))
        for _ in range(count):
            record, answer = producer.values.pop(0), producer.answers.pop(0)
            if error is None:
                self.written.append(record)
            answer(None if error is None else KafkaError(error), None)

    def away(self) -> None:
        """Kafka answers nothing for a while."""
        self.now_s += 2.0
        self.outbox.tend()

    def drain(self) -> None:
        """Kafka is back and answers everything."""
        self.producer.full = 0
        for _ in range(500):
            self.now_s += 0.3
            self.outbox.tend()
            self.answer()
        assert self.outbox.is_empty
        assert self.delivery.first_unanswered() is None

    @property
    def total_rows(self) -> int:
        """Every row somewhere: what came in must be equal to this."""
        counts, sent = self.outbox.counts, self.delivery.sent_rows
        return self.held_rows + counts.spooled_rows + counts.lost_rows + sent - counts.adopted_rows

    def numbers(self) -> list[int]:
        return [number for _, _, value in self.written for number in numbers_of(value)]

    def by_key(self) -> dict[tuple[str, str], list[int]]:
        """What was written, by topic and key, in Kafka's order; each key is where it belongs."""
        found: dict[tuple[str, str], list[int]] = defaultdict(list)
        places: dict[str, set[int]] = defaultdict(set)
        for topic, partition, value in self.written:
            for number in numbers_of(value):
                key = f"k{number % 7}"
                found[topic, key].append(number)
                places[key].add(partition)
        assert all(len(partitions) == 1 for partitions in places.values())
        return found


def numbers_of(value: bytes) -> list[int]:
    times = orjson.loads(value)["timestamp_ms"]
    return times if isinstance(times, list) else [times]


@contextmanager
def clocked(rig_of: Callable[[], Rig]) -> Iterator[Rig]:
    started: list[Rig] = []

    def now() -> float:
        return started[0].now_s if started else 1_000.0

    with ExitStack() as stack:
        for module in ("spooled_outbox", "delivery"):
            stack.enter_context(patch(f"pipeline.publishing.{module}.monotonic", now))
        append = SpoolFile.append

        def append_if_well(file: SpoolFile, records: Sequence[Stored]) -> None:
            if started[0].disk_is_sick:
                raise sqlite3.OperationalError("disk I/O error")
            append(file, records)

        stack.enter_context(patch.object(SpoolFile, "append", append_if_well))
        started.append(rig_of())
        yield started[0]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with clocked(lambda: Rig(tmp_path)) as made:
        yield made


def files(folder: Path) -> list[Path]:
    return list(folder.glob("*.sqlite3"))


def test_while_kafka_answers_nothing_touches_the_disk(rig: Rig, tmp_path: Path) -> None:
    for _ in range(20):
        rig.log(10)
        rig.now_s += 0.5
        rig.answer()
        rig.outbox.tend()
    assert files(tmp_path) == []
    assert rig.numbers() == sorted(range(200), key=rig.numbers().index)
    assert (rig.held_rows, rig.outbox.is_empty) == (0, True)


def test_in_an_outage_everything_is_on_disk_and_comes_in_order(rig: Rig, tmp_path: Path) -> None:
    rig.log(10)
    rig.away()
    assert rig.held_rows == 0
    assert rig.outbox.counts.spooled_rows == 0  # on disk, but on its way too
    assert len(files(tmp_path)) == 1
    for _ in range(5):
        rig.log(50)
        rig.away()
    assert rig.outbox.counts.spool_bytes > 0
    rig.drain()
    assert files(tmp_path) == []
    assert sorted(rig.numbers()) == list(range(260))
    assert all(numbers == sorted(numbers) for numbers in rig.by_key().values())
    assert rig.total_rows == 260


def test_newer_rows_wait_behind_those_on_disk(rig: Rig) -> None:
    rig.log(10)
    rig.away()
    rig.log(10)
    rig.away()
    rig.answer()  # back: but what was spooled is not read yet
    rig.log(10)
    rig.drain()
    assert rig.numbers()[:10] == sorted(rig.numbers()[:10], key=rig.numbers().index)
    assert all(numbers == sorted(numbers) for numbers in rig.by_key().values())
    rig.log(5)
    rig.answer()
    assert sorted(rig.numbers()) == list(range(35))


def test_a_full_queue_is_an_outage_too(rig: Rig) -> None:
    rig.producer.full = 10
    rig.log(300)
    rig.outbox.tend()
    assert (rig.held_rows, rig.outbox.counts.spooled_rows) == (0, 300)
    rig.drain()
    assert sorted(rig.numbers()) == list(range(300))


def test_a_full_spool_keeps_the_oldest_and_holds_the_newest(tmp_path: Path) -> None:
    with clocked(lambda: Rig(tmp_path, max_bytes=100_000)) as rig:
        rig.producer.full = 10_000
        for _ in range(40):
            rig.log(3, pad_bytes=1_000)
            rig.now_s += 0.1
            rig.outbox.tend()
        assert 0 < rig.held_rows < 120
        assert rig.outbox.counts.spool_bytes <= 100_000
        assert "full" in str(rig.outbox.trouble)
        rig.drain()
        assert sorted(rig.numbers()) == list(range(120))
        assert all(numbers == sorted(numbers) for numbers in rig.by_key().values())
        assert rig.outbox.trouble is None


def test_kafka_that_comes_for_the_first_time_while_the_spool_is_full_is_found(tmp_path: Path) -> None:
    with clocked(lambda: Rig(tmp_path, count=None, max_bytes=100_000)) as rig:

        def come() -> None:
            rig.now_s += 0.1
            rig.answer()
            if len(rig.partitions.asked) == 100:
                rig.partitions.known = {"labels": COUNT}

        rig.partitions.told = come
        for _ in range(30):
            rig.log(100, pad_bytes=1_000, give_up=lambda: len(rig.partitions.asked) > 500)  # it waits for room
        rig.drain()
        assert sorted(rig.numbers()) == list(range(3_000))


def test_a_sick_disk_holds_rows_in_memory_until_it_is_well(rig: Rig) -> None:
    rig.producer.full = 10_000
    rig.disk_is_sick = True
    rig.log(10)
    rig.outbox.tend()
    assert rig.held_rows == 10
    assert "disk I/O error" in str(rig.outbox.trouble)
    rig.disk_is_sick = False
    rig.now_s += 2
    rig.outbox.tend()
    assert (rig.held_rows, rig.outbox.trouble) == (0, None)
    full = sqlite3.OperationalError("database or disk is full")
    with patch.object(SpoolFile, "delete", side_effect=full):
        rig.drain()  # a full disk has no room to delete: delivered all the same, and removed with the file
    assert sorted(rig.numbers()) == list(range(10))


def test_a_spool_that_cannot_be_read_any_more_is_counted_and_kept(rig: Rig, tmp_path: Path) -> None:
    rig.producer.full = 10_000
    rig.log(10)
    rig.outbox.tend()
    broken = sqlite3.DatabaseError("malformed")
    broken.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    rig.producer.full = 0
    with patch("pipeline.publishing.spool_file.SpoolFile.read", side_effect=broken):
        rig.outbox.tend()
    assert rig.outbox.counts.lost_rows == 10
    assert len(list(tmp_path.glob("*.broken"))) == 1
    rig.now_s += 2
    rig.log(5)
    rig.drain()
    assert sorted(rig.numbers()) == list(range(10, 15))
    assert rig.total_rows == 15


@pytest.mark.parametrize("stream", ["labels", "models"])
def test_rows_from_before_kafka_was_ever_reached_go_where_they_belong(tmp_path: Path, stream: str) -> None:
    with clocked(lambda: Rig(tmp_path, count=None)) as rig:
        for _ in range(30):
            rig.log(21, stream)
            rig.away()
        assert rig.outbox.counts.spooled_rows == 630
        rig.partitions.known = {stream: COUNT}
        rig.log(21, stream)
        rig.drain()
        assert sorted(rig.numbers()) == list(range(651))
        assert {partition for _, partition, _ in rig.written} == set(range(COUNT))
        straight = Rig(tmp_path)
        straight.log(21, stream)
        straight.answer()
        assert rig.by_key().keys() == straight.by_key().keys()
        expected = {numbers_of(v)[0] % 7: p for _, p, v in straight.written}
        found = {numbers_of(v)[0] % 7: p for _, p, v in rig.written}
        assert {key: found[key] for key in expected if key in found} == {
            k: p for k, p in expected.items() if k in found
        }
        assert all(numbers == sorted(numbers) for numbers in rig.by_key().values())
        assert rig.rejected_rows == 0


def test_the_next_publisher_takes_over_what_a_closed_one_left(rig: Rig, tmp_path: Path) -> None:
    rig.log(10)
    rig.away()
    rig.log(10)
    rig.outbox.close()  # Kafka never answered
    assert (rig.held_rows, rig.outbox.counts.spooled_rows, rig.delivery.failed_rows) == (0, 20, 0)
    assert len(files(tmp_path)) == 1
    rig.open()
    assert rig.outbox.counts.adopted_rows == 20
    rig.log(10)  # newer: behind them
    rig.drain()
    assert sorted(rig.numbers()) == list(range(30))
    assert all(numbers == sorted(numbers) for numbers in rig.by_key().values())
    assert rig.outbox.counts.replayed_rows >= 20
    assert files(tmp_path) == []


def test_a_flush_is_settled_when_what_was_spooled_before_it_is_answered(rig: Rig) -> None:
    rig.producer.full = 10_000
    rig.log(10)
    rig.outbox.tend()
    mark = rig.outbox.mark()
    assert mark is not None
    rig.log(10)
    rig.outbox.tend()
    assert not rig.outbox.is_settled(mark)
    rig.producer.full = 0
    rig.outbox.tend()
    assert not rig.outbox.is_settled(mark)
    rig.answer(len(rig.producer.answers) // 2)  # what was logged first
    rig.outbox.tend()
    assert rig.outbox.is_settled(mark)
    assert not rig.outbox.is_empty


def test_what_times_out_or_is_cut_off_by_a_fatal_error_is_sent_again(rig: Rig) -> None:
    rig.log(10)
    rig.answer(error=KafkaError._MSG_TIMED_OUT)
    rig.outbox.tend()
    assert rig.delivery.failed_rows == 0
    rig.log(10)
    rig.producer.properties["error_cb"](KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, "lost", fatal=True))
    rig.log(10)
    rig.drain()
    assert len(rig.producers) == 2
    assert sorted(rig.numbers()) == list(range(30))
    assert rig.delivery.failed_rows == 0
    assert rig.total_rows == 30


def test_what_kafka_refuses_for_good_has_failed_and_leaves_the_disk(rig: Rig, tmp_path: Path) -> None:
    rig.log(10)
    rig.away()
    rig.answer(error=KafkaError.MSG_SIZE_TOO_LARGE)
    rig.drain()
    assert (rig.delivery.failed_rows, rig.numbers()) == (10, [])
    assert files(tmp_path) == []


steps = st.one_of(
    st.tuples(st.just("log"), st.integers(1, 30)),
    st.tuples(st.just("log_models"), st.integers(1, 3)),
    st.tuples(st.just("answer"), st.integers(1, 5)),
    st.tuples(st.just("wait_ms"), st.sampled_from([100, 600, 1_500])),
    st.tuples(st.just("full"), st.integers(1, 5)),
    st.tuples(st.just("refuse_timeout"), st.integers(1, 3)),
    st.tuples(st.just("close"), st.just(0)),
    st.tuples(st.just("crash"), st.just(0)),
    st.tuples(st.just("sick_disk"), st.booleans()),
    st.tuples(st.just("partitions"), st.sampled_from([None, 1, COUNT])),
)


def take(rig: Rig, step: str, number: int) -> None:  # noqa: C901 - a table of steps
    if step == "log":
        rig.log(number)
    elif step == "log_models":
        rig.log(number, "models")
    elif step == "answer":
        rig.answer(number)
    elif step == "wait_ms":
        rig.now_s += number / 1_000
        rig.outbox.tend()
    elif step == "full":
        rig.producer.full = number
    elif step == "refuse_timeout":
        rig.answer(number, KafkaError._MSG_TIMED_OUT)
        rig.outbox.tend()
    elif step == "partitions":
        rig.partitions.known = {} if number is None else {"labels": number, "models": number}
    elif step == "sick_disk":
        rig.disk_is_sick = bool(number)
    elif step == "close":
        rig.outbox.close()
        rig.open()
    elif step == "crash":
        # As the system would: the lock goes, and what is not on disk.
        rig.outbox.tend()
        rig.now_s += 2
        rig.outbox.tend()
        file = rig.outbox._file
        if file is not None and file._db is not None:
            file._db.close()
        rig.open()


@settings(deadline=None, max_examples=100)
@given(st.lists(steps, max_size=25))
def test_nothing_is_lost_and_nothing_overtakes_whatever_happens(script: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder, clocked(lambda: Rig(Path(folder))) as rig:
        stops = {"crash", "close"} & {name for name, _ in script}
        for step, number in script:
            if step != "sick_disk" or not stops:  # who stops beside a sick disk loses what was in memory
                take(rig, step, number)
            if not stops:
                assert rig.total_rows == rig.logged
        rig.partitions.known = {"labels": COUNT, "models": COUNT}
        rig.drain()
        assert set(rig.numbers()) == set(range(rig.logged))
        if not {"crash", "close", "refuse_timeout"} & {name for name, _ in script}:
            assert sorted(rig.numbers()) == list(range(rig.logged))
            assert in_order(rig.written)


def in_order(written: list[tuple[str, int, bytes]]) -> bool:
    """Whether each key's rows came in the order in which they were logged, whatever the partitions were at a time."""
    found: dict[tuple[str, int], list[int]] = defaultdict(list)
    for topic, _, value in written:
        for number in numbers_of(value):
            found[topic, number % 7].append(number)
    return all(numbers == sorted(numbers) for numbers in found.values())
