"""The joiner: predictions meet their labels, and everything seen is folded into partials.

One task owns partition p of ``predictions``, ``labels`` and ``resources``. What it sends and what it remembers depend
on the logs of these three partitions alone (``pipeline.core.join`` says why), so any number of crashes and any
interleaving give the same sums.
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from pipeline.config import Config
from pipeline.core.accumulate.counts import Counts, fold_counts
from pipeline.core.accumulate.hosts import fold_resources
from pipeline.core.accumulate.offsets import fold_offsets
from pipeline.core.cells import pick_rows
from pipeline.core.codec import (
    decode_labels,
    decode_predictions,
    decode_resources,
    encode_dead_letter,
    refused_rows,
)
from pipeline.core.dictionary import NO_CODE
from pipeline.core.events import (
    NO_SEGMENT,
    Cells,
    DeadLetter,
    Flush,
    Group,
    Int32s,
    Int64s,
    Labels,
    OutputRecord,
    Predictions,
    RecordBatch,
    Resources,
    Task,
)
from pipeline.core.families import FAMILIES
from pipeline.core.join import Joined, JoinStore, Unmatched
from pipeline.core.join_cold import ColdBlocks
from pipeline.core.join_hot import SharedMemory
from pipeline.core.reference import ReferenceProfile
from pipeline.core.watermark import NEVER
from pipeline.processors.joiner_config import JoinerSettings, joiner_settings
from pipeline.processors.joiner_state import JoinerState
from pipeline.processors.labels import contributions
from pipeline.processors.learner import Learner
from pipeline.processors.partials import COUNTS, Pending, Progress, progress_records
from pipeline.processors.references import TOPIC as REFERENCES
from pipeline.processors.references import ReferenceBook

PREDICTIONS, LABELS, RESOURCES = "predictions", "labels", "resources"
OFFSETS = "offsets"
ROW_BITS = 20
"""A label's place in the log is its offset and, in so many bits, its row inside the record."""

STEP_MS = 60_000
"""How far one topic may be read ahead of the other in event time while the other has more to read."""

STEP_ROWS = 200_000
"""And by how many rows: a pause drops what was fetched ahead, which only saves memory when it holds back many."""

LABEL_STEPS = 16
"""How often within a pane the monitor hears how far labels have been read: it says by that how many are to come."""

_PAIRS = ((PREDICTIONS, LABELS), (LABELS, PREDICTIONS))
_DECODE = {PREDICTIONS: decode_predictions, LABELS: decode_labels, RESOURCES: decode_resources}


class Joiner:
    """The processor; makes one task a partition."""

    name = "joiner"
    inputs: tuple[str, ...] = (PREDICTIONS, LABELS, RESOURCES)
    tables: tuple[str, ...] = (REFERENCES,)

    def __init__(
        self, settings: JoinerSettings, references: ReferenceBook, cold: Callable[[], ColdBlocks] | None = None
    ) -> None:
        self._settings = settings
        self._references = references
        self._cold = cold
        self._memory = SharedMemory(settings.limits.memory_bytes)
        self._details = SharedMemory(settings.details_bytes)

    def task(self, partition: int, partitions: Mapping[str, int]) -> "JoinerTask":
        """Make the empty state machine of a partition.

        Args:
            partition: its number.
            partitions: every topic's number of partitions.
        """
        store = JoinStore(self._settings.limits, self._cold() if self._cold else None, self._memory)
        state = JoinerState(self._settings, store, self._details)
        return JoinerTask(self._settings, self._references, state, partition, partitions)

    def on_table(self, topic: str, key: bytes, value: bytes | None) -> None:  # noqa: ARG002 - the protocol's signature
        """Take in a learned reference."""
        if value is not None:
            self._references.learn(value)


def make_joiner(
    config: Config,
    references: Mapping[tuple[str, str], ReferenceProfile] | None = None,
    cold: Callable[[], ColdBlocks] | None = None,
) -> Joiner:
    """The joiner of a configuration.

    Args:
        config: the configuration.
        references: the profiles of its reference files, by model and version (``*`` for every version).
        cold: makes a partition's place for open predictions beyond ``joiner.memory_mb``; None stops there.
    """
    return Joiner(joiner_settings(config), ReferenceBook(references), cold)


