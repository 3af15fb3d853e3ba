from confluent_kafka import KafkaError, Message

from pipeline.core.events import RecordBatch
from pipeline.engine.batches import BATCH_BYTES, BatchSize, record_batches, split_events


def record(topic: str, partition: int, offset: int) -> Message:
    message: Message = Message(
        topic=topic,
        partition=partition,
        offset=offset,
        key=b"k%d" % offset,
        value=b"v%d" % offset,
        headers=[("n", b"1")],
    )
    return message


def test_interleaved_runs_become_one_batch_a_partition_in_log_order() -> None:
    order = [("p-a", 0, 5), ("p-a", 0, 7), ("p-a", 1, 0), ("p-b", 0, 1), ("p-a", 0, 8), ("p-b", 0, 2)]
    batches = record_batches([record(*place) for place in order], "p-")
    assert {(b.topic, b.partition): list(b.offsets) for b in batches} == {
        ("a", 0): [5, 7, 8],
        ("a", 1): [0],
        ("b", 0): [1, 2],
    }
    first = batches[0]
    assert list(first.keys) == [b"k5", b"k7", b"k8"]
    assert list(first.values) == [b"v5", b"v7", b"v8"]
    assert list(first.headers) == [[("n", b"1")]] * 3


def test_nothing_gives_no_batch() -> None:
    assert split_events([]) == ([], [])
    assert record_batches([], "") == []


def test_ends_and_errors_are_taken_out_from_between_the_records() -> None:
    end = Message(topic="a", partition=0, offset=9, error=KafkaError(KafkaError._PARTITION_EOF))
    one, two = record("a", 0, 8), record("a", 1, 3)
    assert split_events([one, end, two]) == ([one, two], [end])
    assert split_events([one, two]) == ([one, two], [])


def batch_of(records: int, size: int) -> RecordBatch:
    return RecordBatch("a", 0, list(range(records)), [None] * records, [b"x" * size] * records, [None] * records)


def test_a_round_takes_many_small_records_or_few_large_ones() -> None:
    size = BatchSize(20_000)
    assert size.records < 1_000, "the first records may be as large as they come"
    size.learn([batch_of(50, 1_000), batch_of(50, 1_000)])
    assert size.records == BATCH_BYTES // 1_000
    size.learn([batch_of(50, 10)])
    assert size.records == 20_000
    size.learn([])
    assert size.records == 20_000, "nothing read, nothing learned"
    size.learn([batch_of(3, BATCH_BYTES * 2)])
    assert size.records == 1
    size.learn([RecordBatch("a", 0, [1], [None], [None], [None])])
    assert size.records == 20_000
    assert BatchSize(7).records == 7
