"""What a joiner partition remembers, and its changelog.

========================  ============================================================================
changelog key             value
========================  ============================================================================
``rows/<n>``              some of the store rows changed in one commit; deleted when the last of them is past use
``details/<n>``           some of the members of sets, rankings and gains; deleted when none of them is needed
``waiting/<n>``           rows that wait for a reference; deleted when they were counted
``dictionary/<name>/<n>``  the values whose codes start at n; kept for ever
``learned/<group>``       there once the group's reference was made here
``announced/<group>``     the id of the profile that the monitor was told
``["rivals", …]``         a segment with more values than are kept: those that are, and the rows of each in this epoch
``meta``                  watermarks, and the epoch of the segments' values; the last one holds
========================  ============================================================================
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from pipeline.core.cells import build_cells
from pipeline.core.details import Details
from pipeline.core.dictionary import NO_CODE, Dictionary
from pipeline.core.distinct import distinct_codes
from pipeline.core.events import (
    Cells,
    Group,
    Int32s,
    Int64s,
    LabelKind,
    Labels,
    Predictions,
    Task,
)
from pipeline.core.join import JoinStore
from pipeline.core.join_hot import SharedMemory
from pipeline.core.scores import pack_scores
from pipeline.core.store_rows import StoreRows
from pipeline.core.watermark import NEVER, Watermark
from pipeline.processors.classes import ClassCodes
from pipeline.processors.joiner_config import JoinerSettings
from pipeline.processors.learning import Waiting, WaitingRows, decode_waiting
from pipeline.processors.members import MemberStore
from pipeline.processors.pairs import encode_pairs
from pipeline.processors.segments import SegmentSets

_META = b"meta"
# Kafka takes records of a megabyte: 5,000 rows with labels are half of one.
_ROWS_PART = 5_000
_DICTIONARY_PART_BYTES = 400_000
_SMALL = 1 << 31  # of class numbers: almost all are, and integers are counted faster than doubles


class JoinerState:
    """The state of one partition: a function of its changelog.

    Args:
        settings: the joiner's limits and times.
        store: an empty store.
        details: memory for the members of sets, rankings and gains.
    """

    def __init__(self, settings: JoinerSettings, store: JoinStore, details: SharedMemory) -> None:
        self._settings = settings
        self.store = store
        self.waiting = Waiting(settings.max_waiting_rows)
        self.watermarks = {topic: Watermark(settings.lateness_ms) for topic in ("predictions", "labels", "resources")}
        self.final_ms = NEVER
        self.learned: set[int] = set()
        self.announced: dict[int, str] = {}  # group to the id of the profile that the monitor knows
        self._facts: dict[bytes, bytes] = {}
        self.groups: Dictionary[Group] = Dictionary(settings.max_versions)
        self.models: Dictionary[str] = Dictionary(settings.max_versions)
        self.segment_sets = SegmentSets(settings.max_segment_values, pairs=settings.segment_pairs)
        self.classes = ClassCodes(settings.max_classes)
        kept = Details(details, settings.limits.horizon_ms)
        self.members = MemberStore(
            kept, self.classes, settings.limits, settings.cutoffs, class_scores=settings.class_scores
        )
        self._expiry_ms: dict[int, int] = {}
        self._forgotten_ms = NEVER  # parts that expire before this are deleted
        self._next_part = 0
        self._meta: dict[str, Any] = {}
        self._restored_waiting: dict[int, WaitingRows] = {}

    # --- codes ---------------------------------------------------------------------------------------------------

    def cells(self, group: Int32s, segment_set: Int32s, timestamp_ms: Int64s) -> Cells:
        """Where rows are counted.

        Args:
            group: int32[n], the groups' codes.
            segment_set: int32[n], the codes of the sets of segments.
            timestamp_ms: int64[n].
        """
        pane_ms = self._settings.pane_ms
        return build_cells(group, segment_set, timestamp_ms, pane_ms, self.segment_sets.sets, self.groups.values)

    def is_open(self, timestamp_ms: Int64s) -> NDArray[np.bool_]:
        """Which times belong to a window that is not final.

        Args:
            timestamp_ms: int64[n].
        """
        ends = [timestamp_ms - timestamp_ms % size.slide_ms + size.size_ms for size in self._settings.sizes]
        open_until_ms: Int64s = np.maximum.reduce(ends) + self._settings.limits.horizon_ms
        return open_until_ms > self.final_ms

    def set_codes(self, rows: Predictions, kept: Int64s) -> Int64s:
        """The predictions' sets of segments in this partition's codes.

        Args:
            rows: the decoded batch.
            kept: int64[k], the rows to take.

        Returns:
            int64[k].
        """

        def code_of(group: int, segments: int) -> int:
            return self.segment_sets.code(rows.groups[group].model, rows.segment_sets[segments])

        group, segment_set = rows.group[kept].astype(np.int64), rows.segment_set[kept].astype(np.int64)
        minors = len(rows.segment_sets)
        codes: list[Int64s] = []
        for epoch, span in self._epochs(rows.timestamp_ms[kept]):
            if epoch != self.segment_sets.epoch:
                self.segment_sets.turn_to(epoch)
            codes.append(encode_pairs(group[span], segment_set[span], minors, code_of))
            if self.segment_sets.is_counting:
                self._count_values(rows, group[span], segment_set[span])
        return np.concatenate(codes) if codes else np.empty(0, np.int64)

    def _epochs(self, timestamp_ms: Int64s) -> Iterator[tuple[int, slice]]:
        """The rows of each epoch: one begins where the newest time so far passes its start."""
        if not len(timestamp_ms):
            return
        now, length_ms = self.segment_sets.epoch, self._settings.segment_epoch_ms
        if now is not None and int(timestamp_ms.max()) // length_ms <= now:
            yield now, slice(None)
            return
        newest = np.maximum.accumulate(timestamp_ms // length_ms)
        newest = newest if now is None else np.maximum(newest, now)
        starts = [0, *(np.flatnonzero(np.diff(newest)) + 1).tolist(), len(newest)]
        for start, end in pairwise(starts):
            yield int(newest[start]), slice(start, end)

    def _count_values(self, rows: Predictions, group: Int64s, segment_set: Int64s) -> None:
        seen: dict[tuple[int, int], int] = {}

        def note(one: int, segments: int) -> int:
            seen[one, segments] = 0
            return len(seen) - 1

        place = encode_pairs(group, segment_set, len(rows.segment_sets), note)
        for (one, segments), number in zip(seen, np.bincount(place, minlength=len(seen)).tolist(), strict=True):
            self.segment_sets.count(rows.groups[one].model, rows.segment_sets[segments], number)

    def class_values(self, rows: Predictions, kept: Int64s) -> tuple[Int64s, NDArray[np.bool_]]:
        """The predictions' values with this partition's class codes, those of binary models with their scores.

        Args:
            rows: the decoded batch.
            kept: int64[k], the rows to take.

        Returns:
            int64[k] values, and bool[k], false where the model has as many classes as it may.
        """

        def code_of(group: int, name: int) -> int:
            return self.classes.code(rows.groups[group].model, rows.classes[name])

        value, group = rows.value[kept], rows.group[kept].astype(np.int64)
        is_class = np.array([group.task.is_classes for group in rows.groups], bool)[group]
        if is_class.all():
            value = encode_pairs(group, value, len(rows.classes), code_of)
        elif is_class.any():
            value[is_class] = encode_pairs(group[is_class], value[is_class], len(rows.classes), code_of)
        known = ~is_class | (value != NO_CODE)
        is_binary = np.array([group.task is Task.BINARY for group in rows.groups], bool)[group] & known
        if is_binary.all():
            value = pack_scores(value, rows.score[kept])
        elif is_binary.any():
            value[is_binary] = pack_scores(value[is_binary], rows.score[kept[is_binary]])
        return value, known

    def label_values(self, rows: Labels, kept: Int64s) -> tuple[Int64s, NDArray[np.bool_]]:
        """The labels' values with this partition's class codes for texts.

        Args:
            rows: the decoded batch.
            kept: int64[k], the rows to take.

        Returns:
            int64[k] values, and bool[k], false where the model has as many classes as it may.
        """

        def code_of(model: int, name: int) -> int:
            return self.classes.code(rows.models[model], rows.classes[name])

        value, is_text = rows.value[kept], rows.kind[kept] == LabelKind.TEXT
        if is_text.any():
            model = rows.model[kept][is_text].astype(np.int64)
            value[is_text] = encode_pairs(model, value[is_text], len(rows.classes), code_of)
        return value, ~is_text | (value != NO_CODE)

    def class_of_numbers(self, group: Int32s, numbers: NDArray[np.float64]) -> Int64s:
        """The class codes of labels that came as numbers.

        Args:
            group: int32[k], the group of each label's prediction.
            numbers: float64[k].

        Returns:
            int64[k]; ``NO_CODE`` where a number names no class: a fraction, or one more than the limit allows.
        """
        if (np.abs(numbers) < _SMALL).all() and (numbers == np.trunc(numbers)).all():
            whole, place = distinct_codes(numbers.astype(np.int64))
            distinct = whole.astype(np.float64)
        else:
            distinct, place = np.unique(numbers, return_inverse=True)

        def code_of(code: int, number: int) -> int:
            return self.classes.code_of_number(self.groups.values[code].model, float(distinct[number]))

        return encode_pairs(group.astype(np.int64), place, len(distinct), code_of)

    def note_learned(self, group: int) -> None:
        """Remember that a group's reference was made here.

        Args:
            group: its code.
        """
        self.learned.add(group)
        self._facts[b"learned/%d" % group] = b"1"

    def note_announced(self, group: int, profile: str) -> None:
        """Remember which profile of a group the monitor was told.

        Args:
            group: its code.
            profile: the profile's id.
        """
        self.announced[group] = profile
        self._facts[b"announced/%d" % group] = profile.encode()

    # --- changelog -----------------------------------------------------------------------------------------------

    def changelog(self) -> Iterator[tuple[bytes, bytes | None]]:
        """The entries for all that changed since the last call."""
        for name, dictionary in self._dictionaries().items():
            first, values = dictionary.take_new()
            for start, part in _parts([orjson.dumps(_plain(value)) for value in values]):
                yield f"dictionary/{name}/{first + start}".encode(), part
        for rows in self.store.take_changed(_ROWS_PART):
            self._expiry_ms[self._next_part] = self.store.expiry_ms(rows)
            yield b"rows/%d" % self._next_part, rows.encode()
            self._next_part += 1
        if self._forgotten_ms < self.final_ms:
            self._forgotten_ms = self.final_ms
            for old in [old for old, expiry_ms in self._expiry_ms.items() if expiry_ms < self.final_ms]:
                del self._expiry_ms[old]
                yield b"rows/%d" % old, None
        yield from ((b"details/%d" % number, part) for number, part in self.members.details.changelog())
        yield from self.waiting.changelog()
        yield from self._facts.items()
        self._facts = {}
        yield from self.segment_sets.changelog()
        meta = {
            "newest_ms": {topic: mark.newest_ms for topic, mark in self.watermarks.items()},
            "final_ms": self.final_ms,
            "segment_epoch": self.segment_sets.epoch,
        }
        if meta != self._meta:
            self._meta = meta
            yield _META, orjson.dumps(meta)

    def restore(self, entries: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Apply changelog entries in log order.

        Args:
            entries: key and value; a None value deletes the key.
        """
        for key, value in entries:
            if key.startswith(b"["):
                self.segment_sets.restore_rivals(orjson.loads(key), value)
                continue
            kind, _, name = key.decode().partition("/")
            if kind == "rows":
                self._restore_rows(int(name), value)
            elif kind == "details":
                self.members.details.restore(int(name), value)
            elif kind == "waiting":
                self._restore_waiting(int(name), value)
            elif kind == "dictionary" and value is not None:
                which, _, first = name.partition("/")
                self._dictionaries()[which].restore(int(first), map(_VALUE_OF[which], orjson.loads(value)))
            elif kind == "learned":
                self.learned.add(int(name))
            elif kind == "announced" and value is not None:
                self.announced[int(name)] = value.decode()
            elif key == _META and value is not None:
                self._restore_meta(orjson.loads(value))

    def finish_restore(self) -> None:
        """Take what was restored into use; called once, before the first record."""
        self.store.sweep(self.final_ms)  # its labels in vain were reported before the crash
        self.members.details.sweep(self.final_ms)
        self.waiting.restore(self._restored_waiting)
        self._restored_waiting = {}
        self.segment_sets.finish_restore()

    def _restore_rows(self, number: int, value: bytes | None) -> None:
        """Take rows into the store as they come: all of them may be more than memory holds.

        Those of a part that is deleted later were all past use by then, and go with the first sweep.
        """
        self._next_part = max(self._next_part, number + 1)
        if value is None:
            self._expiry_ms.pop(number, None)
            return
        rows = StoreRows.decode(value)
        self.store.restore([rows])
        self._expiry_ms[number] = self.store.expiry_ms(rows)

    def _restore_waiting(self, number: int, value: bytes | None) -> None:
        if value is None:
            self._restored_waiting.pop(number, None)
        else:
            self._restored_waiting[number] = decode_waiting(number, value)

    def _restore_meta(self, meta: Mapping[str, Any]) -> None:
        self._meta = dict(meta)
        for topic, newest_ms in meta["newest_ms"].items():
            self.watermarks[topic].newest_ms = newest_ms
        self.final_ms = meta["final_ms"]
        self.segment_sets.epoch = meta.get("segment_epoch")

    def _dictionaries(self) -> dict[str, Dictionary[Any] | SegmentSets | ClassCodes]:
        return {
            "groups": self.groups,
            "models": self.models,
            "segment_sets": self.segment_sets,
            "classes": self.classes,
        }


def _plain(value: Any) -> Any:
    return [value.model, value.model_version, value.task.value] if isinstance(value, Group) else value


_VALUE_OF: Mapping[str, Callable[[Any], Any]] = {
    "groups": lambda value: Group(value[0], value[1], Task(value[2])),
    "models": str,
    "segment_sets": tuple,
    "classes": tuple,
}


def _parts(encoded: Sequence[bytes]) -> Iterator[tuple[int, bytes]]:
    """JSON arrays of some values that fit into a record, each with the place of its first."""
    start = size = 0
    for place, value in enumerate(encoded):
        if place > start and size + len(value) > _DICTIONARY_PART_BYTES:
            yield start, b"[" + b",".join(encoded[start:place]) + b"]"
            start, size = place, 0
        size += len(value) + 1
    if start < len(encoded):
        yield start, b"[" + b",".join(encoded[start:]) + b"]"
