"""The rows of the join's store, their hash table, and what keeps both in order."""

from typing import Any

import numpy as np

from pipeline.core.kernels.jit import kernel

FREE = 0
PREDICTION = 1
LABEL = 2

NO_LABEL = 255
"""``label_kind`` of a prediction that has no label yet."""

EMPTY = -1
"""An unused slot of the table, and the end of a chain."""

MAX_KEPT_LABELS = 64
"""Label rows of one key at most: a publisher that gives one id to everything must not make chains that never end."""

ROW = np.dtype(
    [
        ("key0", np.uint64),
        ("key1", np.uint64),
        ("timestamp_ms", np.int64),  # the prediction's time; of a label row, the label's
        ("effective_ms", np.int64),  # the same, but not before the watermark of its partition when it was read
        ("value", np.int64),
        ("label_timestamp_ms", np.int64),
        ("label_effective_ms", np.int64),
        ("label_sequence", np.int64),
        ("label_value", np.int64),
        ("group", np.int32),  # of a label row, the model
        ("segment_set", np.int32),
        ("next", np.int32),
        ("labels", np.int32),  # labels that could join this prediction; of a label row, predictions that it could join
        ("kind", np.uint8),
        ("label_kind", np.uint8),
        ("dirty", np.uint8),  # changed since the last commit
    ],
    align=True,
)
"""One row of the store. A label row keeps its label in the same fields in which a prediction row keeps its own."""

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
        ("sequence", np.int64),  # of the label that the prediction has now
    ],
    align=True,
)
"""What a label did to a prediction; old and new are the same when an older label was passed over."""

HORIZON_MS = 0
EARLY_MS = 1


@kernel
def find_slot(table: Any, rows: Any, key0: Any, key1: Any) -> Any:
    """The table slot where a key's chain starts, or the empty slot where it would."""
    mask = len(table) - 1
    slot = np.int64(key0 & np.uint64(mask))
    while True:
        head = table[slot]
        if head == EMPTY or (rows[head]["key0"] == key0 and rows[head]["key1"] == key1):
            return slot
        slot = (slot + 1) & mask


@kernel
def touch(rows: Any, node: Any, touched: Any) -> None:
    """Note that a row has changed: what changed must be found at a commit without reading every open row.

    Args:
        rows: ROW[c].
        node: the row.
        touched: int32[1 + c], how many rows have changed since the last commit, then their numbers.
    """
    if not rows[node]["dirty"]:
        rows[node]["dirty"] = 1
        touched[0] += 1
        touched[touched[0]] = node


@kernel
def take_touched(rows: Any, touched: Any, out: Any) -> None:
    """Copy the rows that have changed, and forget that they have.

    Args:
        rows: ROW[c].
        touched: int32[1 + c], as ``touch`` left it; its count becomes 0.
        out: ROW[n], out: the n changed rows, without their places in chains.
    """
    for i in range(touched[0]):
        rows[touched[1 + i]]["dirty"] = 0
        out[i] = rows[touched[1 + i]]
        out[i]["next"] = EMPTY
    touched[0] = 0


@kernel
def find_touched(rows: Any, used: Any, touched: Any) -> None:
    """List the rows that have changed anew, from their marks."""
    touched[0] = 0
    for i in range(used):
        if rows[i]["dirty"]:
            touched[0] += 1
            touched[touched[0]] = i


@kernel
def sweep(rows: Any, used: Any, final_ms: Any, limits_ms: Any, unmatched: Any, touched: Any) -> Any:
    """Mark what no event can change any more.

    A prediction past the label horizon is freed; a label of its that a later prediction of the same id could still
    need stays as a label row. A label that waited in vain is reported once.

    Args:
        rows: ROW[c].
        used: rows in use.
        final_ms: no event before this moment will come.
        limits_ms: int64[2], the label horizon and the early-label horizon.
        unmatched: int32[c], out: rows of labels that never met a prediction.
        touched: int32[1 + c], the rows that have changed.

    Returns:
        (free rows among those in use, number of unmatched labels).
    """
    free = 0
    count = 0
    for i in range(used):
        row = rows[i]
        if row["kind"] == PREDICTION and row["timestamp_ms"] + limits_ms[HORIZON_MS] < final_ms:
            if row["label_kind"] == NO_LABEL:
                row["kind"] = FREE
            else:
                row["kind"] = LABEL
                row["labels"] = 1
                row["group"] = 0  # only an unmatched label's model is ever read, and this one was matched
                row["timestamp_ms"] = row["label_timestamp_ms"]
                row["effective_ms"] = row["label_effective_ms"]
                row["dirty"] = row["label_effective_ms"] + limits_ms[EARLY_MS] >= final_ms
        if row["kind"] == LABEL and row["label_effective_ms"] + limits_ms[EARLY_MS] < final_ms:
            if row["labels"] == 0:
                unmatched[count] = i
                count += 1
            row["kind"] = FREE
        if row["kind"] == FREE:
            row["dirty"] = 0
            free += 1
    find_touched(rows, used, touched)
    return free, count


@kernel
def relink(table: Any, rows: Any, used: Any, source: Any) -> Any:
    """Take rows into the table and chains of a store, later rows replacing earlier ones of the same identity.

    A prediction is the same when key, group and time are; a label when key and sequence are.

    Args:
        table: int32[2^k], changed; at least twice as many as rows.
        rows: ROW[c], changed.
        used: rows in use.
        source: ROW[n], used + n ≤ c; free rows are left out.

    Returns:
        Rows in use.
    """
    for i in range(len(source)):
        row = source[i]
        if row["kind"] == FREE:
            continue
        slot = find_slot(table, rows, row["key0"], row["key1"])
        node = table[slot]
        while node != EMPTY and not _same(rows[node], row):
            node = rows[node]["next"]
        if node == EMPTY:
            rows[used] = row
            rows[used]["next"] = table[slot]
            table[slot] = used
            used += 1
        else:
            following = rows[node]["next"]
            rows[node] = row
            rows[node]["next"] = following
    return used


@kernel
def latest_expiry(source: Any, limits_ms: Any) -> Any:
    """When the last of some rows can be forgotten.

    Args:
        source: ROW[n].
        limits_ms: int64[2], the label horizon and the early-label horizon.

    Returns:
        The joint watermark must be past this moment.
    """
    latest = np.int64(-(1 << 62))
    for i in range(len(source)):
        row = source[i]
        if row["kind"] == PREDICTION:
            latest = max(latest, row["timestamp_ms"] + limits_ms[HORIZON_MS])
        if row["label_kind"] != NO_LABEL:
            latest = max(latest, row["label_effective_ms"] + limits_ms[EARLY_MS])
    return latest


@kernel
def _same(a: Any, b: Any) -> Any:
    if a["kind"] != b["kind"]:
        return False
    if a["kind"] == LABEL:
        return a["label_sequence"] == b["label_sequence"]
    return a["group"] == b["group"] and a["timestamp_ms"] == b["timestamp_ms"]
