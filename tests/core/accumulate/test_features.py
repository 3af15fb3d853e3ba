"""Moments and bins: what a fold counts, by hand."""

import itertools
import json
import math
import random
from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.accumulate.bins import Bins, fold_bins
from pipeline.core.accumulate.exact_sum import ExactSum
from pipeline.core.accumulate.moments import MAX_FEATURES, Moments, fold_moments
from pipeline.core.events import Cells, FeatureColumn, FeatureTable, Group, Predictions, Task
from pipeline.core.reference import build_profile
from tests.moments import moments_of

GROUPS = [Group("m", "1", Task.BINARY), Group("n", "1", Task.BINARY)]
NAN = math.nan


def batch(rows: int, tables: Sequence[tuple[int, list[int], Mapping[str, FeatureColumn]]]) -> Predictions:
    zeros, times, values = np.zeros(rows, np.int32), np.zeros(rows, np.int64), np.full(rows, NAN)
    features = [FeatureTable(group, np.array(mine, np.int32), columns) for group, mine, columns in tables]
    keys = np.zeros((rows, 2), np.uint64)
    return Predictions(times, zeros, keys, times, zeros, times, values, values, zeros, GROUPS, [], [()], features)


def cells(pairs: list[tuple[int, int]], groups: list[int]) -> Cells:
    row, cell = np.array(pairs, np.int32).reshape(-1, 2).T.copy()
    count = len(groups)
    return Cells(row, cell, np.array(groups, np.int32), [""] * count, np.zeros(count, np.int64), GROUPS)


MIXED = {
    "x": FeatureColumn(np.array([1.0, NAN, 3.0]), np.array([-1, 0, -1], np.int32), ["red"]),
    "y": FeatureColumn(np.array([NAN, NAN, 5.0])),
}
#   row      0  1  2  3      rows 0, 2, 3 carry features (x: 1 "red" 3, y: - - 5)
#   cell 1   x  x  x
#   cell 0   x        x
TABLE = batch(4, [(0, [0, 2, 3], MIXED)])
PAIRS = cells([(0, 1), (1, 1), (2, 1), (0, 0), (3, 0)], [0, 0])


def test_moments_count_rows_with_features_only() -> None:
    found = fold_moments(TABLE, PAIRS, {})
    assert {cell: state.rows for cell, state in found.items()} == {1: 2, 0: 2}
    first = found[0].features()["x"]
    assert (first.numbers, first.texts, first.least, first.greatest) == (2, 0, 1.0, 3.0)
    assert (first.total.divided_by(1), first.squares.divided_by(1)) == (4.0, 10.0)
    second = found[1].features()["x"]
    assert (second.numbers, second.texts) == (1, 1)
    assert found[1].names == ("x",)
    assert found[0].features()["y"].numbers == 1


def test_bins_follow_the_reference_of_the_group() -> None:
    learned = {"x": FeatureColumn(np.array([1.0, 2.0])), "z": FeatureColumn(np.array([1.0, 2.0]))}
    profile = build_profile(learned, model="m", model_version="1", rows=2, bins=10, max_categories=5)
    assert fold_bins(TABLE, PAIRS, {}) == {}
    found = fold_bins(TABLE, PAIRS, {GROUPS[0]: profile})
    #  slots: 1, 2, other, missing
    assert found[0].slots(profile, "x").tolist() == [1, 0, 1, 0]
    assert found[1].slots(profile, "x").tolist() == [1, 0, 1, 0]
    assert found[0].slots(profile, "z").tolist() == [0, 0, 0, 2]
    assert found[0].counts.tolist() == [1, 0, 1, 0, 0, 0]


def test_two_groups_in_one_batch_keep_apart() -> None:
    column = {"x": FeatureColumn(np.array([2.0]))}
    found = fold_moments(batch(2, [(0, [1], column), (1, [0], column)]), cells([(0, 0), (1, 1)], [1, 0]), {})
    assert {cell: state.rows for cell, state in found.items()} == {0: 1, 1: 1}


