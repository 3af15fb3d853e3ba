"""The join's inner loops: a hash table of keys, each with a short chain of rows.

A chain holds the predictions of one (model, prediction_id), one a version, and labels that some later prediction may
still need. ``pipeline.core.join`` explains the rules; here is only their arithmetic.
"""

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
        ("row", np.int32),
        ("labels", np.int32),  # how many labels more could join
        ("old_kind", np.uint8),
        ("new_kind", np.uint8),
        ("old_value", np.int64),
        ("new_value", np.int64),
        ("sequence", np.int64),  # of the label that the prediction has now
    ],
    align=True,
)
"""What a label did to a prediction row; old and new are the same when an older label was passed over."""

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
def joinable(horizon_ms: Any, early_ms: Any, row: Any, effective_ms: Any) -> Any:
    """Whether a label read at ``effective_ms`` belongs to a prediction row."""
    return effective_ms <= row["timestamp_ms"] + horizon_ms and row["effective_ms"] <= effective_ms + early_ms


@kernel
def _has_label_row(rows: Any, head: Any, sequence: Any) -> Any:
    node = head
    while node != EMPTY:
        if rows[node]["kind"] == LABEL and rows[node]["label_sequence"] == sequence:
            return True
        node = rows[node]["next"]
    return False


@kernel
def _seen_before(rows: Any, head: Any, stop: Any, sequence: Any) -> Any:
    """Whether a label stands in the chain before row ``stop`` too: siblings may share one."""
    node = head
    while node != stop:
        row = rows[node]
        if row["kind"] != FREE and row["label_kind"] != NO_LABEL and row["label_sequence"] == sequence:
            return True
        node = row["next"]
    return False


@kernel
def _copy_label(target: Any, source: Any) -> None:
    target["label_timestamp_ms"] = source["label_timestamp_ms"]
    target["label_effective_ms"] = source["label_effective_ms"]
    target["label_sequence"] = source["label_sequence"]
    target["label_value"] = source["label_value"]
    target["label_kind"] = source["label_kind"]


@kernel
def _gather_labels(rows: Any, head: Any, new: Any, horizon_ms: Any, early_ms: Any) -> None:
    """Give a new prediction row the best of the labels that its chain knows already."""
    row = rows[new]
    node = head
    while node != EMPTY:
        other = rows[node]
        known = (
            other["kind"] != FREE
            and other["label_kind"] != NO_LABEL
            and not _seen_before(rows, head, node, other["label_sequence"])
        )
        if known and joinable(horizon_ms, early_ms, row, other["label_effective_ms"]):
            row["labels"] += 1
            if other["kind"] == LABEL:
                other["labels"] += 1
                other["dirty"] = 1
            better = (
                row["label_kind"] == NO_LABEL
                or other["label_timestamp_ms"] > row["label_timestamp_ms"]
                or (
                    other["label_timestamp_ms"] == row["label_timestamp_ms"]
                    and other["label_sequence"] < row["label_sequence"]
                )
            )
            if better:
                _copy_label(row, other)
        node = other["next"]


@kernel
def insert_predictions(
    table: Any,
    rows: Any,
    used: Any,
    key: Any,
    timestamp_ms: Any,
    effective_ms: Any,
    group: Any,
    segment_set: Any,
    value: Any,
    limits_ms: Any,
    duplicate: Any,
    changes: Any,
) -> Any:
    """Insert predictions; the first of a (key, group) within the horizon wins.

    Args:
        table: int32[2^k], heads of chains; at least twice as many as rows.
        rows: ROW[c], room for ``used`` + n.
        used: rows in use.
        key, timestamp_ms, effective_ms, group, segment_set, value: n predictions.
        limits_ms: int64[2], the label horizon and the early-label horizon.
        duplicate: uint8[n], out: 1 where the row was a duplicate.
        changes: CHANGE[n], out: predictions that found their label waiting.

    Returns:
        (rows in use, number of changes).
    """
    horizon_ms = limits_ms[HORIZON_MS]
    early_ms = limits_ms[EARLY_MS]
    count = 0
    for i in range(len(timestamp_ms)):
        slot = find_slot(table, rows, key[i, 0], key[i, 1])
        head = table[slot]
        node = head
        doubled = False
        while node != EMPTY and not doubled:
            row = rows[node]
            doubled = (
                row["kind"] == PREDICTION
                and row["group"] == group[i]
                and effective_ms[i] <= row["timestamp_ms"] + horizon_ms
            )
            node = row["next"]
        duplicate[i] = doubled
        if doubled:
            continue
        row = rows[used]
        row["key0"] = key[i, 0]
        row["key1"] = key[i, 1]
        row["timestamp_ms"] = timestamp_ms[i]
        row["effective_ms"] = effective_ms[i]
        row["value"] = value[i]
        row["group"] = group[i]
        row["segment_set"] = segment_set[i]
        row["labels"] = 0
        row["kind"] = PREDICTION
        row["label_kind"] = NO_LABEL
        row["dirty"] = 1
        row["next"] = head
        if head != EMPTY:
            _gather_labels(rows, head, used, horizon_ms, early_ms)
        table[slot] = used
        if row["label_kind"] != NO_LABEL:
            change = changes[count]
            change["row"] = used
            change["labels"] = row["labels"]
            change["old_kind"] = NO_LABEL
            change["new_kind"] = row["label_kind"]
            change["old_value"] = 0
            change["new_value"] = row["label_value"]
            change["sequence"] = row["label_sequence"]
            count += 1
        used += 1
    return used, count


