"""The rows of the join's hot store: their layout, their hash table and chains, and where free ones are found again.

A row takes 64 bytes, a cache line, and a label 32 more in an array of its own, so a prediction without a label touches
one line. The table holds the heads of chains, one a key; a slot is found from the key by open addressing. Rows and
labels that are given up go to free lists and are used again, so nothing is ever moved or copied to grow: the arrays
have their full length from the start, and the system gives them memory page by page as they are used.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.core.kernels.jit import lean_kernel as kernel

FREE = 0
PREDICTION = 1
LABEL = 2

NO_LABEL = 255
"""``label_kind`` of a prediction that has no label yet."""

EMPTY = -1
"""An unused slot of the table, the end of a chain or of a free list, and the label of a row that has none."""

MAX_KEPT_LABELS = 64
"""Label rows of one key at most: a publisher that gives one id to everything must not make chains that never end."""

ROW = np.dtype(
    [
        ("key0", np.uint64),
        ("key1", np.uint64),
        ("timestamp_ms", np.int64),  # the prediction's time; of a label row, the label's
        ("effective_ms", np.int64),  # the same, but not before the watermark of its partition when it was read
        ("value", np.int64),
        ("group", np.int32),  # of a label row, the model
        ("segment_set", np.int32),
        ("labels", np.int32),  # labels that could join this prediction; of a label row, predictions that it could join
        ("label", np.int32),  # where its label stands
        ("next", np.int32),  # in its chain; of a free row, in the free list
        ("kind", np.uint8),
        ("label_kind", np.uint8),
        ("dirty", np.uint8),  # listed among those changed since the last commit; a free row may still be listed
        ("siblings", np.uint8),  # its key has, or had, other rows
    ],
    align=True,
)
"""One row of the store, 64 bytes without a gap. A row of the kind ``LABEL`` has its label where a prediction has it."""

STATED = np.dtype(
    [
        ("timestamp_ms", np.int64),
        ("effective_ms", np.int64),
        ("sequence", np.int64),  # its place in the log; of a free one, the next free one
        ("value", np.int64),
    ],
    align=True,
)
"""A label as it was stated, 32 bytes; its kind stands in its row."""

CHANGE = np.dtype(
    [
        ("timestamp_ms", np.int64),  # of the prediction, as the next three
        ("predicted", np.int64),
        ("group", np.int32),
        ("segment_set", np.int32),
        ("labels", np.int32),  # how many labels more could join
        ("old_kind", np.uint8),
        ("new_kind", np.uint8),
        ("old_value", np.int64),
        ("new_value", np.int64),
        ("old_label_ms", np.int64),  # when the labels were stated, by themselves
        ("new_label_ms", np.int64),
        ("sequence", np.int64),  # of the label that the prediction has now
    ],
    align=True,
)
"""What a label did to a prediction; old and new are the same when an older label was passed over."""

HORIZON_MS = 0
EARLY_MS = 1

USED, FREE_ROW, FREE_ROWS, USED_STATED, FREE_STATED, FREE_STATEDS = range(6)
"""The places of ``Hot.counts``: rows in use at any time, the first free one of them, how many are; labels likewise."""

LOOK_AHEAD = 32
"""So many keys are looked up together: measured with 4 million open rows, 0.21 µs a label instead of 0.38."""

_LINE = 64
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)


class Hot(NamedTuple):
    """The arrays of the hot store, as kernels take them.

    Attributes:
        table: int32[s], heads of chains; at least twice as many slots as rows in use.
        rows: ROW[c].
        stated: STATED[d].
        touched: int32[1 + c], how many rows have changed since the last commit, then their numbers.
        counts: int64[6], see ``USED``.
    """

    table: NDArray[np.int32]
    rows: NDArray[np.void]
    stated: NDArray[np.void]
    touched: NDArray[np.int32]
    counts: NDArray[np.int64]


def make_hot(rows: int, stated: int, slots: int) -> Hot:
    """An empty store; what is not used takes no memory.

    Args:
        rows: how many rows it can hold.
        stated: how many labels.
        slots: of the table, for now.
    """
    counts = np.zeros(6, np.int64)
    counts[[FREE_ROW, FREE_STATED]] = EMPTY
    touched = np.zeros(1 + rows, np.int32)
    return Hot(make_table(slots), _lines(rows, ROW), _lines(stated, STATED), touched, counts)


def _lines(count: int, kind: np.dtype[np.void]) -> NDArray[np.void]:
    """Zeros that begin with a cache line."""
    raw = np.zeros(count * kind.itemsize + _LINE, np.uint8)
    start = -raw.ctypes.data % _LINE
    return raw[start : start + count * kind.itemsize].view(kind)


def make_table(slots: int) -> NDArray[np.int32]:
    """An empty table.

    Args:
        slots: how many.
    """
    return np.full(slots, EMPTY, np.int32)


@kernel
def home_slot(key0: Any, slots: Any) -> Any:
    """The slot where the search for a key begins: the key's upper bits, spread, as a fraction of all slots."""
    return np.int64((((key0 * _GOLDEN) >> _HALF) * np.uint64(slots)) >> _HALF)