def test_a_group_whose_features_come_in_two_tables_is_counted_whole() -> None:
    tables = [(0, [0], {"x": FeatureColumn(np.array([2.0]))}), (0, [1], {"y": FeatureColumn(np.array([3.0]))})]
    rows = batch(2, tables)
    found = fold_moments(rows, cells([(0, 0), (1, 0)], [0]), {})
    assert found[0].rows == 2
    assert found[0].names == ("x", "y")
    profile = build_profile(
        {"x": FeatureColumn(np.array([2.0, 1.0]))}, model="m", model_version="1", rows=2, bins=4, max_categories=4
    )
    binned = fold_bins(rows, cells([(0, 0), (1, 0)], [0]), {rows.groups[0]: profile})
    assert binned[0].rows == 2


def test_counts_against_different_references_never_mix() -> None:
    def state(reference: str, rows: int) -> Bins:
        return Bins(reference, rows, np.array([rows, 0]))

    wires = []
    for order in itertools.permutations([state("a", 1), state("b", 2), state("a", 4)]):
        merged = Bins()
        for part in order:
            merged.merge(part)
        wires.append(merged.to_wire())
    assert wires == [["mixed", 7, 0, 0, [1, ""]]] * 6
    fresh = Bins()
    fresh.merge(Bins("b", 1))
    assert fresh.reference == "b"


@given(
    st.lists(st.lists(st.integers(0, 2**40), min_size=9, max_size=9), min_size=1, max_size=5),
    st.lists(st.integers(0, 4), max_size=5),
)
def test_bins_merge_in_any_order_and_come_back_from_the_wire(rows: list[list[int]], order: list[int]) -> None:
    parts = [Bins("a", 2**42, np.array(counts)) for counts in rows]
    merged = Bins()
    for at in [*(at for at in dict.fromkeys(order) if at < len(parts)), *set(range(len(parts))).difference(order)]:
        merged.merge(Bins.from_wire(json.loads(json.dumps(parts[at].to_wire()))))
    expected = np.sum(rows, axis=0)
    assert merged.rows == len(rows) * 2**42
    np.testing.assert_array_equal(merged.counts if len(merged.counts) else np.zeros(9), expected)
    assert merged.to_wire() == Bins("a", len(rows) * 2**42, expected).to_wire()
    for part, counts in zip(parts, rows, strict=True):
        assert part.counts.tolist() == counts


def test_a_state_holds_a_limited_number_of_features_whatever_the_order() -> None:
    def state(names: range) -> Moments:
        return moments_of({f"{name:05}": [float(name)] for name in names}, 1)

    parts = [range(900), range(500, 1500), range(1400, 3000)]
    forth, back = Moments(), Moments()
    for part in parts:
        forth.merge(state(part))
    for part in reversed(parts):
        back.merge(state(part))
    assert forth.to_wire() == back.to_wire()
    assert forth.limited
    assert len(forth.names) == MAX_FEATURES
    assert forth.features()["00600"].numbers == 2


FINITE = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.lists(st.one_of(FINITE, FINITE.filter(float.is_integer), st.just("text"), st.none()), max_size=4)


@given(st.lists(st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4), min_size=1, max_size=4), st.randoms())
def test_moments_of_parts_in_any_order_are_those_of_the_whole(
    parts: list[dict[str, list[float | str | None]]], chance: random.Random
) -> None:
    whole: dict[str, list[float | str | None]] = {}
    for at, part in enumerate(parts):
        for name in "abcd":
            mine = whole.setdefault(name, [])
            mine.extend([None] * (4 * at - len(mine)) + part.get(name, []))
    expected = moments_of(whole, 4 * len(parts))
    merged = Moments()
    for part in chance.sample(parts, len(parts)):
        merged.merge(Moments.from_wire(json.loads(json.dumps(moments_of(part, 4).to_wire()))))
    assert merged.to_wire() == expected.to_wire()
    for name, one in merged.features().items():
        numbers = [value for value in whole[name] if isinstance(value, float)]
        assert (one.numbers, one.texts) == (len(numbers), whole[name].count("text"))
        assert (one.least, one.greatest) == ((min(numbers), max(numbers)) if numbers else (None, None))
        assert fraction(one.total) == sum(map(Fraction, numbers))
        assert fraction(one.squares) == sum(Fraction(value) ** 2 for value in numbers)


def fraction(one: ExactSum) -> Fraction:
    return one.mantissa * Fraction(2) ** one.exponent
