import math
from collections.abc import Sequence

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.events import FeatureColumn
from pipeline.core.reference import (
    MAX_CATEGORY_CHARS,
    FeatureProfile,
    ReferenceProfile,
    build_profile,
    concatenate_columns,
)

NAN = math.nan


def column(items: Sequence[float | str | None]) -> FeatureColumn:
    numbers = np.array([item if isinstance(item, float) else NAN for item in items])
    texts = list(dict.fromkeys(item for item in items if isinstance(item, str)))
    codes = np.array([texts.index(item) if isinstance(item, str) else -1 for item in items], np.int32)
    return FeatureColumn(numbers, codes if texts else None, texts)


def profile(items: Sequence[float | str | None], bins: int = 4, max_categories: int = 2) -> FeatureProfile:
    built = build_profile(
        {"x": column(items)}, model="m", model_version="1", rows=len(items), bins=bins, max_categories=max_categories
    )
    return built.features["x"]


def test_quantile_bins_are_closed_above_and_open_outside() -> None:
    found = profile([float(i) for i in range(1, 101)])
    assert (found.kind, found.binning, found.bounds) == ("numeric", "edges", (25.0, 50.0, 75.0))
    assert found.counts == (25, 25, 25, 25, 0, 0)
    assert found.slot(column([-1e9, 25.0, 25.1, 75.0, 1e9, None, "text"])).tolist() == [0, 0, 1, 2, 3, 5, 4]


def test_equal_edges_collapse() -> None:
    found = profile([0.0] * 60 + [float(i) for i in range(1, 41)])
    assert found.bounds == (0.0, 15.0)
    assert found.counts == (60, 15, 25, 0, 0)


def test_few_distinct_values_are_their_own_bins() -> None:
    found = profile([1.0, 0.0, 1.0, -0.0])
    assert (found.binning, found.bounds, found.counts) == ("values", (0.0, 1.0), (2, 2, 0, 0))
    assert found.slot(column([0.5, -0.0, 2.0])).tolist() == [2, 0, 2]


def test_a_constant_feature_notices_any_other_value() -> None:
    found = profile([7.0] * 5)
    assert (found.bounds, found.counts) == ((7.0,), (5, 0, 0))
    assert found.slot(column([7.0, 7.000001])).tolist() == [0, 1]


def test_frequent_texts_get_slots_and_ties_go_to_the_lesser() -> None:
    found = profile(["b", "c", "a", "c", "d", None])
    assert (found.kind, found.binning, found.categories) == ("text", "none", ("c", "a"))
    assert found.counts == (2, 1, 2, 1)
    assert found.slot(column(["a", "b", 1.0, None])).tolist() == [1, 2, 2, 3]


def test_mixed_and_missing_features() -> None:
    mixed = profile([1.0, "a", None, 2.0])
    assert (mixed.kind, mixed.counts) == ("mixed", (1, 1, 1, 0, 1))
    missing = profile([None, None])
    assert (missing.kind, missing.counts) == ("missing", (0, 2))
    assert missing.slot(column([1.0, "a", None])).tolist() == [0, 0, 1]


items = (
    st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(0, 5).map(float) | st.text(max_size=2)
)


@given(values=st.lists(items, min_size=1, max_size=60), bins=st.integers(2, 12), most=st.integers(2, 4), data=st.data())
@settings(max_examples=100, deadline=None)
def test_profiles_hold_every_row_whatever_the_order(
    values: list[float | str | None], bins: int, most: int, data: st.DataObject
) -> None:
    found = profile(values, bins, most)
    assert sum(found.counts) == len(values)
    assert found.number_bins <= bins
    assert len(found.categories) <= most
    assert profile(data.draw(st.permutations(values)), bins, most) == found
    assert np.bincount(found.slot(column(values)), minlength=found.slots).tolist() == list(found.counts)


