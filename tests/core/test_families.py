"""The laws that every family keeps: any sharding, order, wire trip and re-merge gives the same state."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.accumulate.offsets import fold_offsets
from pipeline.core.events import (
    Cells,
    FeatureColumn,
    FeatureTable,
    Group,
    LabelChanges,
    Members,
    Predictions,
    Ragged,
    Task,
)
from pipeline.core.families import FAMILIES, Context, Family, State
from pipeline.core.reference import ReferenceProfile, build_profile

GROUPS = [Group(f"model-{task.name.lower()}", "1", task) for task in Task]
CLASSES = ["0", "1", "cat", "dog"]
SEGMENTS = ["", "country=DE"]
TEXTS = ["red", "green", "", "blue"]

States = dict[tuple[int, str, int], Any]


@dataclass(frozen=True)
class Row:
    group: int
    segments: int
    pane: int
    latency_ms: float
    features: dict[str, float | str | None] | None
    predicted: int
    label: int
    numbers: tuple[float, float]
    offset: int
    delay_ms: int
    lists: tuple[tuple[tuple[int, float], ...], tuple[tuple[int, float], ...]]
    score: float = math.nan
    sign: int = 1


finite = st.floats(allow_nan=False, allow_infinity=False)
values = finite | st.sampled_from(TEXTS) | st.none() | st.sampled_from([0.0, -0.0, 1.0])
lists = st.dictionaries(st.integers(0, len(CLASSES) - 1), st.floats(-1, 9), max_size=3).map(
    lambda members: tuple(sorted(members.items()))
)
rows = st.builds(
    Row,
    group=st.integers(0, len(GROUPS) - 1),
    segments=st.integers(0, 2),
    pane=st.integers(0, 2),
    latency_ms=finite | st.sampled_from([math.nan, 0.0, -0.0]) | st.floats(0.1, 1000),
    features=st.none() | st.dictionaries(st.sampled_from(["a", "b", "c"]), values),
    predicted=st.integers(0, len(CLASSES) - 1),
    label=st.integers(0, len(CLASSES) - 1),
    numbers=st.tuples(finite, finite) | st.tuples(st.floats(-10, 10), st.floats(-10, 10)),
    offset=st.integers(0, 2**40),
    lists=st.tuples(lists, lists),
    score=st.floats(0, 1, width=32) | st.sampled_from([math.nan, 0.0, 1.0, 0.5, 0.25, 0.25 + 2**-20]),
    delay_ms=st.integers(-10, 2**40) | st.integers(1, 40),
)


def column_of(items: Sequence[float | str | None]) -> FeatureColumn:
    numbers = np.array([item if isinstance(item, float) else math.nan for item in items])
    texts = list(dict.fromkeys(item for item in items if isinstance(item, str)))
    codes = np.array([texts.index(item) if isinstance(item, str) else -1 for item in items], np.int32)
    return FeatureColumn(numbers, codes if texts else None, texts)


REFERENCES: dict[Group, ReferenceProfile] = {
    group: build_profile(
        {
            "a": column_of([float(i) for i in range(40)]),
            "b": column_of(["red", "green", 1.0, None] * 10),
            "gone": column_of([None] * 40),
        },
        model=group.model,
        model_version="1",
        rows=40,
        bins=10,
        max_categories=2,
    )
    for group in GROUPS[:3]
}


def segments_of(row: Row) -> list[str]:
    return SEGMENTS[: 1 + row.segments % 2]


def cells_of(batch: Sequence[Row]) -> Cells:
    """Cells in the order in which a batch's rows touch them: another one in each sharding."""
    number: dict[tuple[int, str, int], int] = {}
    pairs = [
        (index, number.setdefault((row.group, segment, row.pane), len(number)))
        for index, row in enumerate(batch)
        for segment in segments_of(row)
    ]
    return Cells(
        row=np.array([row for row, _ in pairs], np.int32),
        cell=np.array([cell for _, cell in pairs], np.int32),
        group=np.array([group for group, _, _ in number], np.int32),
        segment=[segment for _, segment, _ in number],
        pane_start_ms=np.array([pane for _, _, pane in number], np.int64),
        groups=GROUPS,
    )


def coded(row: Row, index: int, number: float) -> int:
    return int(np.array([number]).view(np.int64)[0]) if GROUPS[row.group].task is Task.REGRESSION else index


