from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.paths import find

EVENT = {
    "throughput_per_s": 4.0,
    "quality": {"accuracy": 0.9, "macro_f1": None, "per_class": {"a.b": {"f1": 0.5}, "a": {"b.f1": 0.6, "f1": 0.7}}},
    "drift": {
        "amount": {"psi": 0.3, "drifted": True},
        "a.b": {"psi": 0.1},
        "a": {"psi": 0.2, "b": {"psi": 0.25}},
        "*": {"psi": 0.4},
        "amount.psi": {"psi": 0.5},
    },
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("throughput_per_s", {"throughput_per_s": 4.0}),
        ("quality.accuracy", {"quality.accuracy": 0.9}),
        ("quality.macro_f1", {"quality.macro_f1": None}),
        ("quality.none", {}),
        ("quality.accuracy.more", {}),
        ("qualit", {}),
        ("drift.amount.psi", {"drift.amount.psi": 0.3}),
        ("drift.amount.psi.psi", {"drift.amount.psi.psi": 0.5}),
    ],
)
def test_a_path_leads_to_what_stands_there(path: str, found: dict[str, Any]) -> None:
    assert {where: value for where, value in find(EVENT, path) if not isinstance(value, dict)} == found


def test_keys_may_hold_dots() -> None:
    # Both the feature "a.b" and the part "b" of "a" are written drift.a.b.psi.
    assert sorted(find(EVENT, "drift.a.b.psi")) == [("drift.a.b.psi", 0.1), ("drift.a.b.psi", 0.25)]
    assert sorted(value for _, value in find(EVENT, "quality.per_class.a.b.f1")) == [0.5, 0.6]


def test_a_star_stands_for_any_one_key_whatever_it_holds() -> None:
    assert dict(find(EVENT, "drift.*.psi")) == {
        "drift.amount.psi": 0.3,
        "drift.a.b.psi": 0.1,
        "drift.a.psi": 0.2,
        "drift.*.psi": 0.4,
        "drift.amount.psi.psi": 0.5,
    }
    assert dict(find(EVENT, "drift.*.*")).keys() >= {"drift.amount.psi", "drift.amount.drifted"}


def test_the_keys_of_a_list_are_its_places() -> None:
    event = {"worst": [{"value": 0.4}, {"value": 0.6}]}
    assert list(find(event, "worst.1.value")) == [("worst.1.value", 0.6)]
    assert dict(find(event, "worst.*.value")) == {"worst.0.value": 0.4, "worst.1.value": 0.6}
    assert list(find(event, "worst.2.value")) == list(find(event, "worst.value")) == []


def test_an_empty_path_is_the_value_itself() -> None:
    assert list(find(3, "")) == [("", 3)]


keys = st.text(alphabet="ab.*", min_size=1, max_size=3)
trees = st.recursive(st.integers(), lambda inner: st.dictionaries(keys, inner, max_size=3), max_leaves=8)


def leaves(value: Any, place: str = "") -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        return [(place, value)]
    return [leaf for key, inner in value.items() for leaf in leaves(inner, f"{place}.{key}" if place else key)]


@given(st.dictionaries(keys, trees, max_size=3))
def test_every_leaf_is_found_by_its_own_path(tree: dict[str, Any]) -> None:
    for path, value in leaves(tree):
        assert value in [found for _, found in find(tree, path)]
