"""Rows of the join on their way from memory to the cold tier and back.

A segment holds its rows in blocks by their keys: a fraction of the key's spread bits, so a block is found by arithmetic
alone, and all rows of a key lie in the same one. Rows of one key move together.
"""

from typing import Any

import numpy as np

from pipeline.core.kernels.jit import lean_kernel as kernel
from pipeline.core.kernels.join_index import add_entry, remove_entry
from pipeline.core.kernels.join_rows import (
    EARLY_MS,
    EMPTY,
    FREE,
    HORIZON_MS,
    LABEL,
    NO_LABEL,
    PREDICTION,
    USED,
    find_slot,
    free_row,
    home_slot,
    place_row,
    place_stated,
    room,
)
from pipeline.core.kernels.join_upkeep import copy_out, to_label_row

COLD_ROW = np.dtype(
    [
        ("key0", np.uint64),
        ("key1", np.uint64),
        ("timestamp_ms", np.int64),
        ("effective_ms", np.int64),
        ("value", np.int64),
        ("label_timestamp_ms", np.int64),
        ("label_effective_ms", np.int64),
        ("label_sequence", np.int64),
        ("label_value", np.int64),
        ("group", np.int32),
        ("segment_set", np.int32),
        ("labels", np.int32),
        ("kind", np.uint8),
        ("label_kind", np.uint8),
        ("unused", np.uint16),
    ],
    align=True,
)
"""A row with its label, as it lies in a block: 88 bytes without a gap."""

CHOSEN, FOLLOWING = 2, 3
"""``siblings`` of a row that is about to leave: the first of its key, and the others."""


@kernel
def is_of(row: Any, waiting: Any) -> Any:
    """Whether a row is a label that waits for its prediction, which must be reported when it expires; or any other."""
    waits = row["kind"] == LABEL and row["labels"] == 0
    return waits if waiting else row["kind"] != FREE and not waits


@kernel
def sample_times(hot: Any, waiting: Any, step: Any, times: Any) -> Any:
    """The times of every ``step``-th row that waits, or of the others; how many there are."""
    count = 0
    for i in range(0, hot.counts[USED], step):
        if is_of(hot.rows[i], waiting):
            times[count] = hot.rows[i]["timestamp_ms"]
            count += 1
    return count


@kernel
def choose(hot: Any, waiting: Any, start: Any, latest_ms: Any, most: Any, chosen: Any) -> Any:
    """Choose rows to leave, with all rows of their keys that are of the same sort.

    Args:
        hot: the store; the rows that are chosen are marked.
        waiting: labels that wait, or all other rows.
        start: the row to begin with: behind where an earlier search ended, the next oldest are likely.
        latest_ms: only keys that have a row of this time or before.
        most: stop at so many rows.
        chosen: int32[c], out.

    Returns:
        (how many were chosen, where the search ended).
    """
    rows = hot.rows
    used = hot.counts[USED]
    count = 0
    i = start
    for _ in range(used):
        i = i + 1 if i + 1 < used else 0
        row = rows[i]
        if row["timestamp_ms"] > latest_ms or row["siblings"] >= CHOSEN or not is_of(row, waiting):
            continue
        if not row["siblings"]:
            row["siblings"] = CHOSEN
            chosen[count] = i
            count += 1
        else:
            node = hot.table[find_slot(hot, row["key0"], row["key1"])]
            mark = CHOSEN
            while node != EMPTY:
                if is_of(rows[node], waiting):
                    rows[node]["siblings"] = mark
                    mark = FOLLOWING
                    chosen[count] = node
                    count += 1
                node = rows[node]["next"]
        if count >= most:
            break
    return count, i


@kernel
def count_blocks(hot: Any, chosen: Any, ends: Any) -> None:
    """How many of the chosen rows each block gets: ``ends[1 + block]``."""
    for i in range(len(chosen)):
        ends[1 + home_slot(hot.rows[chosen[i]]["key0"], len(ends) - 1)] += 1


@kernel
def take_dirty(hot: Any, chosen: Any, rows: Any, stated: Any) -> Any:
    """Copy the chosen rows that the changelog does not have yet; returns (rows, labels) written."""
    count = 0
    labels = 0
    for i in range(len(chosen)):
        if hot.rows[chosen[i]]["dirty"]:
            labels += copy_out(hot, chosen[i], rows, count, stated, labels)
            count += 1
    return count, labels


@kernel
def move_out(hot: Any, chosen: Any, places: Any, out: Any, index: Any, segment: Any, limits_ms: Any) -> Any:
    """Move the chosen rows into the blocks of a segment.

    Args:
        hot: the store; the rows are freed.
        chosen: int32[n].
        places: int64[blocks], where the next row of each block goes; changed.
        out: COLD_ROW[n], out.
        index: uint32[k], the index of the cold tier.
        segment: the segment's number.
        limits_ms: int64[2], the label horizon and the early-label horizon.

    Returns:
        (whether all were moved: the index may be full, when the first of the labels expires, when the last row does).
    """
    first_ms = np.int64(1 << 62)
    latest_ms = np.int64(-(1 << 62))
    rows = hot.rows
    # Step by step over all rows: so short, the steps of many rows wait for memory at the same time.
    for i in range(len(chosen)):
        row = rows[chosen[i]]
        if row["siblings"] == CHOSEN and not add_entry(index, row["key0"], row["key1"], segment):
            return False, first_ms, latest_ms
    for i in range(len(chosen)):
        row = rows[chosen[i]]
        block = home_slot(row["key0"], len(places))
        target = out[places[block]]
        places[block] += 1
        _copy_cold(target, row)
        if row["kind"] == PREDICTION:
            latest_ms = max(latest_ms, row["timestamp_ms"] + limits_ms[HORIZON_MS])
        if row["label"] != EMPTY:
            _copy_cold_label(target, hot.stated[row["label"]])
            expiry_ms = target["label_effective_ms"] + limits_ms[EARLY_MS]
            first_ms = min(first_ms, expiry_ms)
            latest_ms = max(latest_ms, expiry_ms)
    for i in range(len(chosen)):
        free_row(hot, chosen[i])
    return True, first_ms, latest_ms


