"""What keeps the rows of the join's hot store in order: commits, expiry, restores."""

from typing import Any

import numpy as np

from pipeline.core.kernels.jit import lean_kernel as kernel
from pipeline.core.kernels.join_rows import (
    EARLY_MS,
    EMPTY,
    FREE,
    HORIZON_MS,
    LABEL,
    LOOK_AHEAD,
    NO_LABEL,
    PREDICTION,
    USED,
    find_slot,
    free_row,
    place_row,
    place_stated,
    room,
    touch,
)


@kernel
def take_touched(hot: Any, start: Any, stop: Any, rows: Any, stated: Any) -> Any:
    """Copy some of the rows that have changed, and forget that they have; the list of them stays.

    Args:
        hot: the store.
        start, stop: which of the changed rows.
        rows: ROW[n], out: these rows, without their places in chains.
        stated: STATED[n], out: their labels; ``label`` of a row says which.

    Returns:
        (rows, labels) written.
    """
    count = 0
    labels = 0
    for i in range(1 + start, 1 + stop):
        node = hot.touched[i]
        hot.rows[node]["dirty"] = 0
        if hot.rows[node]["kind"] != FREE:
            labels += copy_out(hot, node, rows, count, stated, labels)
            count += 1
    return count, labels


@kernel
def copy_out(hot: Any, node: Any, rows: Any, count: Any, stated: Any, labels: Any) -> Any:
    """Copy a row to ``rows[count]``, its label to ``stated[labels]``; how many labels that took, 0 or 1."""
    rows[count] = hot.rows[node]
    target = rows[count]
    target["next"] = EMPTY
    target["dirty"] = 0
    target["siblings"] = 0
    if target["label"] == EMPTY:
        return 0
    stated[labels] = hot.stated[target["label"]]
    target["label"] = labels
    return 1


@kernel
def sweep(hot: Any, final_ms: Any, limits_ms: Any, model: Any, effective_ms: Any) -> Any:
    """Give up what no event can change any more.

    A prediction past the label horizon is freed; a label of its that a later prediction of the same id could still
    need stays as a label row. A label that waited in vain is reported once.

    Args:
        hot: the store.
        final_ms: no event before this moment will come.
        limits_ms: int64[2], the label horizon and the early-label horizon.
        model, effective_ms: int32[d] and int64[d], out: the labels that never met a prediction.

    Returns:
        Number of unmatched labels.
    """
    count = 0
    rows = hot.rows
    for i in range(hot.counts[USED]):
        if i % LOOK_AHEAD == 0 and _look_ahead(hot, i, final_ms, limits_ms) < 0:
            break  # never: see there
        row = rows[i]
        if row["kind"] == PREDICTION and row["timestamp_ms"] + limits_ms[HORIZON_MS] < final_ms:
            if row["label_kind"] == NO_LABEL:
                free_row(hot, i)
            else:
                to_label_row(row, hot.stated[row["label"]])
                if row["effective_ms"] + limits_ms[EARLY_MS] >= final_ms:
                    touch(hot, i)
        if row["kind"] == LABEL and row["effective_ms"] + limits_ms[EARLY_MS] < final_ms:
            if row["labels"] == 0:
                model[count] = row["group"]
                effective_ms[count] = row["effective_ms"]
                count += 1
            free_row(hot, i)
    return count


@kernel
def _look_ahead(hot: Any, start: Any, final_ms: Any, limits_ms: Any) -> Any:
    """As ``join_rows.look_ahead``, for the rows that are about to be freed and what moves into their slots."""
    found = np.int64(0)
    for i in range(start, min(hot.counts[USED], start + LOOK_AHEAD)):
        row = hot.rows[i]
        if row["kind"] != FREE and row["timestamp_ms"] + limits_ms[HORIZON_MS] < final_ms:
            slot = find_slot(hot, row["key0"], row["key1"]) + 1
            behind = hot.table[slot if slot < len(hot.table) else 0]
            found |= slot if behind == EMPTY else np.int64(hot.rows[behind]["kind"])
    return found


@kernel
def to_label_row(row: Any, stated: Any) -> None:
    """Let only the label of a prediction's row stay."""
    row["kind"] = LABEL
    row["labels"] = 1
    row["group"] = 0  # only an unmatched label's model is ever read, and this one was matched
    row["timestamp_ms"] = stated["timestamp_ms"]
    row["effective_ms"] = stated["effective_ms"]


@kernel
def adopt(hot: Any, rows: Any, stated: Any, start: Any, stop: Any) -> Any:
    """Take rows of the changelog in, later rows replacing earlier ones of the same identity.

    A prediction is the same when key, group and time are; a label when key and sequence are.

    Args:
        hot: the store; it has all other rows of the same keys.
        rows: ROW[n].
        stated: STATED[m], their labels.
        start, stop: the rows to take.

    Returns:
        Rows taken so far: fewer than ``stop`` when the store has no room.
    """
    free_rows, free_stateds = room(hot)
    for i in range(start, stop):
        source = rows[i]
        if free_rows == 0 or free_stateds == 0:
            return i
        slot = find_slot(hot, source["key0"], source["key1"])
        node = hot.table[slot]
        while node != EMPTY and not _same(hot, hot.rows[node], source, stated):
            node = hot.rows[node]["next"]
        if node == EMPTY:
            node = place_row(hot, slot)
            free_rows -= 1
        row = hot.rows[node]
        row["key0"] = source["key0"]
        row["key1"] = source["key1"]
        row["timestamp_ms"] = source["timestamp_ms"]
        row["effective_ms"] = source["effective_ms"]
        row["value"] = source["value"]
        row["group"] = source["group"]
        row["segment_set"] = source["segment_set"]
        row["labels"] = source["labels"]
        row["kind"] = source["kind"]
        if source["label"] != EMPTY:
            if row["label"] == EMPTY:
                free_stateds -= 1
            hot.stated[place_stated(hot, row)] = stated[source["label"]]
            row["label_kind"] = source["label_kind"]
    return stop


@kernel
def _same(hot: Any, row: Any, source: Any, stated: Any) -> Any:
    if row["kind"] != source["kind"]:
        return False
    if row["kind"] == LABEL:
        return hot.stated[row["label"]]["sequence"] == stated[source["label"]]["sequence"]
    return row["group"] == source["group"] and row["timestamp_ms"] == source["timestamp_ms"]


@kernel
def latest_expiry(rows: Any, stated: Any, limits_ms: Any) -> Any:
    """When the last of some rows can be forgotten.

    Args:
        rows: ROW[n].
        stated: STATED[m], their labels.
        limits_ms: int64[2], the label horizon and the early-label horizon.

    Returns:
        The joint watermark must be past this moment.
    """
    latest = np.int64(-(1 << 62))
    for i in range(len(rows)):
        row = rows[i]
        if row["kind"] == PREDICTION:
            latest = max(latest, row["timestamp_ms"] + limits_ms[HORIZON_MS])
        if row["label"] != EMPTY:
            latest = max(latest, stated[row["label"]]["effective_ms"] + limits_ms[EARLY_MS])
    return latest
