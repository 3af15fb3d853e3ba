"""What labels add to their predictions' cells, for every task and every kind of label."""

import math
from typing import Any

import numpy as np
import pytest

from pipeline.core.dictionary import NO_CODE
from pipeline.core.events import Group, LabelKind, Task
from pipeline.core.join import NO_LABEL, Joined
from pipeline.core.scores import pack_scores
from pipeline.processors.labels import contributions

GROUPS = [Group("m", str(task.value), task) for task in Task]
CLASSES = ["no", "1", "yes"]


def bits(number: float) -> int:
    return int(np.array([number]).view(np.int64)[0])


def joined(*rows: tuple[Task, tuple[int, int] | None, tuple[int, int], int]) -> Joined:
    """Task, (kind, value) before, (kind, value) after, labels more."""
    count = len(rows)
    old = [row[1] or (NO_LABEL, 0) for row in rows]
    return Joined(
        timestamp_ms=np.full(count, 300),
        group=np.array([row[0].value for row in rows], np.int32),
        segment_set=np.zeros(count, np.int32),
        predicted=np.arange(count) + 40,
        labels=np.array([row[3] for row in rows], np.int32),
        old_kind=np.array([one[0] for one in old], np.uint8),
        new_kind=np.array([row[2][0] for row in rows], np.uint8),
        old_value=np.array([one[1] for one in old]),
        new_value=np.array([row[2][1] for row in rows]),
        old_label_ms=np.array([0 if row[1] is None else 500 + i for i, row in enumerate(rows)]),
        new_label_ms=np.arange(count) + 900,
        sequence=np.arange(count) + 70,
    )


def class_of_numbers(group: Any, numbers: Any) -> Any:
    assert len(group) == len(numbers)
    return np.array([1 if number == 1.0 else NO_CODE for number in numbers.tolist()], np.int64)


def told(*rows: Any) -> list[dict[str, int]]:
    part = contributions(joined(*rows), GROUPS, CLASSES, class_of_numbers)
    names = {name: weight for name, weight in part.counts.items() if weight is not None}
    return [
        {
            "row": int(part.source[i]),
            "predicted": int(part.changes.predicted[i]),
            "label": int(part.changes.label[i]),
            "sign": int(part.changes.sign[i]),
            "usable": int(part.usable[i]),
            **{name: int(weight[i]) for name, weight in names.items()},
        }
        for i in range(len(part.source))
    ]


def test_a_first_label_is_added() -> None:
    assert told((Task.BINARY, None, (LabelKind.TEXT, 2), 1)) == [
        {"row": 0, "predicted": 40, "label": 2, "sign": 1, "usable": 1, "labels": 1, "labelled": 1, "mismatched": 0}
    ]


def test_a_correction_adds_the_new_and_takes_the_old_back() -> None:
    new, old = told((Task.BINARY, (LabelKind.TEXT, 2), (LabelKind.TEXT, 0), 1))
    assert (new["label"], new["sign"], new["labels"]) == (0, 1, 1)
    assert (old["label"], old["sign"], old["labels"], old["labelled"]) == (2, -1, 0, -1)


def test_a_label_that_was_passed_over_changes_only_how_many_came() -> None:
    new, old = told((Task.MULTICLASS, (LabelKind.TEXT, 2), (LabelKind.TEXT, 2), 1))
    assert new["label"] == old["label"]
    assert new["sign"] + old["sign"] == new["labelled"] + old["labelled"] == 0
    assert new["labels"] + old["labels"] == 1


def test_a_number_is_a_class_where_classes_are_predicted() -> None:
    (row,) = told((Task.BINARY, None, (LabelKind.NUMBER, bits(1.0)), 1))
    assert (row["label"], row["usable"]) == (1, 1)
    (row,) = told((Task.BINARY, None, (LabelKind.NUMBER, bits(0.3)), 1))
    assert (row["usable"], row["labelled"], row["mismatched"]) == (0, 0, 1)


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("kind", LabelKind)
def test_a_label_counts_where_it_suits_the_task(task: Task, kind: LabelKind) -> None:
    suits = {
        Task.BINARY: {LabelKind.NUMBER, LabelKind.TEXT},
        Task.MULTICLASS: {LabelKind.NUMBER, LabelKind.TEXT},
        Task.REGRESSION: {LabelKind.NUMBER},
        Task.MULTILABEL: {LabelKind.SET},
        Task.RANKING: {LabelKind.GAINS},
    }
    (row,) = told((task, None, (kind, bits(1.0)), 1))
    assert row["usable"] == row["labelled"] == 1 - row["mismatched"] == (kind in suits[task])


def test_a_label_that_suits_replaces_one_that_does_not() -> None:
    new, old = told((Task.REGRESSION, (LabelKind.TEXT, 2), (LabelKind.NUMBER, bits(2.5)), 1))
    assert (new["labelled"], new["mismatched"], old["labelled"], old["mismatched"]) == (1, 0, 0, -1)
    assert new["label"] == bits(2.5)


def test_a_score_comes_back_with_its_prediction_and_from_no_other_task() -> None:
    rows = joined(
        (Task.BINARY, (LabelKind.TEXT, 2), (LabelKind.TEXT, 0), 1),
        (Task.REGRESSION, None, (LabelKind.NUMBER, bits(1.0)), 1),
        (Task.BINARY, None, (LabelKind.TEXT, 0), 1),
    )
    rows.predicted[:] = [*pack_scores(np.array([1]), np.array([0.25])).tolist(), bits(math.nan), 2]
    changes = contributions(rows, GROUPS, CLASSES, class_of_numbers).changes
    assert changes.predicted.tolist() == [1, bits(math.nan), 2, 1]
    np.testing.assert_array_equal(changes.score, [0.25, math.nan, math.nan, 0.25])
    assert not len(contributions(joined((Task.MULTICLASS, None, (LabelKind.TEXT, 0), 1)), GROUPS, CLASSES,
                                 class_of_numbers).changes.score)  # fmt: skip


def test_rows_keep_what_is_theirs() -> None:
    rows = told(
        (Task.BINARY, None, (LabelKind.TEXT, 2), 1),
        (Task.REGRESSION, (LabelKind.NUMBER, bits(1.0)), (LabelKind.NUMBER, bits(2.0)), 1),
        (Task.MULTILABEL, None, (LabelKind.SET, 9), 3),
    )
    assert [row["row"] for row in rows] == [0, 1, 2, 1]
    assert [row["predicted"] for row in rows] == [40, 41, 42, 41]
    assert [row["labels"] for row in rows] == [1, 1, 3, 0]


def test_each_label_has_its_own_delay() -> None:
    rows = [
        (Task.BINARY, (LabelKind.TEXT, 2), (LabelKind.TEXT, 0), 1),
        (Task.BINARY, None, (LabelKind.TEXT, 2), 1),
    ]
    part = contributions(joined(*rows), GROUPS, CLASSES, class_of_numbers)
    assert part.changes.delay_ms.tolist() == [600, 601, 200]
    assert part.changes.sign.tolist() == [1, 1, -1]