def predictions_of(batch: Sequence[Row]) -> Predictions:
    count = len(batch)
    tables = []
    for group in range(len(GROUPS)):
        mine = [i for i, row in enumerate(batch) if row.group == group and row.features is not None]
        features = [batch[i].features or {} for i in mine]
        names = sorted({name for one in features for name in one})
        columns = {name: column_of([one.get(name) for one in features]) for name in names}
        if mine:
            tables.append(FeatureTable(group, np.array(mine, np.int32), columns))
    return Predictions(
        offset=np.array([row.offset for row in batch], np.int64),
        row=np.zeros(count, np.int32),
        key=np.zeros((count, 2), np.uint64),
        timestamp_ms=np.array([row.pane for row in batch], np.int64),
        group=np.array([row.group for row in batch], np.int32),
        value=np.array([coded(row, row.predicted, row.numbers[0]) for row in batch], np.int64),
        score=np.array([row.score for row in batch], np.float64),
        latency_ms=np.array([row.latency_ms for row in batch], np.float64),
        segment_set=np.zeros(count, np.int32),
        groups=GROUPS,
        classes=CLASSES,
        segment_sets=[()],
        features=tables,
        members=members_of(batch),
    )


def members_of(batch: Sequence[Row]) -> Members:
    scored = [i for i, row in enumerate(batch) if GROUPS[row.group].task is Task.MULTICLASS and row.lists[0]]
    scores = [[(code, abs(weight) / 9) for code, weight in batch[i].lists[0]] for i in scored]
    return Members(np.array(scored, np.int64), ragged(scores))


def ragged(lists: Sequence[Sequence[tuple[int, float]]]) -> Ragged:
    flat = [member for one in lists for member in one]
    starts = np.cumsum([0, *map(len, lists)])
    return Ragged(starts, np.array([code for code, _ in flat], np.int64), np.array([gain for _, gain in flat], float))


def guessed_of(row: Row) -> Sequence[tuple[int, float]]:
    """Of classes with scores, the predicted one stands first."""
    if GROUPS[row.group].task is not Task.MULTICLASS or not row.lists[0]:
        return row.lists[0]
    return [(row.predicted, 0.0), *((code, abs(weight) / 9) for code, weight in row.lists[0])]


def changes_of(batch: Sequence[Row]) -> LabelChanges:
    return LabelChanges(
        predicted=np.array([coded(row, row.predicted, row.numbers[0]) for row in batch], np.int64),
        label=np.array([coded(row, row.label, row.numbers[1]) for row in batch], np.int64),
        sign=np.array([row.sign for row in batch], np.int64),
        classes=CLASSES,
        guessed=ragged([guessed_of(row) for row in batch]),
        stated=ragged([row.lists[1] for row in batch]),
        delay_ms=np.array([row.delay_ms for row in batch], np.int64),
        score=np.array([row.score for row in batch], np.float64),
    )


def fold(family: Family[Any], batch: Sequence[Row]) -> States:
    """The states of a batch by what their cell is, after a trip over the wire."""
    cells = cells_of(batch)
    states: dict[int, Any] = {}
    if family.fold_predictions is not None:
        states = family.fold_predictions(predictions_of(batch), cells, REFERENCES)
    elif family.fold_labels is not None:
        states = family.fold_labels(changes_of(batch), cells)
    elif family.name == "offsets":
        states = dict(fold_offsets("predictions", 3, np.array([row.offset for row in batch], np.int64), cells))
    assert not any(state.is_zero() for state in states.values())
    return {
        (int(cells.group[cell]), cells.segment[cell], int(cells.pane_start_ms[cell])): trip(family, state)
        for cell, state in states.items()
    }


def trip(family: Family[Any], state: State) -> Any:
    return family.from_wire(orjson.loads(orjson.dumps(state.to_wire())))


def merge(family: Family[Any], parts: Sequence[States]) -> States:
    merged: States = {}
    for part in parts:
        for key, state in part.items():
            merged.setdefault(key, family.zero()).merge(state)
    return merged


def wire(states: States) -> dict[Any, bytes]:
    return {key: orjson.dumps(state.to_wire()) for key, state in states.items() if not state.is_zero()}


each_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
settled = settings(max_examples=40, deadline=None)


@each_family
@given(batch=st.lists(rows, min_size=1, max_size=12), data=st.data())
@settled
def test_any_split_in_any_order_merges_to_the_whole(family: Family[Any], batch: list[Row], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(batch))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(batch)), max_size=3)))
    parts = [shuffled[low:high] for low, high in zip([0, *cuts], [*cuts, len(batch)], strict=True)]
    merged = merge(family, [fold(family, part) for part in parts])
    assert wire(merged) == wire(fold(family, batch))


