"""Members in a joiner: in codes of its own, found for what labels do, gone when their rows are."""

from typing import Any

import numpy as np
import orjson
import pytest

from pipeline.core.codec import decode_labels, decode_predictions
from pipeline.core.details import Details
from pipeline.core.events import Labels, Predictions, Ragged, RecordBatch
from pipeline.core.join import JoinLimits
from pipeline.core.join_hot import SharedMemory
from pipeline.processors.classes import ClassCodes
from pipeline.processors.members import Listed, MemberStore

LIMITS = JoinLimits(horizon_ms=800, early_ms=100)


class Members:
    """The members of a partition that allows three classes a model."""

    def __init__(self, *, class_scores: bool = True) -> None:
        self.classes = ClassCodes(3)
        details = Details(SharedMemory(1 << 20), LIMITS.horizon_ms)
        self.store = MemberStore(details, self.classes, LIMITS, (1, 5, 10), class_scores=class_scores)

    def predict(
        self, *rows: tuple[Any, ...], time_ms: int = 0, decoded_codes: list[int | None] | None = None
    ) -> tuple[Listed, list[int]]:
        head = {"prediction_id": "p", "model_version": "1", "timestamp_ms": 5}
        events = [
            {**head, "model": model, "task": task, "prediction": one, "scores": scores[0] if scores else None}
            for model, task, one, *scores in rows
        ]
        decoded = decode_predictions(records("predictions", events)).rows
        assert isinstance(decoded, Predictions)
        value, times_ms = decoded.value.copy(), np.full(len(rows), time_ms)
        for row, code in enumerate(decoded_codes or []):
            value[row] = value[row] if code is None else code
        listed = self.store.of_predictions(decoded, np.arange(len(rows)), value)
        self.store.keep_predicted(listed.among(listed.known), value[listed.known], times_ms[listed.known])
        return listed, value.tolist()

    def state(self, *rows: tuple[str, Any], effective_ms: int = 0) -> tuple[Listed, list[int]]:
        events = [{"prediction_id": "p", "model": model, "timestamp_ms": 5, "label": label} for model, label in rows]
        decoded = decode_labels(records("labels", events)).rows
        assert isinstance(decoded, Labels)
        value, times_ms = decoded.value.copy(), np.full(len(rows), effective_ms)
        listed = self.store.of_labels(decoded, np.arange(len(rows)), value)
        self.store.keep_stated(listed.among(listed.known), value[listed.known], times_ms[listed.known])
        return listed, value.tolist()

    def names(self, value: int) -> list[str] | None:
        lists, known = self.store.details.read(np.array([value]), np.ones(1, bool))
        return [self.classes.names[code] for code in lists.codes.tolist()] if known[0] else None


def records(topic: str, events: list[dict[str, Any]]) -> RecordBatch:
    values, count = [orjson.dumps(event) for event in events], len(events)
    return RecordBatch(topic, 0, range(count), [b""] * count, values, [None] * count)


def as_lists(lists: Ragged) -> list[list[int]]:
    return [lists.codes[low:high].tolist() for low, high in zip(lists.starts[:-1], lists.starts[1:], strict=True)]


def test_equal_sets_have_one_value_in_a_model_and_another_elsewhere() -> None:
    members = Members()
    _, predicted = members.predict(
        ("m", "multilabel", ["b", "a"]), ("n", "multilabel", ["a", "b"]), ("m", "binary", "a")
    )
    _, stated = members.state(("m", ["a", "b"]), ("n", ["b", "a"]))
    assert predicted[:2] == stated
    assert len(set(stated)) == 2
    assert sorted(members.names(stated[0]) or []) == sorted(members.names(stated[1]) or []) == ["a", "b"]


@pytest.mark.parametrize("set_first", [True, False])
def test_a_set_does_not_stand_for_a_ranking_that_looks_alike(set_first: bool) -> None:  # noqa: FBT001 - a parameter
    members = Members()
    if set_first:
        members.state(("m", ["a"]))
    _, (ranking,) = members.predict(("m", "ranking", ["a"]))
    _, (value,) = members.state(("m", ["a"]))
    lists, _ = members.store.details.read(np.array([ranking, value]), np.ones(2, bool))
    (item,), (label,) = as_lists(lists)
    assert item != label == 0


