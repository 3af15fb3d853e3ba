"""The shapes that travel between the stages: records in, columns through, records out.

Rows are never objects here. A batch is a handful of numpy arrays, aligned by row, and small lists that dictionary
codes point into. All times are epoch milliseconds, UTC.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Int32s: TypeAlias = NDArray[np.int32]
Int64s: TypeAlias = NDArray[np.int64]
UInt8s: TypeAlias = NDArray[np.uint8]
UInt64s: TypeAlias = NDArray[np.uint64]
Float64s: TypeAlias = NDArray[np.float64]

NO_SEGMENT = ""
"""The segment that holds everything."""


class Task(IntEnum):
    """What a model predicts; the names in lower case stand in the events."""

    BINARY = 0
    MULTICLASS = 1
    MULTILABEL = 2
    REGRESSION = 3
    RANKING = 4

    @property
    def is_classes(self) -> bool:
        """Whether a prediction is one class label."""
        return self in (Task.BINARY, Task.MULTICLASS)


class LabelKind(IntEnum):
    """How a label came: its meaning is known only beside its prediction's task."""

    NUMBER = 0
    TEXT = 1
    SET = 2
    GAINS = 3


@dataclass(frozen=True, slots=True)
class Group:
    """What rows are counted by before segments and time: one version of one model."""

    model: str
    model_version: str
    task: Task


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Records of one topic partition, in log order, as they came.

    Attributes:
        topic: the name in the contract, without prefix.
        partition: the partition they were read from.
        offsets: n offsets, rising.
        keys: n record keys.
        values: n record values; None is a null record.
        headers: n header lists; None where a record has none.
    """

    topic: str
    partition: int
    offsets: Sequence[int]
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    headers: Sequence[Sequence[tuple[str, bytes | None]] | None]

    def __len__(self) -> int:
        """The number of records."""
        return len(self.offsets)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A row or record that could not be used, with where it came from and why.

    Attributes:
        topic: the input topic's name in the contract.
        partition: its partition.
        offset: the record's offset.
        row: the row inside a columnar record; None when the whole record is bad.
        reason: a fixed code, see ``schemas/dead_letter.v1.json``.
        detail: one sentence for a person.
        value: the original bytes (of the whole record; of the row alone, re-encoded, when ``row`` is given).
    """

    topic: str
    partition: int
    offset: int
    row: int | None
    reason: str
    detail: str
    value: bytes


@dataclass(frozen=True, slots=True)
class FeatureColumn:
    """One feature of k rows; a row holds a number, a text, or neither (missing).

    Attributes:
        numbers: float64[k]; NaN where the row holds no number. Booleans are 0 and 1.
        codes: int32[k], an index into ``texts`` or -1; None when no row holds a text.
        texts: the distinct texts.
    """

    numbers: Float64s
    codes: Int32s | None = None
    texts: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """The features of those rows of a batch that belong to one group and carry features.

    Attributes:
        group: index into the batch's ``groups``.
        rows: int32[k], the batch rows, rising.
        columns: feature name to k values.
    """

    group: int
    rows: Int32s
    columns: Mapping[str, FeatureColumn]


@dataclass(frozen=True, slots=True)
class Ragged:
    """k lists of members: the labels of sets, or the items of rankings with their gains.

    Attributes:
        starts: int64[k + 1], list i has the members from ``starts[i]`` to ``starts[i + 1]``.
        codes: int64[m]: of a set, rising class codes; of a ranking, 64-bit hashes of the items' names, best first; of
            gains, such hashes rising.
        weights: float64[m], an item's gain; 1 where members have none.
    """

    starts: Int64s
    codes: Int64s
    weights: Float64s

    def __len__(self) -> int:
        """The number of lists."""
        return len(self.starts) - 1


@dataclass(frozen=True, slots=True)
class Members:
    """The lists of those rows of a batch that have one.

    Attributes:
        row: int64[k], their rows, rising.
        lists: their lists; of sets with indexes into the batch's ``classes``, in any order but none twice.
    """

    row: Int64s
    lists: Ragged


NO_LISTS = Ragged(np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0))
NO_MEMBERS = Members(np.zeros(0, np.int64), NO_LISTS)


@dataclass(frozen=True, slots=True)
class Predictions:
    """n decoded predictions of one partition, in log order.

    Attributes:
        offset: int64[n], the record's offset.
        row: int32[n], the row inside its record (0 for a single event).
        key: uint64[n, 2], the 128-bit hash of (model, prediction_id).
        timestamp_ms: int64[n].
        group: int32[n], index into ``groups``.
        value: int64[n]: for binary and multiclass an index into ``classes``; for regression the bit pattern of the
            float64; for multilabel and ranking a 64-bit hash of the canonical form.
        score: float64[n], NaN where absent.
        latency_ms: float64[n], NaN where absent.
        segment_set: int32[n], index into ``segment_sets``.
        groups: the distinct (model, version, task).
        classes: the distinct class names, see ``codec.class_name``.
        segment_sets: the distinct sets of segments, each a sorted tuple of ``name=value``; often just ``((),)``.
        features: one table a group that carries features.
        members: what ``value`` is the hash of.
    """

    offset: Int64s
    row: Int32s
    key: UInt64s
    timestamp_ms: Int64s
    group: Int32s
    value: Int64s
    score: Float64s
    latency_ms: Float64s
    segment_set: Int32s
    groups: Sequence[Group]
    classes: Sequence[str]
    segment_sets: Sequence[tuple[str, ...]]
    features: Sequence[FeatureTable] = ()
    members: Members = NO_MEMBERS

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.offset)