class JoinerTask:
    """The state machine of one partition."""

    def __init__(
        self,
        settings: JoinerSettings,
        references: ReferenceBook,
        state: JoinerState,
        partition: int,
        partitions: Mapping[str, int],
    ) -> None:
        self._settings = settings
        self._references = references
        self._partition = partition
        self._partials_partitions = partitions["partials"]
        self._partitions = partitions[PREDICTIONS]
        self._state = state
        self._pending = Pending()
        self._dead: list[DeadLetter] = []
        self._rows = 0  # read since the last flush
        self._learner = Learner(settings, self._state, references, self._pending, partition)
        self._read_ms: dict[str, int] = {}
        self._reached_ms: dict[str, int] = {}
        self._lead_rows = dict.fromkeys((PREDICTIONS, LABELS, RESOURCES), 0)  # read while the topic was far ahead
        self._started_ms: int | None = None
        self._sent: Progress | None = None

    @property
    def _store(self) -> JoinStore:
        return self._state.store

    def restore(self, entries: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Apply changelog entries in log order."""
        self._state.restore(entries)

    def process(self, batch: RecordBatch, now_ms: int) -> None:
        """Take in records of one of the three inputs."""
        self._begin(now_ms)
        self._read_ms[batch.topic] = now_ms
        decoded = _DECODE[batch.topic](batch)
        rows = decoded.rows
        if len(rows):
            self._note_lead(batch.topic, rows.timestamp_ms)
        if isinstance(rows, Predictions):
            self._predictions(batch, rows, now_ms)
        elif isinstance(rows, Labels):
            self._labels(batch, rows, now_ms)
        else:
            self._resources(batch, rows, now_ms)
        self._dead.extend(decoded.dead)
        self._rows += len(rows) + len(decoded.dead)

    def flush(self, now_ms: int, at_end: frozenset[str]) -> Flush:
        """Hand over partials, dead letters and state changes since the last flush."""
        self._begin(now_ms)
        self._advance_idle(now_ms, at_end)
        outputs = list(self._learner.outputs())
        progress = self._sweep()
        outputs += self._pending.take(self._partition)
        if progress is not None and progress != self._sent:
            outputs += progress_records(progress, self._partials_partitions)
            self._sent = progress
        outputs += [
            OutputRecord("dead-letters", None, encode_dead_letter(letter), schema="dead_letter.v1")
            for letter in self._dead
        ]
        self._dead, rows, self._rows = [], self._rows, 0
        return Flush(outputs, list(self._state.changelog()), rows)

    def paused(self, at_end: frozenset[str]) -> frozenset[str]:
        """The topic that is far ahead of the other in event time while the other has more to read."""
        for ahead, behind in _PAIRS:
            if behind not in at_end and self._lead_ms(ahead, behind) > STEP_MS and self._lead_rows[ahead] >= STEP_ROWS:
                return frozenset((ahead,))
        return frozenset()

    def _note_lead(self, topic: str, timestamp_ms: Int64s) -> None:
        # Half of the batch was later: the newest event of all would be the one with the worst clock.
        self._reached_ms[topic] = int(np.median(timestamp_ms))
        self._lead_rows[topic] += len(timestamp_ms)
        for ahead, behind in _PAIRS:
            if self._lead_ms(ahead, behind) <= STEP_MS:
                self._lead_rows[ahead] = 0

    def _lead_ms(self, ahead: str, behind: str) -> int:
        marks, reached = self._state.watermarks, self._reached_ms
        return reached.get(ahead, marks[ahead].newest_ms) - reached.get(behind, marks[behind].newest_ms)

    def stats(self) -> Mapping[str, float]:
        """The size of the state."""
        return {
            "open_rows": len(self._store),
            "open_rows_on_disk": self._store.cold_rows,
            "disk_bytes": self._store.cold_bytes,
            "details": len(self._state.members.details),
            "details_bytes": self._state.members.details.size_bytes,
            "waiting_rows": len(self._state.waiting),
            "unreadable_references": self._references.unreadable,
        }

    def _begin(self, now_ms: int) -> None:
        if self._started_ms is None:
            self._state.finish_restore()
            self._started_ms = now_ms

    # --- predictions ---------------------------------------------------------------------------------------------

    def _predictions(self, batch: RecordBatch, rows: Predictions, now_ms: int) -> None:
        time_ms = rows.timestamp_ms
        mark = self._state.watermarks[PREDICTIONS]
        kept = self._refuse_future(batch, rows.offset, rows.row, time_ms, now_ms)
        watermark = mark.advance(time_ms[kept])
        too_late = time_ms[kept] + self._settings.limits.horizon_ms < watermark
        self._refuse(batch, rows.offset, rows.row, kept[too_late], "too_late", "its window is final already")
        kept, watermark = kept[~too_late], watermark[~too_late]
        state = self._state
        group = state.groups.encode(rows.groups)[rows.group[kept]]
        known = group != NO_CODE
        if not known.all():
            self._refuse(batch, rows.offset, rows.row, kept[~known], "too_many", "joiner.max_versions is reached")
            kept, watermark, group = kept[known], watermark[known], group[known]
        time_ms = time_ms[kept]
        segment_set = state.set_codes(rows, kept).astype(np.int32)
        value, known = state.class_values(rows, kept)
        listed = state.members.of_predictions(rows, kept, value)
        known &= listed.known
        if not known.all():
            self._refuse(batch, rows.offset, rows.row, kept[~known], "too_many", "joiner.max_classes is reached")
            kept, group, segment_set, value = kept[known], group[known], segment_set[known], value[known]
            time_ms, watermark = time_ms[known], watermark[known]
        if not len(kept):
            return
        state.members.keep_predicted(listed.among(known), value, time_ms)
        duplicate, joined = self._store.insert_predictions(
            rows.key[kept], time_ms, np.maximum(time_ms, watermark), group, segment_set, value
        )
        cells = self._state.cells(group, segment_set, time_ms)
        fresh = (~duplicate).astype(np.int64)
        late = fresh * (time_ms < watermark)
        counted = {"predictions": fresh, "duplicates": 1 - fresh, "late": late}
        self._pending.absorb(COUNTS, fold_counts(cells, counted), cells)
        offsets = fold_offsets(PREDICTIONS, self._partition, rows.offset[kept], cells)
        self._pending.absorb(OFFSETS, offsets, cells)
        if duplicate.any():
            keep = ~duplicate
            kept, group, segment_set, time_ms = kept[keep], group[keep], segment_set[keep], time_ms[keep]
            cells = self._state.cells(group, segment_set, time_ms)
        in_batch = pick_rows(cells, kept.astype(np.int32))
        tasks = _tasks_of(cells)
        for family in FAMILIES:
            if family.fold_predictions is not None and not tasks.isdisjoint(family.tasks):
                self._pending.absorb(family.name, family.fold_predictions(rows, in_batch, self._references), cells)
        self._learner.keep(rows, kept, group, segment_set)
        self._fold_joined(joined)

    # --- labels --------------------------------------------------------------------------------------------------

    def _labels(self, batch: RecordBatch, rows: Labels, now_ms: int) -> None:
        state = self._state
        kept = self._refuse_future(batch, rows.offset, rows.row, rows.timestamp_ms, now_ms)
        model = state.models.encode(rows.models)
        known = model[rows.model[kept]] != NO_CODE
        self._refuse(batch, rows.offset, rows.row, kept[~known], "too_many", "joiner.max_versions is reached")
        kept = kept[known]
        value, known = state.label_values(rows, kept)
        listed = state.members.of_labels(rows, kept, value)
        known &= listed.known
        self._refuse(batch, rows.offset, rows.row, kept[~known], "too_many", "joiner.max_classes is reached")
        kept, value = kept[known], value[known]
        if not len(kept):
            return
        time_ms = rows.timestamp_ms[kept]
        effective_ms = np.maximum(time_ms, state.watermarks[LABELS].advance(time_ms))
        state.members.keep_stated(listed.among(known), value, effective_ms)
        joined, lost = self._store.insert_labels(
            rows.key[kept],
            time_ms,
            effective_ms,
            model[rows.model[kept]],
            rows.kind[kept],
            value,
            sequence=rows.offset[kept] << ROW_BITS | rows.row[kept],
            final_ms=state.final_ms,
        )
        self._count_unmatched(lost)
        self._fold_joined(joined)

    def _fold_joined(self, joined: Joined) -> None:
        """Count what labels did to predictions."""
        if not len(joined):
            return
        state, groups = self._state, self._state.groups.values
        part = contributions(joined, groups, state.classes.names, state.class_of_numbers)
        part = state.members.add_to(part, joined.group[part.source], groups)
        cells = self._state.cells(
            joined.group[part.source], joined.segment_set[part.source], joined.timestamp_ms[part.source]
        )
        self._pending.absorb(COUNTS, fold_counts(cells, part.counts), cells)
        usable = part.usable[cells.row]
        folded = Cells(
            cells.row[usable], cells.cell[usable], cells.group, cells.segment, cells.pane_start_ms, cells.groups
        )
        tasks = _tasks_of(cells)
        for family in FAMILIES:
            if family.fold_labels is not None and not tasks.isdisjoint(family.tasks):
                self._pending.absorb(family.name, family.fold_labels(part.changes, folded), cells)
        offsets = fold_offsets(LABELS, self._partition, part.sequence >> ROW_BITS, cells)
        self._pending.absorb(OFFSETS, offsets, cells)

    # --- resources -----------------------------------------------------------------------------------------------

    def _resources(self, batch: RecordBatch, rows: Resources, now_ms: int) -> None:
        kept = self._refuse_future(batch, rows.offset, rows.row, rows.timestamp_ms, now_ms)
        watermark = self._state.watermarks[RESOURCES].advance(rows.timestamp_ms[kept])
        # By panes, as windows are: a reading is late when one that has closed should have held it.
        pane_ms = self._settings.pane_ms
        late = rows.timestamp_ms[kept] < watermark // pane_ms * pane_ms
        self._refuse(batch, rows.offset, rows.row, kept[late], "too_late", "its window is closed already")
        self._pending.absorb_hosts(fold_resources(rows, kept[~late].astype(np.int32), self._settings.pane_ms))

    # --- time ----------------------------------------------------------------------------------------------------

    def _advance_idle(self, now_ms: int, at_end: frozenset[str]) -> None:
        """A topic read to its end and quiet does not hold windows open: time itself moves its watermark."""
        idle_ms, pane_ms = self._settings.idle_timeout_ms, self._settings.pane_ms
        for topic, mark in self._state.watermarks.items():
            quiet_since_ms = self._read_ms.get(topic, self._started_ms or now_ms)
            if topic in at_end and now_ms - quiet_since_ms >= idle_ms:
                # Pane by pane: a move that closes nothing would cost a commit and tell nobody anything.
                watermark_ms = (now_ms - idle_ms - mark.lateness_ms) // pane_ms * pane_ms
                mark.idle_until(watermark_ms + mark.lateness_ms)

    def _sweep(self) -> Progress | None:
        """Give up what nothing can join any more, and say how far this partition has come, pane by pane."""
        state, settings = self._state, self._settings
        predictions_ms = state.watermarks[PREDICTIONS].value_ms
        final_ms = min(predictions_ms, state.watermarks[LABELS].value_ms)
        pane, horizon = settings.pane_ms, settings.limits.horizon_ms
        step = max(1, pane // LABEL_STEPS)
        if (final_ms - horizon) // pane > (state.final_ms - horizon) // pane:
            state.final_ms = final_ms
            self._count_unmatched(self._store.sweep(final_ms))
            state.members.details.sweep(final_ms)
            self._learner.forget_final()
        resources_ms = state.watermarks[RESOURCES].value_ms
        if max(predictions_ms, resources_ms) < 0 and state.final_ms == NEVER:
            return None
        return Progress(
            partition=self._partition,
            partitions=self._partitions,
            predictions_ms=predictions_ms // pane * pane,
            final_ms=state.final_ms,
            resources_ms=resources_ms // pane * pane,
            labels_ms=state.watermarks[LABELS].newest_ms // step * step,
        )

    def _count_unmatched(self, labels: Unmatched) -> None:
        """Labels without a prediction belong to no version: they are counted by model and time alone."""
        pane_ms, models = self._settings.pane_ms, self._state.models.values
        for model, effective_ms in zip(labels.model.tolist(), labels.effective_ms.tolist(), strict=True):
            key = (Group(models[model], "", Task.BINARY), NO_SEGMENT, effective_ms // pane_ms * pane_ms)
            self._pending.merge(key, COUNTS, Counts({"unmatched_labels": 1}))

    # --- shared --------------------------------------------------------------------------------------------------

    def _refuse_future(self, batch: RecordBatch, offset: Int64s, row: Int32s, time_ms: Int64s, now_ms: int) -> Int64s:
        """The rows that are not too far ahead: one bad clock must not close everyone's windows."""
        future = time_ms > now_ms + self._settings.max_future_ms
        if future.any():
            detail = f"more than {self._settings.max_future_ms} ms ahead of the clock"
            self._refuse(batch, offset, row, np.flatnonzero(future), "too_far_in_future", detail)
        return np.flatnonzero(~future)

    def _refuse(self, batch: RecordBatch, offset: Int64s, row: Int32s, rows: Int64s, reason: str, detail: str) -> None:
        if len(rows):
            self._dead += refused_rows(batch, offset[rows], row[rows], reason, detail)


def _tasks_of(cells: Cells) -> set[Task]:
    return {cells.groups[group].task for group in set(cells.group.tolist())}
