"""The detail store against a dictionary: through sweeps, commits and restores, in any order of insertion."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.details import SEGMENTS, Details, DetailsFullError
from pipeline.core.events import Ragged
from pipeline.core.join_hot import SharedMemory

HORIZON_MS = 80
SPAN_MS = HORIZON_MS // SEGMENTS
Detail = tuple[tuple[int, float], ...]


def ragged(lists: Sequence[Detail]) -> Ragged:
    starts = np.cumsum([0, *map(len, lists)])
    flat = [member for one in lists for member in one]
    return Ragged(starts, np.array([code for code, _ in flat], np.int64), np.array([w for _, w in flat], np.float64))


def detail_of(number: int) -> Detail:
    """Ids say what they stand for: the members of each are always the same, in every form there is."""
    weight = (1.0, 0.25, math.pi, -0.0, 1e300)[number % 5]
    wide = (number % 2) * 2**40 - (number % 3) * 2**31
    return tuple((wide + number * 7 + i, i * weight if i else weight) for i in range(number % 6))


def hashed(number: int) -> int:
    return number * 0x5851F42D4C957F2D % 2**64 - 2**63


def store() -> Details:
    return Details(SharedMemory(1 << 21), HORIZON_MS)


def put(details: Details, numbers: Sequence[int], expiry_ms: Sequence[int]) -> None:
    lists = ragged([detail_of(number) for number in numbers])
    details.insert(np.array([hashed(number) for number in numbers], np.int64), np.array(expiry_ms, np.int64), lists)


def got(details: Details, numbers: Sequence[int]) -> dict[int, Detail]:
    ids = np.array([hashed(number) for number in numbers], np.int64)
    lists, found = details.read(ids, np.ones(len(ids), bool))
    return {
        number: tuple(
            (int(code), float(weight))
            for code, weight in zip(lists.codes[low:high], lists.weights[low:high], strict=True)
        )
        for number, low, high, there in zip(numbers, lists.starts[:-1], lists.starts[1:], found, strict=True)
        if there
    }


@dataclass
class Log:
    """A changelog, as Kafka keeps it: in order, and compacted at times."""

    entries: list[tuple[int, bytes | None]] = field(default_factory=list)

    def commit(self, details: Details) -> None:
        self.entries += details.changelog()

    def compact(self) -> None:
        latest = dict(self.entries)
        self.entries = [(number, latest[number]) for number in dict.fromkeys(number for number, _ in self.entries)]

    def restored(self) -> Details:
        details = store()
        for number, value in self.entries:
            details.restore(number, value)
        return details


numbers = st.integers(0, 12)
steps = st.one_of(
    st.tuples(st.just("put"), st.lists(st.tuples(numbers, st.integers(0, 3 * HORIZON_MS)), max_size=8)),
    st.tuples(st.just("advance"), st.integers(0, HORIZON_MS)),
    st.tuples(st.sampled_from(["commit", "crash", "compact"]), st.none()),
)


@given(st.lists(steps, max_size=25))
@settings(max_examples=150, deadline=None)
def test_what_is_needed_is_there_after_any_history(history: list[tuple[str, object]]) -> None:
    details, log, final_ms = store(), Log(), 0
    needed: dict[int, int] = {}
    committed: tuple[dict[int, int], int] = {}, 0
    for step, argument in history:
        if step == "put":
            rows = [(number, final_ms + later) for number, later in argument]  # type: ignore[attr-defined]
            put(details, [number for number, _ in rows], [expiry for _, expiry in rows])
            for number, expiry in rows:
                needed[number] = max(needed.get(number, 0), expiry)
        elif step == "advance":
            final_ms += int(argument)  # type: ignore[call-overload]
            details.sweep(final_ms)
        elif step == "commit":
            log.commit(details)
            committed = dict(needed), final_ms
        elif step == "compact":
            log.compact()
        else:
            details, (needed, final_ms) = log.restored(), (dict(committed[0]), committed[1])
            details.sweep(final_ms)
        due = {number for number, expiry in needed.items() if expiry >= final_ms}
        found = got(details, range(13))
        assert due <= found.keys()
        assert all(found[number] == detail_of(number) for number in found)
        # And nothing is kept much longer than it is needed.
        late = {number for number, expiry in needed.items() if expiry // SPAN_MS < final_ms // SPAN_MS}
        assert not late & found.keys()
        assert len(details) == len(found)


def test_a_changelog_ends_empty() -> None:
    details, log = store(), Log()
    for round_ in range(30):
        put(details, range(round_, round_ + 5), [round_ * SPAN_MS + HORIZON_MS] * 5)
        details.sweep(round_ * SPAN_MS)
        log.commit(details)
        log.compact()
        assert sum(value is not None for _, value in log.entries) <= SEGMENTS + 2
    details.sweep(10_000)
    log.commit(details)
    log.compact()
    assert {value for _, value in log.entries} == {None}
    assert len(details) == 0
    fresh = log.restored()
    assert len(fresh) == 0
    put(fresh, [1], [20_000])
    assert min(number for number, _ in fresh.changelog()) > max(number for number, _ in log.entries)


def test_a_commit_writes_what_is_new_and_no_more() -> None:
    details = store()
    put(details, [1, 2, 3], [5, 5, 5])
    assert [number for number, _ in details.changelog()] == [0]
    put(details, [1, 2, 3], [5, 4, 3])  # there already
    assert list(details.changelog()) == []
    put(details, [2], [5 + HORIZON_MS])
    ((number, value),) = details.changelog()
    assert number == 1
    assert value is not None
    assert len(value) < 100


def test_chunks_of_a_segment_follow_each_other_and_are_used_again() -> None:
    details = store()
    ids = np.arange(100, dtype=np.int64)
    for round_ in range(20):
        lists = ragged([tuple((2**40 + i, math.pi) for i in range(500))] * 100)  # 800 KB of the 1.5 MB there are
        details.insert(ids + 1000 * round_, np.full(100, round_ * SPAN_MS), lists)
        found, there = details.read(ids + 1000 * round_, np.ones(100, bool))
        assert there.all()
        assert (found.weights == math.pi).all()
        assert max(len(value or b"") for _, value in details.changelog()) <= 70_000
        details.sweep((round_ + 1) * SPAN_MS)
    assert len(details) == 0


def test_full_memory_is_told_with_its_mend() -> None:
    details = store()
    lists = ragged([tuple((2**40 + i, math.pi) for i in range(1000))] * 10)
    for start in range(0, 90, 10):
        details.insert(np.arange(start, start + 10), np.full(10, 9), lists)
    with pytest.raises(DetailsFullError, match=r"joiner\.details_mb"):
        details.insert(np.arange(100, 110), np.full(10, 9), lists)


@pytest.mark.parametrize("damage", [lambda part: part[:-8], lambda part: b"\x02" + part[1:]])
def test_a_part_that_is_not_whole_is_refused(damage: object) -> None:
    details = store()
    put(details, [4], [5])
    ((_, value),) = details.changelog()
    assert callable(damage)
    with pytest.raises(ValueError, match="details"):
        store().restore(0, damage(value))