@dataclass(frozen=True, slots=True)
class Labels:
    """n decoded labels of one partition, in log order.

    Attributes:
        offset: int64[n], the record's offset.
        row: int32[n], the row inside its record.
        key: uint64[n, 2], the 128-bit hash of (model, prediction_id).
        timestamp_ms: int64[n].
        model: int32[n], index into ``models``.
        kind: uint8[n], a ``LabelKind``. Booleans and integers up to 2^53 are numbers; larger integers are texts.
        value: int64[n]: NUMBER the bit pattern of the float64; TEXT an index into ``classes``; SET and GAINS a 64-bit
            hash of the canonical form, of a set the same that a prediction of these labels has.
        models: the distinct models.
        classes: the distinct texts.
        members: what the values of sets and gains are the hashes of.
    """

    offset: Int64s
    row: Int32s
    key: UInt64s
    timestamp_ms: Int64s
    model: Int32s
    kind: UInt8s
    value: Int64s
    models: Sequence[str]
    classes: Sequence[str]
    members: Members = NO_MEMBERS

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.offset)


@dataclass(frozen=True, slots=True)
class Resources:
    """n decoded resource readings of one partition, in log order, one row a (event, metric).

    Attributes:
        offset: int64[n], the record's offset.
        row: int32[n], the event's place inside its record (0 for a single event).
        timestamp_ms: int64[n].
        host: int32[n], index into ``hosts``.
        metric: int32[n], index into ``metrics``.
        value: float64[n], finite.
        hosts: the distinct hosts.
        metrics: the distinct metric names.
        events: the number of resource events the rows came from.
    """

    offset: Int64s
    row: Int32s
    timestamp_ms: Int64s
    host: Int32s
    metric: Int32s
    value: Float64s
    hosts: Sequence[str]
    metrics: Sequence[str]
    events: int

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.offset)


@dataclass(frozen=True, slots=True)
class Cells:
    """Where rows are counted: each cell is one (group, segment, pane); a row counts in every cell it is paired with.

    Attributes:
        row: int32[m], the row of pair i.
        cell: int32[m], the cell of pair i.
        group: int32[c], each cell's index into ``groups``.
        segment: c segments, ``""`` for everything.
        pane_start_ms: int64[c].
        groups: the groups that ``group`` points into.
    """

    row: Int32s
    cell: Int32s
    group: Int32s
    segment: Sequence[str]
    pane_start_ms: Int64s
    groups: Sequence[Group]

    def __len__(self) -> int:
        """The number of cells."""
        return len(self.group)


@dataclass(frozen=True, slots=True)
class LabelChanges:
    """n contributions of a label to its prediction's cells: +1 when it is counted, -1 when a correction takes it back.

    Attributes:
        predicted: int64[n], as ``Predictions.value`` but with indexes into this batch's ``classes``.
        label: int64[n], in the same coding as ``predicted``.
        sign: int64[n], +1 or -1.
        classes: the class names.
        guessed: n lists, the members of sets and rankings that were predicted; no list at all where none of the
            contributions is of such a task.
        stated: n lists, the members of their labels; likewise.
        delay_ms: int64[n], the label's own time less the prediction's, below 0 for a label that came first; empty where
            no delays are counted.
        score: float64[n], the probability of the positive class that a binary model gave, a 32-bit float; NaN where
            absent, empty where no contribution can have one.
        cutoffs: how many first items of a ranking are looked at, rising.
    """

    predicted: Int64s
    label: Int64s
    sign: Int64s
    classes: Sequence[str]
    guessed: Ragged = NO_LISTS
    stated: Ragged = NO_LISTS
    delay_ms: Int64s = field(default_factory=lambda: np.empty(0, np.int64))
    score: Float64s = field(default_factory=lambda: np.empty(0, np.float64))
    cutoffs: tuple[int, ...] = (1, 5, 10)

    def __len__(self) -> int:
        """The number of contributions."""
        return len(self.sign)


@dataclass(frozen=True, slots=True)
class OutputRecord:
    """A record to produce inside the transaction.

    Attributes:
        topic: the name in the contract, without prefix.
        key: the record key; None for dead letters.
        value: the encoded event; None writes a tombstone.
        partition: a fixed partition, or None to let the key's murmur2 hash choose.
        schema: the event's name for the ``schema`` header, e.g. ``alert.v1``; None for internal records.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None = None
    schema: str | None = None


@dataclass(frozen=True, slots=True)
class Flush:
    """What one commit carries besides the input offsets.

    Attributes:
        outputs: the records for the output topics.
        changelog: key and value of each state change; a None value deletes the key.
        rows: how many rows were read since the last flush, dead letters included.
    """

    outputs: Sequence[OutputRecord] = ()
    changelog: Sequence[tuple[bytes, bytes | None]] = ()
    rows: int = 0


Json: TypeAlias = Any
"""A JSON value as orjson reads and writes it."""


@dataclass(slots=True)
class Decoded:
    """What decoding a record batch gave: columns for the good rows, dead letters for the others."""

    rows: Predictions | Labels | Resources
    dead: list[DeadLetter] = field(default_factory=list)