@kernel
def find_slot(hot: Any, key0: Any, key1: Any) -> Any:
    """The table slot where a key's chain starts, or the empty slot where it would."""
    table = hot.table
    rows = hot.rows
    slots = len(table)
    slot = home_slot(key0, slots)
    while True:
        head = table[slot]
        if head == EMPTY or (rows[head]["key0"] == key0 and rows[head]["key1"] == key1):
            return slot
        slot += 1
        if slot == slots:
            slot = 0


@kernel
def look_ahead(hot: Any, key: Any, start: Any, stop: Any) -> Any:
    """Find the slots of the next keys, so that the processor waits for the memory of all of them at once.

    Args:
        hot: the store.
        key: uint64[n, 2].
        start, stop: where to begin, and where to end if ``LOOK_AHEAD`` keys do not end before.

    Returns:
        Something that nobody can know beforehand to be ≥ 0.
    """
    found = np.int64(0)
    for i in range(start, min(stop, start + LOOK_AHEAD)):
        found |= find_slot(hot, key[i, 0], key[i, 1])
    return found


@kernel
def room(hot: Any) -> Any:
    """(rows, labels) that there is still a place for; of rows no more than half as many as slots."""
    counts = hot.counts
    return (
        min(len(hot.rows), len(hot.table) >> 1) - counts[USED] + counts[FREE_ROWS],
        len(hot.stated) - counts[USED_STATED] + counts[FREE_STATEDS],
    )


@kernel
def place_row(hot: Any, slot: Any) -> Any:
    """Take a free row into the chain of a slot; there must be one. Its ``dirty`` stands as it was."""
    counts = hot.counts
    place = counts[FREE_ROW]
    if place != EMPTY:
        counts[FREE_ROW] = hot.rows[place]["next"]
        counts[FREE_ROWS] -= 1
    else:
        place = counts[USED]
        counts[USED] += 1
    row = hot.rows[place]
    head = hot.table[slot]
    row["next"] = head
    row["label"] = EMPTY
    row["label_kind"] = NO_LABEL
    row["siblings"] = head != EMPTY
    if head != EMPTY:
        hot.rows[head]["siblings"] = 1
    hot.table[slot] = place
    return place


@kernel
def place_stated(hot: Any, row: Any) -> Any:
    """The place of a row's label, a free one where it has none; there must be one."""
    if row["label"] != EMPTY:
        return row["label"]
    counts = hot.counts
    place = counts[FREE_STATED]
    if place != EMPTY:
        counts[FREE_STATED] = hot.stated[place]["sequence"]
        counts[FREE_STATEDS] -= 1
    else:
        place = counts[USED_STATED]
        counts[USED_STATED] += 1
    row["label"] = place
    return place


@kernel
def free_row(hot: Any, node: Any) -> None:
    """Take a row out of its chain, and give it and its label up."""
    rows = hot.rows
    row = rows[node]
    slot = find_slot(hot, row["key0"], row["key1"])
    head = hot.table[slot]
    if head != node:
        while rows[head]["next"] != node:
            head = rows[head]["next"]
        rows[head]["next"] = row["next"]
    elif row["next"] != EMPTY:
        hot.table[slot] = row["next"]
    else:
        _empty_slot(hot, slot)
    counts = hot.counts
    if row["label"] != EMPTY:
        hot.stated[row["label"]]["sequence"] = counts[FREE_STATED]
        counts[FREE_STATED] = row["label"]
        counts[FREE_STATEDS] += 1
    row["kind"] = FREE
    row["next"] = counts[FREE_ROW]
    counts[FREE_ROW] = node
    counts[FREE_ROWS] += 1


@kernel
def _empty_slot(hot: Any, slot: Any) -> None:
    """Empty a slot, and move up those behind it that would not be found across the gap."""
    table = hot.table
    slots = len(table)
    gap = slot
    while True:
        slot += 1
        if slot == slots:
            slot = 0
        head = table[slot]
        if head == EMPTY:
            break
        home = home_slot(hot.rows[head]["key0"], slots)
        stays = gap < home <= slot if gap < slot else gap < home or home <= slot
        if not stays:
            table[gap] = head
            gap = slot
    table[gap] = EMPTY


@kernel
def relink_all(hot: Any) -> None:
    """Build the chains anew, in a table that is empty."""
    rows = hot.rows
    for i in range(hot.counts[USED]):
        row = rows[i]
        if row["kind"] != FREE:
            slot = find_slot(hot, row["key0"], row["key1"])
            row["next"] = hot.table[slot]
            hot.table[slot] = i


@kernel
def touch(hot: Any, node: Any) -> None:
    """Note that a row has changed: what changed must be found at a commit without reading every open row."""
    if not hot.rows[node]["dirty"]:
        hot.rows[node]["dirty"] = 1
        touched = hot.touched
        touched[0] += 1
        touched[touched[0]] = node
