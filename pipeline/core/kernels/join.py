"""The join's inner loops over a hash table of keys, each with a short chain of rows.

A chain holds the predictions of one (model, prediction_id), one a version, and labels that some later prediction may
still need. ``pipeline.core.join`` explains the rules; here is only their arithmetic.
"""

from typing import Any

from pipeline.core.kernels.jit import lean_kernel as kernel
from pipeline.core.kernels.join_rows import (
    EARLY_MS,
    EMPTY,
    HORIZON_MS,
    LABEL,
    LOOK_AHEAD,
    MAX_KEPT_LABELS,
    NO_LABEL,
    PREDICTION,
    find_slot,
    look_ahead,
    place_row,
    place_stated,
    room,
    touch,
)


@kernel
def joinable(horizon_ms: Any, early_ms: Any, row: Any, effective_ms: Any) -> Any:
    """Whether a label read at ``effective_ms`` belongs to a prediction row."""
    return effective_ms <= row["timestamp_ms"] + horizon_ms and row["effective_ms"] <= effective_ms + early_ms


@kernel
def _has_label_row(hot: Any, head: Any, sequence: Any) -> Any:
    rows = hot.rows
    node = head
    while node != EMPTY:
        if rows[node]["kind"] == LABEL and hot.stated[rows[node]["label"]]["sequence"] == sequence:
            return True
        node = rows[node]["next"]
    return False


@kernel
def _seen_before(hot: Any, head: Any, stop: Any, sequence: Any) -> Any:
    """Whether a label stands in the chain before row ``stop`` too: siblings may share one."""
    rows = hot.rows
    node = head
    while node != stop:
        row = rows[node]
        if row["label_kind"] != NO_LABEL and hot.stated[row["label"]]["sequence"] == sequence:
            return True
        node = row["next"]
    return False


@kernel
def _state(target: Any, timestamp_ms: Any, effective_ms: Any, sequence: Any, value: Any) -> None:
    target["timestamp_ms"] = timestamp_ms
    target["effective_ms"] = effective_ms
    target["sequence"] = sequence
    target["value"] = value


@kernel
def _copy_prediction(change: Any, row: Any) -> None:
    change["timestamp_ms"] = row["timestamp_ms"]
    change["predicted"] = row["value"]
    change["group"] = row["group"]
    change["segment_set"] = row["segment_set"]


@kernel
def _gather_labels(hot: Any, row: Any, head: Any, horizon_ms: Any, early_ms: Any) -> None:
    """Give a new prediction row the best of the labels that the chain behind it knows already."""
    rows = hot.rows
    stated = hot.stated
    node = head
    while node != EMPTY:
        other = rows[node]
        if other["label_kind"] != NO_LABEL:
            label = stated[other["label"]]
            if not _seen_before(hot, head, node, label["sequence"]) and joinable(
                horizon_ms, early_ms, row, label["effective_ms"]
            ):
                row["labels"] += 1
                if other["kind"] == LABEL:
                    other["labels"] += 1
                    touch(hot, node)
                better = row["label_kind"] == NO_LABEL
                if not better:
                    own = stated[row["label"]]
                    better = label["timestamp_ms"] > own["timestamp_ms"] or (
                        label["timestamp_ms"] == own["timestamp_ms"] and label["sequence"] < own["sequence"]
                    )
                if better:
                    stated[place_stated(hot, row)] = label
                    row["label_kind"] = other["label_kind"]
        node = other["next"]


@kernel
def _repeats(hot: Any, head: Any, group: Any, effective_ms: Any, horizon_ms: Any) -> Any:
    """Whether a prediction of a chain is of the same group and not past its horizon."""
    rows = hot.rows
    node = head
    while node != EMPTY:
        row = rows[node]
        if row["kind"] == PREDICTION and row["group"] == group and effective_ms <= row["timestamp_ms"] + horizon_ms:
            return True
        node = row["next"]
    return False


