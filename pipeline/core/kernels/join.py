"""The join's inner loops: a hash table of keys, each with a short chain of rows.

A chain holds the predictions of one (model, prediction_id), one a version, and labels that some later prediction may
still need. ``pipeline.core.join`` explains the rules; here is only their arithmetic.
"""

from typing import Any

from pipeline.core.kernels.jit import kernel
from pipeline.core.kernels.join_rows import (
    EARLY_MS,
    EMPTY,
    FREE,
    HORIZON_MS,
    LABEL,
    MAX_KEPT_LABELS,
    NO_LABEL,
    PREDICTION,
    find_slot,
    touch,
)


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
def _copy_prediction(change: Any, row: Any) -> None:
    change["timestamp_ms"] = row["timestamp_ms"]
    change["predicted"] = row["value"]
    change["group"] = row["group"]
    change["segment_set"] = row["segment_set"]


@kernel
def _gather_labels(rows: Any, head: Any, new: Any, horizon_ms: Any, early_ms: Any, touched: Any) -> None:
    """Give a new prediction row the best of the labels that its chain knows already."""
    row = rows[new]
    node = head
    while node != EMPTY:
        other = rows[node]
        known = (
            node != new
            and other["kind"] != FREE
            and other["label_kind"] != NO_LABEL
            and not _seen_before(rows, head, node, other["label_sequence"])
        )
        if known and joinable(horizon_ms, early_ms, row, other["label_effective_ms"]):
            row["labels"] += 1
            if other["kind"] == LABEL:
                other["labels"] += 1
                touch(rows, node, touched)
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
    touched: Any,
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
        touched: int32[1 + c], the rows that have changed.

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
        spare = EMPTY
        doubled = False
        while node != EMPTY and not doubled:
            row = rows[node]
            if row["kind"] == FREE:
                spare = node
            doubled = (
                row["kind"] == PREDICTION
                and row["group"] == group[i]
                and effective_ms[i] <= row["timestamp_ms"] + horizon_ms
            )
            node = row["next"]
        duplicate[i] = doubled
        if doubled:
            continue
        place, used = _place(table, rows, used, slot, spare)
        row = rows[place]
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
        touch(rows, place, touched)
        if head != EMPTY:
            _gather_labels(rows, head, place, horizon_ms, early_ms, touched)
        if row["label_kind"] != NO_LABEL:
            change = changes[count]
            _copy_prediction(change, row)
            change["labels"] = row["labels"]
            change["old_kind"] = NO_LABEL
            change["new_kind"] = row["label_kind"]
            change["old_value"] = 0
            change["new_value"] = row["label_value"]
            change["sequence"] = row["label_sequence"]
            count += 1
    return used, count


@kernel
def _place(table: Any, rows: Any, used: Any, slot: Any, spare: Any) -> Any:
    """Where a chain's new row goes: a free row of the chain, else a new one at its head; and the rows then in use."""
    if spare != EMPTY:
        return spare, used
    rows[used]["next"] = table[slot]
    table[slot] = used
    return used, used + 1


@kernel
def _fill_label_row(row: Any, key0: Any, key1: Any, model: Any, labels: Any) -> None:
    row["key0"] = key0
    row["key1"] = key1
    row["value"] = 0
    row["group"] = model
    row["segment_set"] = 0
    row["labels"] = labels
    row["kind"] = LABEL


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
    lost: Any,
    touched: Any,
) -> Any:
    """Give labels to their predictions; the last by label time wins, and keep what a later prediction may need.

    Of one key no more than ``MAX_KEPT_LABELS`` are kept: what comes beyond joins the predictions that are there.

    Args:
        table: int32[2^k], heads of chains.
        rows: ROW[c].
        used: rows in use.
        start: the first label to take; the others were taken by an earlier call.
        key, timestamp_ms, effective_ms, model, kind, value, sequence: n labels; the sequence rises along the log.
        final_ms: no prediction before this moment will come.
        limits_ms: int64[2], the label horizon and the early-label horizon.
        changes: CHANGE[m], out.
        lost: uint8[n], out: 1 where a label joined nothing and could not be kept.
        touched: int32[1 + c], the rows that have changed.

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
        kept = 0
        spare = EMPTY
        node = table[slot]
        while node != EMPTY:
            length += 1
            if rows[node]["kind"] == LABEL:
                kept += 1
            elif rows[node]["kind"] == FREE:
                spare = node
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
                touch(rows, node, touched)
                change = changes[count]
                _copy_prediction(change, row)
                change["labels"] = 1
                change["old_kind"] = row["label_kind"]
                change["old_value"] = row["label_value"]
                if row["label_kind"] == NO_LABEL or timestamp_ms[i] > row["label_timestamp_ms"]:
                    if (
                        kept < MAX_KEPT_LABELS
                        and row["label_kind"] != NO_LABEL
                        and row["label_effective_ms"] + early_ms >= final_ms
                        and not _has_label_row(rows, table[slot], row["label_sequence"])
                    ):
                        place, used = _place(table, rows, used, slot, spare)
                        spare = EMPTY
                        kept += 1
                        old = rows[place]
                        _fill_label_row(old, key[i, 0], key[i, 1], model[i], 1)
                        touch(rows, place, touched)
                        old["timestamp_ms"] = row["label_timestamp_ms"]
                        old["effective_ms"] = row["label_effective_ms"]
                        _copy_label(old, row)
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
        if not took and kept >= MAX_KEPT_LABELS:
            lost[i] = could_join == 0
        elif not took:
            place, used = _place(table, rows, used, slot, spare)
            row = rows[place]
            _fill_label_row(row, key[i, 0], key[i, 1], model[i], could_join)
            touch(rows, place, touched)
            row["timestamp_ms"] = timestamp_ms[i]
            row["effective_ms"] = effective_ms[i]
            row["label_timestamp_ms"] = timestamp_ms[i]
            row["label_effective_ms"] = effective_ms[i]
            row["label_sequence"] = sequence[i]
            row["label_value"] = value[i]
            row["label_kind"] = kind[i]
        i += 1
    return i, used, count
