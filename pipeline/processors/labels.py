"""What a label's arrival adds to its prediction's cells, and what a correction takes back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.core.dictionary import NO_CODE
from pipeline.core.events import Float64s, Group, Int32s, Int64s, LabelChanges, LabelKind, Task, UInt8s
from pipeline.core.join import NO_LABEL, Joined
from pipeline.core.scores import unpack_scores

ClassOfNumbers = Callable[[Int32s, Float64s], Int64s]

# Tables: comparing whole columns with the members of an enumeration costs more than the rows of a small batch.
_IS_CLASS = np.array([task.is_classes for task in Task])
_NUMBER = int(LabelKind.NUMBER)
_FITS = np.zeros((len(Task), len(LabelKind)), np.bool_)
_FITS[_IS_CLASS, LabelKind.TEXT] = True
_FITS[Task.REGRESSION, LabelKind.NUMBER] = True
_FITS[Task.MULTILABEL, LabelKind.SET] = True
_FITS[Task.RANKING, LabelKind.GAINS] = True


@dataclass(frozen=True, slots=True)
class Contributions:
    """n signed contributions.

    Attributes:
        source: int64[n], the row of ``Joined`` each belongs to.
        changes: predicted and label value, and the sign.
        usable: bool[n], whether the label means something for the prediction's task.
        counts: name to int64[n], what each contribution counts.
        sequence: int64[n], the place in the log of the label that the prediction has now.
    """

    source: Int64s
    changes: LabelChanges
    usable: NDArray[np.bool_]
    counts: dict[str, Int64s | None]
    sequence: Int64s


def contributions(
    joined: Joined, groups: Sequence[Group], classes: Sequence[str], class_of_numbers: ClassOfNumbers
) -> Contributions:
    """Turn what labels did into signed contributions: the new label is added, the old one taken back.

    A label that was passed over is added and taken back at once: only ``labels`` counts it.

    Args:
        joined: what labels did to n predictions.
        groups: the groups by code.
        classes: the class names by code.
        class_of_numbers: the class codes of labels that came as numbers, given the predictions' groups and the numbers.

    Returns:
        n to 2n contributions.
    """
    old = np.flatnonzero(joined.old_kind != NO_LABEL)
    source = np.concatenate([np.arange(len(joined), dtype=np.int64), old])
    sign = np.ones(len(source), np.int64)
    sign[len(joined) :] = -1
    kind = np.concatenate([joined.new_kind, joined.old_kind[old]])
    value = np.concatenate([joined.new_value, joined.old_value[old]])
    delay_ms = np.concatenate([joined.new_label_ms, joined.old_label_ms[old]]) - joined.timestamp_ms[source]
    task = np.array([group.task for group in groups], np.int64)[joined.group[source]]
    label, usable = _resolve(task, kind, value, joined.group[source], class_of_numbers)
    more = np.zeros(len(source), np.int64)
    more[: len(joined)] = joined.labels
    predicted, score = _scored(joined.predicted[source], task)
    return Contributions(
        source,
        LabelChanges(predicted, label, sign, classes, delay_ms=delay_ms, score=score),
        usable,
        {"labels": more, "labelled": sign * usable, "mismatched": sign * ~usable},
        joined.sequence[source],
    )


def _scored(value: Int64s, task: Int64s) -> tuple[Int64s, Float64s]:
    """The predicted values, and the scores that those of binary models hold beside their class."""
    is_binary = task == Task.BINARY
    if is_binary.all():
        return unpack_scores(value)
    if not is_binary.any():
        return value, np.empty(0, np.float64)
    at, predicted, score = np.flatnonzero(is_binary), value.copy(), np.full(len(value), np.nan)
    predicted[at], score[at] = unpack_scores(value[at])  # those of other tasks may be any bits
    return predicted, score


def _resolve(
    task: Int64s, kind: UInt8s, value: Int64s, group: Int32s, class_of_numbers: ClassOfNumbers
) -> tuple[Int64s, NDArray[np.bool_]]:
    """Label values in the coding of their predictions, and which of them fit the task."""
    usable = _FITS[task, kind]
    named = np.flatnonzero(_IS_CLASS[task] & (kind == _NUMBER))
    if len(named):
        value = value.copy()
        value[named] = class_of_numbers(group[named], value[named].view(np.float64))
        usable[named] = value[named] != NO_CODE
    return value, usable
