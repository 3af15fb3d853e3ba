import orjson
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.accumulate.counts import Counts
from pipeline.core.accumulate.exact_sum import ExactSum
from pipeline.core.accumulate.hosts import Readings
from pipeline.core.events import Group, Json, Task
from pipeline.processors.partials import RECORD_BYTES, Pending, Progress, progress_records, read_cell, read_hosts

keys = st.tuples(
    st.builds(Group, st.sampled_from(["m", "a|b", "\x00\U0001f600"]), st.sampled_from("12"), st.sampled_from(Task)),
    st.sampled_from(["", "country=DE"]),
    st.integers(-3, 3).map(lambda pane: pane * 1_000),
)
adds = st.lists(st.tuples(keys, st.integers(-2, 3)), max_size=30)


def cells_of(records: list[Json]) -> dict[object, int]:
    found: dict[object, int] = {}
    for record in records:
        for cell in record["cells"]:
            key, states = read_cell(record["model"], cell)
            assert key not in found
            counts = states["counts"]
            assert isinstance(counts, Counts)
            found[key] = counts["labelled"]
    return found


def taken(pending: Pending) -> list[Json]:
    records = list(pending.take(3))
    assert all(record.topic == "partials" and record.partition is None for record in records)
    return [orjson.loads(record.value or b"") for record in records]


@given(adds)
def test_what_was_merged_is_taken_once_and_what_cancelled_out_is_not_sent(some: list[tuple[object, int]]) -> None:
    pending = Pending()
    expected: dict[object, int] = {}
    for key, count in some:
        pending.merge(key, "counts", Counts({"labelled": count}))  # type: ignore[arg-type]  # as drawn
        expected[key] = expected.get(key, 0) + count
    assert cells_of(taken(pending)) == {key: count for key, count in expected.items() if count}
    assert taken(pending) == []


def test_records_are_keyed_by_model_and_stay_below_the_limit() -> None:
    pending = Pending()
    for number in range(20_000):
        key = (Group("m" if number % 2 else "n", "1", Task.BINARY), f"segment=value-{number}", 0)
        pending.merge(key, "counts", Counts({"labelled": 1}))
    records = list(pending.take(3))
    assert {record.key for record in records} == {b"m", b"n"}
    assert 4 <= len(records) <= 10
    assert max(len(record.value or b"") for record in records) < 1.1 * RECORD_BYTES
    assert len(cells_of([orjson.loads(record.value or b"") for record in records])) == 20_000


def reading(value: float, time_ms: int) -> Readings:
    return Readings(1, ExactSum(int(value)), value, value, (time_ms, value))


def test_hosts_go_by_host_and_pane_in_pieces_where_they_must() -> None:
    pending = Pending()
    wide = {("wide", "\U0001f600" * 120 + f"{number:05}", 0): reading(1, 5) for number in range(1_500)}
    pending.absorb_hosts(wide)
    pending.absorb_hosts({("a", "cpu", 0): reading(2, 5), ("a", "cpu", 1_000): reading(3, 6)})
    pending.absorb_hosts({("a", "cpu", 0): reading(4, 7)})
    records = list(pending.take(3))
    assert max(len(record.value or b"") for record in records) < 800_000
    by_host: dict[str, list[tuple[int, str, dict[str, float]]]] = {}
    for record in records:
        value = orjson.loads(record.value or b"")
        assert record.key == value["host"].encode()
        for start_ms, metrics in read_hosts(value):
            by_host.setdefault(value["host"], []).extend(
                (start_ms, name, one.report()) for name, one in metrics.items()
            )
    assert by_host["a"] == [
        (0, "cpu", {"mean": 3.0, "min": 2, "max": 4, "last": 4}),
        (1_000, "cpu", {"mean": 3.0, "min": 3, "max": 3, "last": 3}),
    ]
    assert len(by_host["wide"]) == 1_500


def test_progress_goes_to_every_partition() -> None:
    progress = Progress(partition=2, partitions=4, predictions_ms=10, final_ms=-(1 << 60), resources_ms=7)
    records = list(progress_records(progress, 3))
    assert [record.partition for record in records] == [0, 1, 2]
    for record in records:
        value = orjson.loads(record.value or b"")
        assert value.pop("kind") == "progress"
        assert Progress(**value) == progress
