"""Which cells a row counts in: its group and pane, once for everything and once for each of its segments."""

from collections.abc import Sequence

import numpy as np

from pipeline.core.distinct import distinct_codes
from pipeline.core.events import NO_SEGMENT, Cells, Group, Int32s, Int64s


def build_cells(
    group: Int32s,
    segment_set: Int32s,
    timestamp_ms: Int64s,
    pane_ms: int,
    segment_sets: Sequence[tuple[str, ...]],
    groups: Sequence[Group],
) -> Cells:
    """Pair rows with cells.

    Args:
        group: int32[n], index into ``groups``.
        segment_set: int32[n], index into ``segment_sets``.
        timestamp_ms: int64[n].
        pane_ms: the length of a pane.
        segment_sets: each a tuple of ``name=value``.
        groups: the groups.

    Returns:
        The cells; a row with s segments is in 1 + s pairs.
    """
    pane = timestamp_ms // pane_ms
    panes, pane_code = distinct_codes(pane)
    kinds, kind = distinct_codes((group.astype(np.int64) * len(segment_sets) + segment_set) * len(panes) + pane_code)
    cells: dict[tuple[int, str, int], int] = {}
    # Only the sets of these rows: a partition knows many more than a batch has.
    sets = (kinds // len(panes) % len(segment_sets)).tolist() if len(kinds) else []
    width = 1 + max((len(segment_sets[code]) for code in dict.fromkeys(sets)), default=0)
    cell_of = np.full((len(kinds), width), -1, np.int32)  # the cells of each distinct (group, segment set, pane)
    for index, code in enumerate(kinds.tolist()):
        rest, pane_index = divmod(code, len(panes))
        group_code, set_code = divmod(rest, len(segment_sets))
        start_ms = int(panes[pane_index]) * pane_ms
        for place, segment in enumerate((NO_SEGMENT, *segment_sets[set_code])):
            cell_of[index, place] = cells.setdefault((group_code, segment, start_ms), len(cells))
    rows, pairs = [], []
    everything = np.arange(len(group), dtype=np.int32)
    for place in range(width):
        cell = cell_of[kind, place]
        if place == 0:
            rows.append(everything)
            pairs.append(cell)
        elif (cell >= 0).any():
            rows.append(everything[cell >= 0])
            pairs.append(cell[cell >= 0])
    return Cells(
        row=np.concatenate(rows),
        cell=np.concatenate(pairs),
        group=np.array([key[0] for key in cells], np.int32),
        segment=[key[1] for key in cells],
        pane_start_ms=np.array([key[2] for key in cells], np.int64),
        groups=groups,
    )


def pick_rows(cells: Cells, rows: Int32s) -> Cells:
    """The same cells for rows that are a selection of a batch: row i of the pairs becomes row ``rows[i]``.

    Args:
        cells: cells built over the selected rows.
        rows: int32[k], the batch row of each selected row.
    """
    return Cells(rows[cells.row], cells.cell, cells.group, cells.segment, cells.pane_start_ms, cells.groups)
