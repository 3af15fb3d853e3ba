"""The hot tier of the join: rows in memory, never more of it than a budget."""

import weakref
from collections.abc import Sized

import numpy as np
from numpy.typing import NDArray

from pipeline.core.kernels import join_cold, join_rows
from pipeline.core.kernels.join_rows import FREE_ROWS, FREE_STATEDS, USED, USED_STATED, Hot

ROW_BYTES = join_rows.ROW.itemsize + 3 * np.dtype(np.int32).itemsize
"""Of a row: itself, its place in the list of changes, and its two slots of the table."""

STATED_BYTES = join_rows.STATED.itemsize
"""Of a row's label."""

SLACK_ROWS = 1 << 17
"""Room beyond the budget: for the rows of one batch, and for one key with very many."""

_FIRST_SLOTS = 1 << 8  # grown at the first use, so that growing is nothing new later
_SAMPLES = 1 << 16


class SharedMemory:
    """Memory that several stores share evenly.

    Args:
        total_bytes: for all of them.
    """

    def __init__(self, total_bytes: int) -> None:
        self._total_bytes = total_bytes
        self._holders: weakref.WeakSet[Sized] = weakref.WeakSet()

    def join(self, holder: Sized) -> None:
        """Count one store more, for as long as it is there.

        Args:
            holder: the store.
        """
        self._holders.add(holder)

    @property
    def share_bytes(self) -> int:
        """What each of them may take."""
        return self._total_bytes // max(1, len(self._holders))


class HotRows:
    """The rows in memory.

    Args:
        budget_bytes: what they should take.
        max_rows: more there will never be.
    """

    def __init__(self, budget_bytes: int, max_rows: int) -> None:
        self._budget_bytes = budget_bytes
        rows = min(budget_bytes // ROW_BYTES, max_rows) + SLACK_ROWS
        self.arrays: Hot = join_rows.make_hot(rows, rows, _FIRST_SLOTS)
        self._searched = 0

    def __len__(self) -> int:
        """Rows in use."""
        return int(self.arrays.counts[USED] - self.arrays.counts[FREE_ROWS])

    @property
    def budget_rows(self) -> int:
        """How many rows with a label the budget is for."""
        return self._budget_bytes // (ROW_BYTES + STATED_BYTES)

    @property
    def free_rows(self) -> int:
        """How many rows more there is a place for, beyond the budget if need be."""
        return len(self.arrays.rows) - len(self)

    @property
    def spare_rows(self) -> int:
        """How many rows with a label the budget has room for; negative when there are too many."""
        counts = self.arrays.counts
        labels = int(counts[USED_STATED] - counts[FREE_STATEDS])
        spare_bytes = self._budget_bytes - len(self) * ROW_BYTES - labels * STATED_BYTES
        return spare_bytes // (ROW_BYTES + STATED_BYTES)

    def grow_table(self, more: int) -> None:
        """See to it that the table has room for some rows more.

        Args:
            more: how many.
        """
        arrays = self.arrays
        needed = 2 * min(len(self) + more, len(arrays.rows))
        slots = len(arrays.table)
        if needed <= slots:
            return
        while slots < needed:
            slots *= 2
        slots = min(slots, 2 * len(arrays.rows))
        self.arrays = arrays._replace(table=join_rows.make_table(0))
        del arrays  # the old table is freed before the longer one is made
        self.arrays = self.arrays._replace(table=join_rows.make_table(slots))
        join_rows.relink_all(self.arrays)

    def choose_oldest(self, count: int, *, waiting: bool) -> NDArray[np.int32]:
        """Choose rows for the cold tier; they must then be moved there.

        Args:
            count: about how many; the other rows of their keys come with them.
            waiting: choose labels that wait for their prediction, or all other rows.

        Returns:
            int32[n], their numbers; none when there are none of that sort.
        """
        used = int(self.arrays.counts[USED])
        step = max(1, used // _SAMPLES)
        times = np.empty(used // step + 1, np.int64)
        times = times[: join_cold.sample_times(self.arrays, waiting, step, times)]
        if not len(times):
            return np.zeros(0, np.int32)
        # A little more than asked for: a sample's quantile may lie too low, and the search ends at the count anyway.
        rank = min(len(times) - 1, int(1.1 * count / step) + 1)
        latest_ms = int(np.partition(times, rank)[rank])
        chosen = np.empty(len(self), np.int32)
        found, self._searched = join_cold.choose(self.arrays, waiting, self._searched, latest_ms, count, chosen)
        return chosen[:found]