def test_rankings_keep_their_order_and_sets_and_gains_rise() -> None:
    members = Members()
    listed, _ = members.predict(("m", "ranking", ["b", "a", "c"]), ("m", "ranking", ["a", "c", "b"]))
    b, a, c = as_lists(listed.lists)[0]
    assert as_lists(listed.lists)[1] == [a, c, b]
    listed, _ = members.state(("m", {"c": 3, "a": 1, "b": 2}))
    worth = dict(zip(listed.lists.codes.tolist(), listed.lists.weights.tolist(), strict=True))
    assert worth == {a: 1.0, b: 2.0, c: 3.0}
    assert list(worth) == sorted(worth)
    listed, _ = members.predict(("m", "multilabel", ["z", "y"]), ("m", "multilabel", ["x", "y", "z"]))
    assert as_lists(listed.lists) == [[0, 1], [0, 1, 2]]


def test_a_row_with_a_class_too_many_is_known_by_that() -> None:
    members = Members()
    listed, values = members.predict(
        ("m", "multilabel", ["a", "b"]),
        ("m", "multilabel", ["c", "d"]),
        ("m", "multilabel", ["b"]),
        ("n", "ranking", ["e"]),
    )
    assert listed.known.tolist() == [True, False, True, True]
    assert [members.names(value) is not None for value in values[:3]] == [True, False, True]
    rest = listed.among(listed.known)
    assert rest.at.tolist() == [0, 1, 2]
    assert as_lists(rest.lists)[:2] == [[0, 1], [1]]
    listed, _ = members.state(("m", ["a", "x"]), ("m", {"x": 1}), ("m", 5))
    assert listed.known.tolist() == [False, True, True]


def test_a_class_with_scores_leads_their_list_and_its_hash_is_no_class_code() -> None:
    members = Members()
    listed, values = members.predict(
        ("m", "multiclass", "b", {"a": 0.25, "b": 0.75}),
        ("m", "multiclass", "a", {"b": 0.75, "a": 0.25}),
        ("m", "multilabel", ["a"]),
        ("m", "multiclass", "b", {"a": 0.25, "b": 0.75}),
        ("m", "multiclass", "b", None),
        decoded_codes=[1, 0, None, 1, 1],
    )
    a, b = (members.classes.code("m", name) for name in ("a", "b"))
    assert as_lists(listed.lists) == [[1, *sorted((a, b))], [0, *sorted((a, b))], [a], [1, *sorted((a, b))]]
    assert listed.lists.weights.tolist()[0] == 0.0
    assert values[0] == values[3] < 0 <= values[4]
    assert values[1] < 0
    assert values[1] != values[0]
    assert members.store.details.read(np.array(values), np.ones(5, bool))[1].tolist() == [True] * 4 + [False]


def test_scores_that_are_not_wanted_leave_the_class_alone_and_the_other_lists_there() -> None:
    members = Members(class_scores=False)
    scores = {"cat": 0.5, "dog": 0.5}
    listed, value = members.predict(
        ("m", "multiclass", "cat", scores), ("n", "multilabel", ["cat"]), decoded_codes=[7, None]
    )
    assert value[0] == 7
    assert listed.at.tolist() == [1]
    assert listed.known.all()
    assert members.names(value[1]) == ["cat"]


def test_members_are_there_for_as_long_as_their_rows() -> None:
    members = Members()
    _, (short,) = members.predict(("m", "multilabel", ["a"]))
    _, (long,) = members.state(("m", ["b"]))
    members.store.details.sweep(LIMITS.horizon_ms)
    assert members.names(short) == ["a"]
    members.store.details.sweep(LIMITS.horizon_ms + LIMITS.early_ms)
    assert members.names(short) is None  # the segments are that long here
    assert members.names(long) == ["b"]
    members.store.details.sweep(LIMITS.horizon_ms + 2 * LIMITS.early_ms)
    assert members.names(long) is None
