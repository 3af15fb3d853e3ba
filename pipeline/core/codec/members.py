"""The members of sets, rankings and gains, as lists of codes beside the hashes that stand for them."""

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np

from pipeline.core.codec.columns import Codes
from pipeline.core.codec.names import hash_names
from pipeline.core.events import NO_MEMBERS, Float64s, Int64s, Members, Ragged
from pipeline.core.ragged import join_lists, take_lists


class MemberLists:
    """Collects lists and the rows that they belong to.

    Args:
        classes: gives the codes of labels.
    """

    def __init__(self, classes: Codes[object, str]) -> None:
        self._classes = classes
        self._row: list[Int64s] = []
        self._lists: list[Ragged] = []

    def add_sets(self, rows: Int64s, sets: Sequence[Sequence[str]]) -> None:
        """Append sets of labels.

        Args:
            rows: int64[k], their rows.
            sets: k canonical forms.
        """
        codes = self._classes.encode(list(chain.from_iterable(sets)))
        self._add(rows, sets, codes, np.ones(len(codes)))

    def add_rankings(self, rows: Int64s, rankings: Sequence[Sequence[str]]) -> None:
        """Append rankings.

        Args:
            rows: int64[k], their rows.
            rankings: k canonical forms.
        """
        codes = hash_names(list(chain.from_iterable(rankings)))
        self._add(rows, rankings, codes, np.ones(len(codes)))

    def add_gains(self, rows: Int64s, gains: Sequence[Sequence[tuple[str, float]]]) -> None:
        """Append the gains of items.

        Args:
            rows: int64[k], their rows.
            gains: k canonical forms.
        """
        flat = list(chain.from_iterable(gains))
        weights = np.fromiter((gain for _, gain in flat), np.float64, len(flat))
        self._add(rows, gains, hash_names([item for item, _ in flat]), weights)

    def add_scores(self, rows: Int64s, scores: Sequence[Mapping[str, float | None] | None]) -> None:
        """Append the probabilities of classes.

        Args:
            rows: int64[n], the rows.
            scores: n maps of class names to probabilities; a row without a number in them has no list.
        """
        given = [[(name, one) for name, one in (of_row or {}).items() if one is not None] for of_row in scores]
        having = np.flatnonzero(np.fromiter(map(len, given), np.int64, len(given)))
        flat = list(chain.from_iterable(given))
        codes = self._classes.encode([name for name, _ in flat])
        self._add(rows[having], [given[row] for row in having], codes, np.array([one for _, one in flat], np.float64))

    def add_lists(self, rows: Int64s, lists: Ragged) -> None:
        """Append lists.

        Args:
            rows: int64[k], their rows.
            lists: k lists of codes that ``classes`` gave.
        """
        self._row.append(rows)
        self._lists.append(lists)

    def finish(self) -> Members:
        """The lists of everything that was added, by row."""
        if not self._row:
            return NO_MEMBERS
        row, lists = np.concatenate(self._row), join_lists(self._lists)
        if (np.diff(row) > 0).all():
            return Members(row, lists)
        order = np.argsort(row)  # no row comes twice
        return Members(row[order], take_lists(lists, order))

    def _add(self, rows: Int64s, lists: Sequence[Sequence[object]], codes: Int64s, weights: Float64s) -> None:
        ends = np.cumsum(np.fromiter(map(len, lists), np.int64, len(lists)))
        self.add_lists(rows, Ragged(np.concatenate((np.zeros(1, np.int64), ends)), codes, weights))
