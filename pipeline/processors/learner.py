"""Rows whose reference is not known yet, from their arrival to their bins; and on one partition, the references.

On ``LEARNING_PARTITION`` the first rows of a model version make its reference: ids are hashed, so they are a fair
sample. It goes to the references topic, from where every worker takes it in. Everywhere, rows wait until then, and the
monitor is told the profile before the first bins that were folded against it.

A row that waits counts as ``unbinned`` until it is in its bins. So every window says how many of its rows drift leaves
out, whenever it is published and whatever becomes of them: a reference may come when their windows are final.
"""

from collections.abc import Iterator

import numpy as np

from pipeline.core.accumulate.counts import fold_counts
from pipeline.core.events import Int32s, Int64s, OutputRecord, Predictions
from pipeline.core.families import FAMILIES
from pipeline.processors.joiner_config import JoinerSettings
from pipeline.processors.joiner_state import JoinerState
from pipeline.processors.learning import WaitingRows, select_rows
from pipeline.processors.partials import COUNTS, Pending, announcement
from pipeline.processors.references import ReferenceBook, reference_records

LEARNING_PARTITION = 0


class Learner:
    """The part of a joiner partition that has to do with references."""

    def __init__(
        self, settings: JoinerSettings, state: JoinerState, references: ReferenceBook, pending: Pending, partition: int
    ) -> None:
        self._settings, self._state, self._references, self._pending = settings, state, references, pending
        self._learns = partition == LEARNING_PARTITION
        self._version = -1
        self._announced = (-1, 0)
        self._outputs: list[OutputRecord] = []

    def keep(self, rows: Predictions, kept: Int64s, group: Int32s, segment_set: Int32s) -> None:
        """Keep the features of groups whose reference is not known yet.

        Args:
            rows: the decoded batch.
            kept: int64[k], the rows that count.
            group: int32[k], their groups' codes.
            segment_set: int32[k], their sets of segments.
        """
        state = self._state
        for table in rows.features:
            if self._references.get(rows.groups[table.group]) is not None:
                continue
            place, in_kept, in_table = np.intersect1d(kept, table.rows, assume_unique=True, return_indices=True)
            if not len(place):
                continue
            code = int(group[in_kept[0]])
            columns = {name: select_rows(column, in_table) for name, column in table.columns.items()}
            state.waiting.add(code, rows.timestamp_ms[place], segment_set[in_kept], columns)
            cells = state.cells(group[in_kept], segment_set[in_kept], rows.timestamp_ms[place])
            self._pending.absorb(COUNTS, fold_counts(cells, {"unbinned": None}), cells)
            self._learn(code)
        list(state.waiting.make_room(self._learned_from()))  # what goes stays unbinned

    def outputs(self) -> Iterator[OutputRecord]:
        """Learned references, and what the monitor must know before the bins; folds rows whose reference has come."""
        state = self._state
        yield from self._outputs
        self._outputs = []
        if self._version != self._references.version:
            self._version = self._references.version
            for code in state.waiting.groups():
                if self._references.get(state.groups.values[code]) is not None:
                    self._fold_waiting(code)
        if self._announced == (self._references.version, len(state.groups.values)):
            return
        self._announced = (self._references.version, len(state.groups.values))
        for code, names in enumerate(state.groups.values):
            profile = self._references.get(names)
            if profile is not None and state.announced.get(code) != profile.id:
                state.note_announced(code, profile.id)
                yield from announcement(names, profile)

    def forget_final(self) -> None:
        """Give up rows that no open window holds."""
        self._state.waiting.forget(self._state.is_open, self._learned_from())

    def _learned_from(self) -> set[int]:
        return self._state.waiting.groups() - self._state.learned if self._learns else set()

    def _learn(self, code: int) -> None:
        """Make the profile of a group's first rows as soon as they are there, whatever comes with them."""
        state, settings = self._state, self._settings
        names = state.groups.values[code]
        if not self._learns or code in state.learned:
            return
        profile = state.waiting.learn(
            code, names, settings.learn_rows, settings.reference_bins, settings.reference_max_categories
        )
        if profile is None:
            return
        known = {
            (state.groups.values[other].model, state.groups.values[other].model_version) for other in state.learned
        }
        state.note_learned(code)
        if (names.model, names.model_version) not in known:  # a version that changes its task keeps its reference
            self._outputs += reference_records(profile)

    def _fold_waiting(self, code: int) -> None:
        state = self._state
        names = state.groups.values[code]
        for waiting in state.waiting.take(code):
            part = self._open_part(waiting)
            if not len(part):
                continue
            rows = part.as_predictions(names)
            cells = state.cells(np.full(len(part), code, np.int32), part.segment_set, part.timestamp_ms)
            no_more = np.full(len(part), -1, np.int64)
            self._pending.absorb(COUNTS, fold_counts(cells, {"unbinned": no_more}), cells)
            for family in FAMILIES:
                if family.needs_reference and family.fold_predictions is not None:
                    self._pending.absorb(family.name, family.fold_predictions(rows, cells, self._references), cells)

    def _open_part(self, part: WaitingRows) -> WaitingRows:
        return part.select(np.flatnonzero(self._state.is_open(part.timestamp_ms)))
