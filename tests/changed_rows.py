"""What a join store has changed, all at once."""

import numpy as np

from pipeline.core.join import JoinStore
from pipeline.core.kernels.join_rows import ROW, STATED
from pipeline.core.store_rows import StoreRows

PART = 3
"""Few rows a part: the tests' stores are small, and parts shall end among their rows."""


def all_changed(store: JoinStore) -> StoreRows:
    """Copies of the changed rows, as one: parts hold only until the next one."""
    parts = [StoreRows(part.rows.copy(), part.stated.copy()) for part in store.take_changed(PART)]
    return StoreRows.join([StoreRows(np.zeros(0, ROW), np.zeros(0, STATED)), *parts])
