"""Rows that wait for a reference: what is learned from them must depend on the log alone."""

import math
import random
from typing import Any

import numpy as np
import pytest

from pipeline.core.events import FeatureColumn, Group, Task
from pipeline.core.reference import ReferenceProfile
from pipeline.processors.learning import Waiting, WaitingRows, decode_waiting, select_rows

NAMES = Group("m", "1", Task.BINARY)
Rows = list[dict[str, Any]]


def column_of(values: list[Any]) -> FeatureColumn:
    texts = list(dict.fromkeys(value for value in values if isinstance(value, str)))
    numbers = np.array([value if isinstance(value, float) else math.nan for value in values])
    codes = np.array([texts.index(value) if isinstance(value, str) else -1 for value in values], np.int32)
    return FeatureColumn(numbers, codes if texts else None, texts)


def columns_of(rows: Rows) -> dict[str, FeatureColumn]:
    return {name: column_of([row.get(name) for row in rows]) for name in sorted({name for row in rows for name in row})}


def values_of(column: FeatureColumn) -> list[Any]:
    codes = [-1] * len(column.numbers) if column.codes is None else column.codes.tolist()
    return [
        column.texts[code] if code >= 0 else None if math.isnan(number) else number
        for number, code in zip(column.numbers.tolist(), codes, strict=True)
    ]


def add(waiting: Waiting, rows: Rows, group: int = 0, start_ms: int = 0) -> None:
    times = np.arange(start_ms, start_ms + len(rows))
    waiting.add(group, times, np.zeros(len(rows), np.int32), columns_of(rows))


def make_rows(count: int) -> Rows:
    """Rows whose features differ from row to row; one feature appears only late."""
    rng = random.Random(3)
    rows: Rows = []
    for number in range(count):
        row: dict[str, Any] = {"amount": rng.gauss(0, 1)}
        if rng.random() < 0.6:
            row["kind"] = rng.choice(["x", "y", "z"])
        if number >= 40:
            row["late"] = 1.0
        rows.append(row)
    return rows


def learned(rows: Rows, cuts: list[int], count: int) -> ReferenceProfile | None:
    waiting = Waiting(10_000)
    for start, end in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        if end > start:
            add(waiting, rows[start:end])
        profile = waiting.learn(0, NAMES, count, 5, 2)
        if profile is not None:
            return profile
    return None


@pytest.mark.parametrize("seed", range(8))
def test_a_reference_is_the_same_however_the_log_is_cut(seed: int) -> None:
    """Rows 40 and later bring a new feature, and may come in the same batch as the 40th: it is none of theirs."""
    rows = make_rows(60)
    rng = random.Random(seed)
    cuts = sorted(rng.choices(range(61), k=rng.randrange(6)))
    expected = learned(rows[:40], [], 40)
    assert expected is not None
    assert set(expected.features) == {"amount", "kind"}
    assert learned(rows, cuts, 40) == expected


def test_too_few_rows_teach_nothing() -> None:
    waiting = Waiting(10_000)
    add(waiting, make_rows(39))
    add(waiting, make_rows(39), group=1)
    assert waiting.learn(0, NAMES, 40, 5, 2) is None


@pytest.mark.parametrize("step", [1, 3, 7, 25])
def test_exactly_the_oldest_rows_make_room(step: int) -> None:
    waiting = Waiting(10)
    gone: list[int] = []
    for start in range(0, 25, step):
        add(waiting, make_rows(min(step, 25 - start)), start_ms=start)
        gone += [int(time) for part in waiting.make_room(()) for time in part.timestamp_ms]
    assert gone == list(range(15))
    assert len(waiting) == 10
    assert [int(time) for part in waiting.take(0) for time in part.timestamp_ms] == list(range(15, 25))


def test_rows_that_are_learned_from_go_last() -> None:
    waiting = Waiting(10)
    add(waiting, make_rows(6), group=0)
    add(waiting, make_rows(8), group=1, start_ms=100)
    assert [(part.group, len(part)) for part in waiting.make_room({0})] == [(1, 4)]
    add(waiting, make_rows(7), group=0, start_ms=200)
    assert [(part.group, len(part)) for part in waiting.make_room({0})] == [(1, 4), (0, 3)]


def test_parts_are_forgotten_when_no_window_wants_them() -> None:
    waiting = Waiting(100)
    for group in range(3):
        add(waiting, make_rows(5), group=group, start_ms=10 * group)
    waiting.forget(lambda times: times >= 14, keep={0})
    assert waiting.groups() == {0, 1, 2}  # of group 1 the row at 14 is wanted
    waiting.forget(lambda times: times >= 15, keep={0})
    assert waiting.groups() == {0, 2}


def replay(entries: list[tuple[bytes, bytes | None]]) -> Waiting:
    kept: dict[int, WaitingRows] = {}
    for key, value in entries:
        number = int(key.removeprefix(b"waiting/"))
        if value is None:
            kept.pop(number, None)
        else:
            kept[number] = decode_waiting(number, value)
    waiting = Waiting(10)
    waiting.restore(kept)
    return waiting


def content(waiting: Waiting) -> list[Any]:
    return [
        (part.group, part.timestamp_ms.tolist(), {name: values_of(one) for name, one in part.columns.items()})
        for part in waiting._parts.values()
    ]


@pytest.mark.parametrize("seed", range(10))
def test_the_changelog_restores_the_live_state_at_every_commit(seed: int) -> None:
    rng = random.Random(seed)
    live, log = Waiting(10), []
    for step in range(30):
        action = rng.random()
        if action < 0.6:
            add(live, make_rows(rng.randrange(1, 6)), group=rng.randrange(3), start_ms=step)
            list(live.make_room({1}))
        elif action < 0.75:
            list(live.take(rng.randrange(3)))
        elif action < 0.85:
            floor = step - 5
            live.forget(lambda times, floor=floor: times > floor, {2})  # type: ignore[misc]  # bound where it is made
        else:
            log += list(live.changelog())
            restored = replay(log)
            assert content(restored) == content(live)
            assert len(restored) == len(live)
            if rng.random() < 0.5:
                live = restored
    list(live.take(0)), list(live.take(1)), list(live.take(2))
    log += list(live.changelog())
    last = dict(log)
    assert set(last.values()) <= {None}, "nothing waits, so compaction leaves nothing"


def test_parts_fit_into_a_record_whatever_their_texts() -> None:
    texts = {f"text-{number}": "".join(chr(0x1F600 + number % 50) for _ in range(1_000)) for number in range(100)}
    waiting = Waiting(10_000)
    add(waiting, [dict(texts) for _ in range(30)] + [{"wide": float(number)} for number in range(5_000)])
    sizes = [len(value or b"") for _, value in waiting.changelog()]
    assert max(sizes) < 800_000
    assert len(sizes) > 1


def test_selected_rows_carry_their_own_texts_only() -> None:
    column = column_of(["a", 1.0, None, "b", "a"])
    picked = select_rows(column, np.array([1, 3]))
    assert values_of(picked) == [1.0, "b"]
    assert list(picked.texts) == ["b"]
    assert values_of(select_rows(column, np.array([], np.int64))) == []