@given(values=st.lists(items, min_size=1, max_size=30))
@settings(max_examples=50, deadline=None)
def test_json_round_trip_keeps_the_id(values: list[float | str | None]) -> None:
    built = build_profile(
        {"x": column(values), "a": column(values)},
        model="m",
        model_version="1",
        rows=len(values),
        bins=10,
        max_categories=3,
    )
    read = ReferenceProfile.from_json(orjson.loads(orjson.dumps(built.to_json())))
    assert read == built
    assert read.id == built.id == built.to_json()["id"]


def test_the_id_is_of_the_content_not_of_the_order_of_features() -> None:
    def built(names: str, last: float) -> ReferenceProfile:
        columns = {name: column([1.0, last]) for name in names}
        return build_profile(columns, model="m", model_version="1", rows=2, bins=10, max_categories=3)

    assert built("ab", 2.0).id == built("ba", 2.0).id != built("ab", 3.0).id


GOOD = {"kind": "numeric", "binning": "edges", "bounds": [1.0, 2.0], "categories": [], "counts": [1, 1, 1, 0, 0]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bounds": [2.0, 1.0]}, "rise strictly"),
        ({"bounds": [1.0, 1e999]}, "finite"),
        ({"bounds": [], "counts": [1, 1, 1]}, "does not go with"),
        ({"counts": [3]}, "5 numbers"),
        ({"counts": [4, -1, 0, 0, 0]}, "5 numbers"),
        ({"counts": [1, 1, 1, 1, 0]}, "add up to 4"),
        ({"categories": ["a", "a"], "counts": [1, 1, 1, 0, 0, 0, 0]}, "distinct"),
        ({"kind": "odd"}, "odd"),
        ({"counts": None}, "array"),
    ],
)
def test_what_is_no_profile_is_refused(change: dict[str, object], message: str) -> None:
    value = {"model": "m", "model_version": "1", "rows": 3, "features": {"x": {**GOOD, **change}}}
    with pytest.raises(ValueError, match=message):
        ReferenceProfile.from_json(value)


def test_an_edited_profile_is_refused() -> None:
    value = {"model": "m", "model_version": "1", "rows": 3, "features": {"x": GOOD}}
    assert ReferenceProfile.from_json(value).rows == 3
    with pytest.raises(ValueError, match="build the profile again"):
        ReferenceProfile.from_json({**value, "id": "0123456789abcdef"})


def test_no_rows_and_short_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        build_profile({}, model="m", model_version="1", rows=0, bins=10, max_categories=3)
    with pytest.raises(ValueError, match="1 values for 2 rows"):
        build_profile({"x": column([1.0])}, model="m", model_version="1", rows=2, bins=10, max_categories=3)


def test_columns_of_batches_are_put_under_each_other() -> None:
    parts = [
        (2, {"x": column([1.0, "red"]), "y": column([1.0, 2.0])}),
        (1, {"y": column([None])}),
        (2, {"x": column(["blue", "red"])}),
    ]
    found = concatenate_columns(parts)
    texts = [found["x"].texts[code] if code >= 0 else None for code in found["x"].codes.tolist()]  # type: ignore[union-attr] # it holds texts
    assert texts == [None, "red", None, "blue", "red"]
    np.testing.assert_array_equal(found["x"].numbers, [1.0, NAN, NAN, NAN, NAN])
    np.testing.assert_array_equal(found["y"].numbers, [1.0, 2.0, NAN, NAN, NAN])
    assert found["y"].codes is None


def test_long_texts_name_no_category() -> None:
    texts = ["x" * MAX_CATEGORY_CHARS, "y" * (MAX_CATEGORY_CHARS + 1)]
    column = FeatureColumn(np.full(3, np.nan), np.array([0, 1, 1], np.int32), texts)
    profile = build_profile({"prompt": column}, model="m", model_version="1", rows=3, bins=4, max_categories=8)
    assert profile.features["prompt"].categories == (texts[0],)
    assert profile.features["prompt"].counts == (1, 2, 0)