@kernel
def _append_label_row(
    table: Any, rows: Any, used: Any, slot: Any, key0: Any, key1: Any, model: Any, labels: Any
) -> Any:
    row = rows[used]
    row["key0"] = key0
    row["key1"] = key1
    row["value"] = 0
    row["group"] = model
    row["segment_set"] = 0
    row["labels"] = labels
    row["kind"] = LABEL
    row["dirty"] = 1
    row["next"] = table[slot]
    table[slot] = used
    return row


@kernel
def insert_labels(
    table: Any,
    rows: Any,
    used: Any,
    start: Any,
    key: Any,
    timestamp_ms: Any,
    effective_ms: Any,
    model: Any,
    kind: Any,
    value: Any,
    sequence: Any,
    final_ms: Any,
    limits_ms: Any,
    changes: Any,
) -> Any:
    """Give labels to their predictions; the last by label time wins, and keep what a later prediction may need.

    Args:
        table: int32[2^k], heads of chains.
        rows: ROW[c].
        used: rows in use.
        start: the first label to take; the others were taken by an earlier call.
        key, timestamp_ms, effective_ms, model, kind, value, sequence: n labels; the sequence rises along the log.
        final_ms: no prediction before this moment will come.
        limits_ms: int64[2], the label horizon and the early-label horizon.
        changes: CHANGE[m], out.

    Returns:
        (labels taken so far, rows in use, number of changes): fewer than n when ``rows`` or ``changes`` lack room.
    """
    horizon_ms = limits_ms[HORIZON_MS]
    early_ms = limits_ms[EARLY_MS]
    count = 0
    i = start
    while i < len(timestamp_ms):
        slot = find_slot(table, rows, key[i, 0], key[i, 1])
        length = 0
        node = table[slot]
        while node != EMPTY:
            length += 1
            node = rows[node]["next"]
        if count + length > len(changes) or used + length + 1 > len(rows):
            break
        could_join = 0
        took = False
        node = table[slot]
        while node != EMPTY:
            row = rows[node]
            if row["kind"] == PREDICTION and joinable(horizon_ms, early_ms, row, effective_ms[i]):
                could_join += 1
                row["labels"] += 1
                row["dirty"] = 1
                change = changes[count]
                change["row"] = node
                change["labels"] = 1
                change["old_kind"] = row["label_kind"]
                change["old_value"] = row["label_value"]
                if row["label_kind"] == NO_LABEL or timestamp_ms[i] > row["label_timestamp_ms"]:
                    if (
                        row["label_kind"] != NO_LABEL
                        and row["label_effective_ms"] + early_ms >= final_ms
                        and not _has_label_row(rows, table[slot], row["label_sequence"])
                    ):
                        old = _append_label_row(table, rows, used, slot, key[i, 0], key[i, 1], model[i], 1)
                        old["timestamp_ms"] = row["label_timestamp_ms"]
                        old["effective_ms"] = row["label_effective_ms"]
                        _copy_label(old, row)
                        used += 1
                    row["label_timestamp_ms"] = timestamp_ms[i]
                    row["label_effective_ms"] = effective_ms[i]
                    row["label_sequence"] = sequence[i]
                    row["label_value"] = value[i]
                    row["label_kind"] = kind[i]
                    took = True
                change["new_kind"] = row["label_kind"]
                change["new_value"] = row["label_value"]
                change["sequence"] = row["label_sequence"]
                count += 1
            node = row["next"]
        if not took:
            row = _append_label_row(table, rows, used, slot, key[i, 0], key[i, 1], model[i], could_join)
            row["timestamp_ms"] = timestamp_ms[i]
            row["effective_ms"] = effective_ms[i]
            row["label_timestamp_ms"] = timestamp_ms[i]
            row["label_effective_ms"] = effective_ms[i]
            row["label_sequence"] = sequence[i]
            row["label_value"] = value[i]
            row["label_kind"] = kind[i]
            used += 1
        i += 1
    return i, used, count


@kernel
def sweep(rows: Any, used: Any, final_ms: Any, limits_ms: Any, unmatched: Any) -> Any:
    """Mark what no event can change any more.

    A prediction past the label horizon is freed; a label of its that a later prediction of the same id could still
    need stays as a label row. A label that waited in vain is reported once.

    Args:
        rows: ROW[c].
        used: rows in use.
        final_ms: no event before this moment will come.
        limits_ms: int64[2], the label horizon and the early-label horizon.
        unmatched: int32[c], out: rows of labels that never met a prediction.

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
    return free, count


@kernel
def relink(table: Any, rows: Any, source: Any) -> Any:
    """Build the table and chains anew from rows, later rows replacing earlier ones of the same identity.

    A prediction is the same when key, group and time are; a label when key and sequence are.

    Args:
        table: int32[2^k], out; at least twice as many as rows.
        rows: ROW[c], out.
        source: ROW[n], n ≤ c; free rows are left out.

    Returns:
        Rows in use.
    """
    table[:] = EMPTY
    used = 0
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
def _same(a: Any, b: Any) -> Any:
    if a["kind"] != b["kind"]:
        return False
    if a["kind"] == LABEL:
        return a["label_sequence"] == b["label_sequence"]
    return a["group"] == b["group"] and a["timestamp_ms"] == b["timestamp_ms"]
