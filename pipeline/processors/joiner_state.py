"""What a joiner partition remembers, and its changelog.

========================  ============================================================================
changelog key             value
========================  ============================================================================
``rows/<n>``              some of the store rows changed in one commit; deleted when the last of them is past use
``waiting/<n>``           rows that wait for a reference; deleted when they were counted
``dictionary/<name>/<n>``  the values whose codes start at n; kept for ever
``meta``                  watermarks and counters; the last one holds
========================  ============================================================================
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from pipeline.core.codec import class_name
from pipeline.core.dictionary import NO_CODE, Dictionary
from pipeline.core.distinct import distinct_codes
from pipeline.core.events import (
    Group,
    Int64s,
    LabelKind,
    Labels,
    Predictions,
    Task,
)
from pipeline.core.join import JoinStore
from pipeline.core.kernels.join_rows import ROW
from pipeline.core.watermark import NEVER, Watermark
from pipeline.processors.joiner_config import JoinerSettings
from pipeline.processors.learning import Waiting, WaitingRows, decode_waiting

_META = b"meta"
_UNBOUNDED = 1 << 30
# Kafka takes records of a megabyte: 5,000 rows are half of one, and so are 200 of the longest sets of segments.
_ROWS_PART = 5_000
_DICTIONARY_PART = 200
_SMALL = 1 << 31  # of class numbers: almost all are, and integers are counted faster than doubles
OTHER = "(other)"


class JoinerState:
    """The state of one partition: a function of its changelog."""

    def __init__(self, settings: JoinerSettings) -> None:
        self._settings = settings
        self.store = JoinStore(settings.limits)
        self.waiting = Waiting(settings.max_waiting_rows)
        self.watermarks = {topic: Watermark(settings.lateness_ms) for topic in ("predictions", "labels", "resources")}
        self.final_ms = NEVER
        self.learned: set[int] = set()
        self.announced: dict[int, str] = {}  # group to the id of the profile that the monitor knows
        self.groups: Dictionary[Group] = Dictionary(_UNBOUNDED)
        self.models: Dictionary[str] = Dictionary(_UNBOUNDED)
        self.segment_sets: Dictionary[tuple[str, ...]] = Dictionary(_UNBOUNDED)
        self._classes: Dictionary[str] = Dictionary(settings.max_classes)
        self._class_of_number: dict[float, int] = {}
        self._segment_values: dict[str, set[str]] = {}
        self._expiry_ms: dict[int, int] = {}
        self._forgotten_ms = NEVER  # parts that expire before this are deleted
        self._next_part = 0
        self._meta: dict[str, Any] = {}
        self._restored_rows: dict[int, NDArray[np.void]] = {}
        self._restored_waiting: dict[int, WaitingRows] = {}

    # --- codes ---------------------------------------------------------------------------------------------------

    @property
    def classes(self) -> list[str]:
        """Class names by code."""
        return self._classes.values

    def bounded(self, segments: tuple[str, ...]) -> tuple[str, ...]:
        """A set of segments with the values of full segments counted as other.

        Args:
            segments: ``name=value`` each.
        """
        result = []
        for segment in segments:
            name, _, value = segment.partition("=")
            values = self._segment_values.setdefault(name, set())
            if value not in values and len(values) >= self._settings.max_segment_values:
                result.append(f"{name}={OTHER}")
                continue
            values.add(value)
            result.append(segment)
        return tuple(result)

    def class_values(self, rows: Predictions, kept: Int64s) -> tuple[Int64s, NDArray[np.bool_]]:
        """The predictions' values with this partition's class codes.

        Args:
            rows: the decoded batch.
            kept: int64[k], the rows to take.

        Returns:
            int64[k] values, and bool[k], false where the dictionary of classes is full.
        """
        value = rows.value[kept]
        is_class = np.array([group.task.is_classes for group in rows.groups], bool)[rows.group[kept]]
        if not is_class.any():
            return value, np.ones(len(kept), bool)
        codes = self._classes.encode(rows.classes).astype(np.int64)
        value = np.where(is_class, codes[np.where(is_class, value, 0)], value)
        return value, ~is_class | (value != NO_CODE)

    def label_values(self, rows: Labels, kept: Int64s) -> tuple[Int64s, NDArray[np.bool_]]:
        """The labels' values with this partition's class codes for texts.

        Args:
            rows: the decoded batch.
            kept: int64[k], the rows to take.

        Returns:
            int64[k] values, and bool[k], false where the dictionary of classes is full.
        """
        value = rows.value[kept]
        is_text = rows.kind[kept] == LabelKind.TEXT
        if not is_text.any():
            return value, np.ones(len(kept), bool)
        codes = self._classes.encode(rows.classes).astype(np.int64)
        value = np.where(is_text, codes[np.where(is_text, value, 0)], value)
        return value, ~is_text | (value != NO_CODE)

    def class_of_numbers(self, numbers: NDArray[np.float64]) -> Int64s:
        """The class codes of labels that came as numbers.

        Args:
            numbers: float64[k].

        Returns:
            int64[k]; ``NO_CODE`` where a number names no class: a fraction, or one more than the limit allows.
        """
        if (np.abs(numbers) < _SMALL).all() and (numbers == np.trunc(numbers)).all():
            whole, inverse = distinct_codes(numbers.astype(np.int64))
            distinct = whole.astype(np.float64)
        else:
            distinct, inverse = np.unique(numbers, return_inverse=True)
        codes = np.array([self._class_of(number) for number in distinct.tolist()], np.int64)
        return codes[inverse]

    def _class_of(self, number: float) -> int:
        code = self._class_of_number.get(number)
        if code is None:
            code = self._classes.code(class_name(int(number))) if number.is_integer() else NO_CODE
            self._class_of_number[number] = code
        return code

    # --- changelog -----------------------------------------------------------------------------------------------

    def changelog(self) -> Iterator[tuple[bytes, bytes | None]]:
        """The entries for all that changed since the last call."""
        for name, dictionary in self._dictionaries().items():
            first, values = dictionary.take_new()
            for start in range(0, len(values), _DICTIONARY_PART):
                part = [_plain(value) for value in values[start : start + _DICTIONARY_PART]]
                yield f"dictionary/{name}/{first + start}".encode(), orjson.dumps(part)
        changed = self.store.take_changed()
        for start in range(0, len(changed), _ROWS_PART):
            rows = changed[start : start + _ROWS_PART]
            self._expiry_ms[self._next_part] = self.store.expiry_ms(rows)
            yield b"rows/%d" % self._next_part, rows.tobytes()
            self._next_part += 1
        if self._forgotten_ms < self.final_ms:
            self._forgotten_ms = self.final_ms
            for old in [old for old, expiry_ms in self._expiry_ms.items() if expiry_ms < self.final_ms]:
                del self._expiry_ms[old]
                yield b"rows/%d" % old, None
        yield from self.waiting.changelog()
        meta = {
            "newest_ms": {topic: mark.newest_ms for topic, mark in self.watermarks.items()},
            "final_ms": self.final_ms,
            "learned": sorted(self.learned),
            "announced": sorted(self.announced.items()),
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
            kind, _, name = key.decode().partition("/")
            if kind == "rows":
                self._next_part = max(self._next_part, int(name) + 1)
                if value is None:
                    self._restored_rows.pop(int(name), None)
                else:
                    self._restored_rows[int(name)] = np.frombuffer(value, ROW)
            elif kind == "waiting":
                if value is None:
                    self._restored_waiting.pop(int(name), None)
                else:
                    self._restored_waiting[int(name)] = decode_waiting(int(name), value)
            elif kind == "dictionary" and value is not None:
                which, _, first = name.partition("/")
                self._dictionaries()[which].restore(int(first), map(_values_of(which), orjson.loads(value)))
            elif key == _META and value is not None:
                self._restore_meta(orjson.loads(value))

    def finish_restore(self) -> None:
        """Build the store from what was restored; called once, before the first record."""
        self.store.restore([self._restored_rows[part] for part in sorted(self._restored_rows)])
        for part, rows in self._restored_rows.items():
            self._expiry_ms[part] = self.store.expiry_ms(rows)
        self.store.sweep(self.final_ms)  # its labels in vain were reported before the crash
        self.waiting.restore(self._restored_waiting)
        for segments in self.segment_sets.values:
            self.bounded(tuple(segment for segment in segments if not segment.endswith(f"={OTHER}")))
        self._restored_rows, self._restored_waiting = {}, {}

    def _restore_meta(self, meta: Mapping[str, Any]) -> None:
        self._meta = {**meta, "announced": [(code, name) for code, name in meta["announced"]]}
        for topic, newest_ms in meta["newest_ms"].items():
            self.watermarks[topic].newest_ms = newest_ms
        self.final_ms = meta["final_ms"]
        self.learned = set(meta["learned"])
        self.announced = dict(meta["announced"])

    def _dictionaries(self) -> dict[str, Dictionary[Any]]:
        return {
            "groups": self.groups,
            "models": self.models,
            "segment_sets": self.segment_sets,
            "classes": self._classes,
        }


def _plain(value: Any) -> Any:
    return [value.model, value.model_version, value.task.value] if isinstance(value, Group) else value


def _values_of(dictionary: str) -> Any:
    if dictionary == "groups":
        return lambda value: Group(value[0], value[1], Task(value[2]))
    if dictionary == "segment_sets":
        return tuple
    return str