@kernel
def insert_predictions(
    hot: Any,
    start: Any,
    stop: Any,
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
        hot: the store.
        start, stop: which of n predictions to take.
        key, timestamp_ms, effective_ms, group, segment_set, value: n predictions.
        limits_ms: int64[2], the label horizon and the early-label horizon.
        duplicate: uint8[n], out: 1 where the row was a duplicate.
        changes: CHANGE[n], out: predictions that found their label waiting.

    Returns:
        (predictions taken so far, number of changes): fewer than ``stop`` when the store has no room.
    """
    horizon_ms = limits_ms[HORIZON_MS]
    early_ms = limits_ms[EARLY_MS]
    count = 0
    for i in range(start, stop):
        if (i - start) % LOOK_AHEAD == 0 and look_ahead(hot, key, i, stop) < 0:
            break
        slot = find_slot(hot, key[i, 0], key[i, 1])
        head = hot.table[slot]
        if head != EMPTY and _repeats(hot, head, group[i], effective_ms[i], horizon_ms):
            duplicate[i] = 1
            continue
        free_rows, free_stateds = room(hot)
        if free_rows == 0 or free_stateds == 0:
            return i, count
        place = place_row(hot, slot)
        row = hot.rows[place]
        row["key0"] = key[i, 0]
        row["key1"] = key[i, 1]
        row["timestamp_ms"] = timestamp_ms[i]
        row["effective_ms"] = effective_ms[i]
        row["value"] = value[i]
        row["group"] = group[i]
        row["segment_set"] = segment_set[i]
        row["labels"] = 0
        row["kind"] = PREDICTION
        touch(hot, place)
        if head != EMPTY:
            _gather_labels(hot, row, head, horizon_ms, early_ms)
        if row["label_kind"] != NO_LABEL:
            label = hot.stated[row["label"]]
            change = changes[count]
            _copy_prediction(change, row)
            change["labels"] = row["labels"]
            change["old_kind"] = NO_LABEL
            change["new_kind"] = row["label_kind"]
            change["old_value"] = 0
            change["new_value"] = label["value"]
            change["old_label_ms"] = 0
            change["new_label_ms"] = label["timestamp_ms"]
            change["sequence"] = label["sequence"]
            count += 1
    return stop, count


@kernel
def _place_label_row(hot: Any, slot: Any, key0: Any, key1: Any, model: Any, labels: Any, kind: Any) -> Any:
    """A label row with everything but its times and its label."""
    place = place_row(hot, slot)
    row = hot.rows[place]
    row["key0"] = key0
    row["key1"] = key1
    row["value"] = 0
    row["group"] = model
    row["segment_set"] = 0
    row["labels"] = labels
    row["kind"] = LABEL
    row["label_kind"] = kind
    place_stated(hot, row)
    touch(hot, place)
    return row


@kernel
def _keep_displaced(hot: Any, slot: Any, row: Any, model: Any) -> None:
    """Keep the label that a prediction is about to lose in a row of its own."""
    old = hot.stated[row["label"]]
    kept = _place_label_row(hot, slot, row["key0"], row["key1"], model, 1, row["label_kind"])
    kept["timestamp_ms"] = old["timestamp_ms"]
    kept["effective_ms"] = old["effective_ms"]
    hot.stated[kept["label"]] = old


@kernel
def _count_chain(hot: Any, head: Any) -> Any:
    """(rows of a chain, label rows among them)."""
    rows = hot.rows
    length = 0
    kept = 0
    node = head
    while node != EMPTY:
        length += 1
        kept += rows[node]["kind"] == LABEL
        node = rows[node]["next"]
    return length, kept


@kernel
def insert_labels(
    hot: Any,
    start: Any,
    stop: Any,
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
) -> Any:
    """Give labels to their predictions; the last by label time wins, and keep what a later prediction may need.

    Of one key no more than ``MAX_KEPT_LABELS`` are kept: what comes beyond joins the predictions that are there.

    Args:
        hot: the store.
        start, stop: which of n labels to take.
        key, timestamp_ms, effective_ms, model, kind, value, sequence: n labels; the sequence rises along the log.
        final_ms: no prediction before this moment will come.
        limits_ms: int64[2], the label horizon and the early-label horizon.
        changes: CHANGE[m], out.
        lost: uint8[n], out: 1 where a label joined nothing and could not be kept.

    Returns:
        (labels taken so far, number of changes): fewer than ``stop`` when the store or ``changes`` lacks room.
    """
    horizon_ms = limits_ms[HORIZON_MS]
    early_ms = limits_ms[EARLY_MS]
    rows = hot.rows
    stated = hot.stated
    count = 0
    for i in range(start, stop):
        if (i - start) % LOOK_AHEAD == 0 and look_ahead(hot, key, i, stop) < 0:
            break
        slot = find_slot(hot, key[i, 0], key[i, 1])
        length, kept = _count_chain(hot, hot.table[slot])
        if count + length > len(changes) or min(room(hot)) < length + 1:
            return i, count
        could_join = 0
        took = False
        node = hot.table[slot]
        while node != EMPTY:
            row = rows[node]
            if row["kind"] == PREDICTION and joinable(horizon_ms, early_ms, row, effective_ms[i]):
                could_join += 1
                row["labels"] += 1
                touch(hot, node)
                change = changes[count]
                count += 1
                _copy_prediction(change, row)
                _copy_old_label(change, row, stated)
                labelled = row["label_kind"] != NO_LABEL
                if not labelled or timestamp_ms[i] > stated[row["label"]]["timestamp_ms"]:
                    may_be_needed = labelled and stated[row["label"]]["effective_ms"] + early_ms >= final_ms
                    if may_be_needed and kept < MAX_KEPT_LABELS:
                        kept += _keep_displaced_once(hot, slot, row, model[i])
                    label = stated[place_stated(hot, row)]
                    _state(label, timestamp_ms[i], effective_ms[i], sequence[i], value[i])
                    row["label_kind"] = kind[i]
                    took = True
                _copy_new_label(change, row, stated[row["label"]])
            node = row["next"]
        if not took and kept >= MAX_KEPT_LABELS:
            lost[i] = could_join == 0
        elif not took:
            own = _place_label_row(hot, slot, key[i, 0], key[i, 1], model[i], could_join, kind[i])
            own["timestamp_ms"] = timestamp_ms[i]
            own["effective_ms"] = effective_ms[i]
            _state(stated[own["label"]], timestamp_ms[i], effective_ms[i], sequence[i], value[i])
    return stop, count


@kernel
def _copy_old_label(change: Any, row: Any, stated: Any) -> None:
    labelled = row["label_kind"] != NO_LABEL
    change["labels"] = 1
    change["old_kind"] = row["label_kind"]
    change["old_value"] = stated[row["label"]]["value"] if labelled else 0
    change["old_label_ms"] = stated[row["label"]]["timestamp_ms"] if labelled else 0


@kernel
def _copy_new_label(change: Any, row: Any, label: Any) -> None:
    change["new_kind"] = row["label_kind"]
    change["new_value"] = label["value"]
    change["new_label_ms"] = label["timestamp_ms"]
    change["sequence"] = label["sequence"]


@kernel
def _keep_displaced_once(hot: Any, slot: Any, row: Any, model: Any) -> Any:
    """Keep a prediction's label in a row of its own, unless one has it already; how many rows that took."""
    if _has_label_row(hot, hot.table[slot], hot.stated[row["label"]]["sequence"]):
        return 0
    _keep_displaced(hot, slot, row, model)
    return 1