@each_family
@given(batches=st.lists(st.lists(rows, max_size=6), min_size=3, max_size=3))
@settled
def test_merging_commutes_and_associates(family: Family[Any], batches: list[list[Row]]) -> None:
    first, second, third = (fold(family, batch) for batch in batches)
    forth = merge(family, [merge(family, [first, second]), third])
    back = merge(family, [third, merge(family, [second, first])])
    right = merge(family, [first, merge(family, [second, third])])
    assert wire(forth) == wire(back) == wire(right)


@each_family
@given(batches=st.lists(st.lists(rows, min_size=1, max_size=6), min_size=2, max_size=2))
@settled
def test_merging_leaves_the_other_state_alone(family: Family[Any], batches: list[list[Row]]) -> None:
    first, second = (fold(family, batch) for batch in batches)
    before = wire(first), wire(second)
    merged = merge(family, [first, second])
    merge(family, [merged, second])
    assert (wire(first), wire(second)) == before
    for state in merged.values():
        state.merge(trip(family, state))
    assert (wire(first), wire(second)) == before


@each_family
@given(batch=st.lists(rows, min_size=1, max_size=8))
@settled
def test_zero_is_neutral_and_survives_the_wire(family: Family[Any], batch: list[Row]) -> None:
    assert family.zero().is_zero()
    assert trip(family, family.zero()).is_zero()
    states = fold(family, batch)
    whole = wire(states)
    for state in states.values():
        state.merge(family.zero())
    assert wire(states) == whole


@pytest.mark.parametrize("family", [one for one in FAMILIES if one.fold_labels], ids=lambda family: family.name)
@given(batch=st.lists(rows, min_size=1, max_size=10), data=st.data())
@settled
def test_taking_labels_back_returns_to_what_was(family: Family[Any], batch: list[Row], data: st.DataObject) -> None:
    taken = data.draw(st.lists(st.sampled_from(range(len(batch))), unique=True))
    back = [replace(batch[index], sign=-1) for index in taken]
    kept = [row for index, row in enumerate(batch) if index not in taken]
    mixed = data.draw(st.permutations([*batch, *back]))
    assert wire(fold(family, mixed)) == wire(fold(family, kept))
    assert wire(merge(family, [fold(family, back), fold(family, batch)])) == wire(fold(family, kept))
    gone = merge(family, [fold(family, batch), fold(family, [replace(row, sign=-1) for row in batch])])
    assert all(state.is_zero() for state in gone.values())


def leaves(prefix: str, value: object) -> list[tuple[str, object]]:
    if isinstance(value, dict):
        return [leaf for name, one in value.items() for leaf in leaves(f"{prefix}.{name}" if prefix else name, one)]
    return [(prefix, value)]


@each_family
@given(batch=st.lists(rows, max_size=8), task=st.sampled_from(Task), known=st.booleans())
@settled
def test_every_report_is_json_and_every_null_has_its_reason(
    family: Family[Any],
    batch: list[Row],
    task: Task,
    known: bool,  # noqa: FBT001 - drawn by hypothesis
) -> None:
    if family.report is None:
        return
    group = GROUPS[task]
    states = merge(family, [fold(family, [replace(row, group=int(task)) for row in batch])])
    reference = REFERENCES.get(group) if known else None
    context = Context(
        model=group.model,
        model_version="1",
        task=task,
        segment="",
        window_size_ms=60_000,
        final=False,
        reference=reference,
        psi_threshold=0.2,
        js_threshold=0.1,
    )
    for state in [family.zero(), *states.values()]:
        report = family.report(state, context)
        found = dict(leaves("", report.values))
        assert not [path for path, value in found.items() if isinstance(value, float) and not math.isfinite(value)]
        assert {path for path, value in found.items() if value is None} <= set(report.reasons)
        for path in report.reasons:
            assert found.get(path) in (None, []), path
        assert orjson.loads(orjson.dumps(report.values)) == report.values


def test_names_are_distinct_and_each_family_can_be_filled() -> None:
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)
    by_fold: list[Callable[..., object] | None] = [family.fold_labels or family.fold_predictions for family in FAMILIES]
    assert sum(one is None for one in by_fold) == 1  # offsets, which are folded by ``fold_offsets``