@kernel
def _copy_cold(target: Any, row: Any) -> None:
    target["key0"] = row["key0"]
    target["key1"] = row["key1"]
    target["timestamp_ms"] = row["timestamp_ms"]
    target["effective_ms"] = row["effective_ms"]
    target["value"] = row["value"]
    target["group"] = row["group"]
    target["segment_set"] = row["segment_set"]
    target["labels"] = row["labels"]
    target["kind"] = row["kind"]
    target["label_kind"] = row["label_kind"]


@kernel
def _copy_cold_label(target: Any, stated: Any) -> None:
    target["label_timestamp_ms"] = stated["timestamp_ms"]
    target["label_effective_ms"] = stated["effective_ms"]
    target["label_sequence"] = stated["sequence"]
    target["label_value"] = stated["value"]


@kernel
def move_in(
    hot: Any,
    key: Any,
    which: Any,
    block: Any,
    starts: Any,
    origins: Any,
    found: Any,
    gone: Any,
    index: Any,
    segment: Any,
    final_ms: Any,
    limits_ms: Any,
) -> Any:
    """Take the rows of some keys out of blocks of one segment and into the hot store.

    What has expired since it left is not taken in, and a label that outlives its prediction comes back alone: as
    ``sweep`` would have left it.

    Args:
        hot: the store.
        key: uint64[n, 2].
        which: int32[m], the keys to look for.
        block: int32[m], and in which of the blocks that were read.
        starts: int64[b + 1], where each of the b blocks begins in ``found``, and the last one's end.
        origins: int64[b], the place in the segment of each block's first row.
        found: COLD_ROW[k], the blocks.
        gone: uint8[rows of the segment / 8], a bit for each row that was taken out earlier; changed.
        index: uint32[k], the index of the cold tier.
        segment: the segment's number.
        final_ms: the joint watermark of the last sweep.
        limits_ms: int64[2], the label horizon and the early-label horizon.

    Returns:
        (rows taken out of the segment, whether these are all: the hot store may have no room).
    """
    taken = 0
    for i in range(len(which)):
        key0 = key[which[i], 0]
        key1 = key[which[i], 1]
        before = taken
        for place in range(starts[block[i]], starts[block[i] + 1]):
            row = found[place]
            if row["key0"] != key0 or row["key1"] != key1:
                continue
            number = origins[block[i]] + place - starts[block[i]]
            bit = np.uint8(1 << (number & 7))
            if gone[number >> 3] & bit:
                continue
            if min(room(hot)) == 0:
                return taken, False
            gone[number >> 3] |= bit
            taken += 1
            _revive(hot, row, final_ms, limits_ms)
        if taken > before:
            remove_entry(index, key0, key1, segment)
    return taken, True


@kernel
def _revive(hot: Any, source: Any, final_ms: Any, limits_ms: Any) -> None:
    labelled = source["label_kind"] != NO_LABEL
    is_open = source["kind"] == PREDICTION and source["timestamp_ms"] + limits_ms[HORIZON_MS] >= final_ms
    if is_open or (labelled and source["label_effective_ms"] + limits_ms[EARLY_MS] >= final_ms):
        row = _copy_hot(hot, source)
        if row["kind"] == PREDICTION and not is_open:
            to_label_row(row, hot.stated[row["label"]])


@kernel
def recall(hot: Any, found: Any, gone: Any, final_ms: Any, limits_ms: Any, model: Any, effective_ms: Any) -> Any:
    """Take the labels of a whole segment back to memory, but those that waited in vain.

    Args:
        hot: the store; it must have room.
        found: COLD_ROW[n], the segment.
        gone: uint8[n / 8], a bit for each row that was taken out earlier.
        final_ms: the joint watermark.
        limits_ms: int64[2], the label horizon and the early-label horizon.
        model, effective_ms: int32[n] and int64[n], out: the labels that waited in vain.

    Returns:
        How many these are.
    """
    count = 0
    for i in range(len(found)):
        if gone[i >> 3] & np.uint8(1 << (i & 7)):
            continue
        row = found[i]
        if row["label_effective_ms"] + limits_ms[EARLY_MS] < final_ms:
            model[count] = row["group"]
            effective_ms[count] = row["label_effective_ms"]
            count += 1
        else:
            _copy_hot(hot, row)
    return count


@kernel
def _copy_hot(hot: Any, source: Any) -> Any:
    slot = find_slot(hot, source["key0"], source["key1"])
    row = hot.rows[place_row(hot, slot)]
    row["key0"] = source["key0"]
    row["key1"] = source["key1"]
    row["timestamp_ms"] = source["timestamp_ms"]
    row["effective_ms"] = source["effective_ms"]
    row["value"] = source["value"]
    row["group"] = source["group"]
    row["segment_set"] = source["segment_set"]
    row["labels"] = source["labels"]
    row["kind"] = source["kind"]
    if source["label_kind"] != NO_LABEL:
        stated = hot.stated[place_stated(hot, row)]
        stated["timestamp_ms"] = source["label_timestamp_ms"]
        stated["effective_ms"] = source["label_effective_ms"]
        stated["sequence"] = source["label_sequence"]
        stated["value"] = source["label_value"]
        row["label_kind"] = source["label_kind"]
    return row
