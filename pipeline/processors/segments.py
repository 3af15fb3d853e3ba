"""The sets of segments that rows of a partition have, as numbers, with a limit on everything.

A segment's values are limited for each model: a value beyond the limit is counted as ``name=(other)``. So are the
names of a model's segments, and the sets of a partition: what is beyond those counts in ``(other)=(other)``. Which
values are kept is decided by each partition for itself: the first, until heavy hitters take their places
(``segment_rivals.py``).

Two segments that are paired give a row a further one, ``country=DE&device=ios``, of the limited values. The pairs of
values are limited as the values of one segment are; those beyond count as ``country=(other)&device=(other)``. A value
that reads like a pair itself is counted as ``name=(other)``, so a pair's text means that pair alone. A set is stored
with its pairs: when others are configured, rows that wait for their labels stay what they were counted as.
"""

from collections.abc import Iterable, Iterator, Sequence

import orjson

from pipeline.core.dictionary import NO_CODE, Dictionary
from pipeline.core.events import Json
from pipeline.processors.pieces import PieceLog, pack
from pipeline.processors.segment_rivals import Rivals

OTHER = "(other)"
RIVALS = "rivals"
"""What begins the keys of the changelog: ``rivals, model, segment, piece``."""
MAX_NAMES = 64
"""Names of segments that a model may use."""
MAX_SETS = 100_000
"""Sets of segments that a partition knows."""

SegmentSet = tuple[str, ...]
Pair = tuple[str, str]
"""The names of two segments."""
SegmentName = tuple[str, str]
"""A model, and the name of one of its segments."""
_OVERFLOW: SegmentSet = (f"{OTHER}={OTHER}",)


class SegmentSets:
    """Codes by (model, set of segments).

    Args:
        max_values: how many values a segment of a model may have.
        max_sets: how many sets there may be.
        pairs: names of segments that are also counted together.
    """

    def __init__(self, max_values: int, max_sets: int = MAX_SETS, pairs: Sequence[Pair] = ()) -> None:
        self.sets: list[SegmentSet] = [(), _OVERFLOW]
        """The set of each code, as ``name=value`` each, sorted; then its pairs."""
        self._codes: Dictionary[tuple[str, *tuple[SegmentSet, ...]]] = Dictionary(max_sets)
        self._values: dict[str, dict[str, set[str]]] = {}
        self._paired: dict[tuple[str, Pair], set[str]] = {}
        self.epoch: int | None = None
        self._rivals: dict[SegmentName, Rivals] = {}  # of segments whose values the sets do not tell, or will not
        self._changed: set[SegmentName] = set()
        self._log = PieceLog()
        self._max_values = max_values
        self._pairs = pairs

    def code(self, model: str, segments: SegmentSet) -> int:
        """The code of a row's segments.

        Args:
            model: the row's model.
            segments: ``name=value`` each.
        """
        if not segments:
            return 0
        bounded = self._bounded(model, segments)
        pairs = self._bounded_pairs(model, bounded)
        known = len(self._codes.values)
        code = self._codes.code((model, bounded, pairs) if pairs else (model, bounded))
        if code == NO_CODE:
            return 1
        if code == known:
            self._learn(model, bounded, pairs)
        elif self._rivals:
            self._keep(model, bounded)
        return code + 2

    @property
    def is_counting(self) -> bool:
        """Whether the rows of some segment are to be counted by value."""
        return any(rivals.counting for rivals in self._rivals.values())

    def count(self, model: str, segments: SegmentSet, rows: int) -> None:
        """Count rows by the values of those segments that have more than are kept.

        Args:
            model: the rows' model.
            segments: ``name=value`` each.
            rows: how many rows have them.
        """
        for segment in segments:
            name, _, value = segment.partition("=")
            rivals = self._rivals.get((model, name))
            if rivals is not None and rivals.counting and not self._reads_like_a_pair(name, value):
                rivals.count(value, rows, self._values[model][name], self._max_values)
                self._changed.add((model, name))

    def turn_to(self, epoch: int) -> None:
        """Begin an epoch: heavy hitters of the last one get names.

        Args:
            epoch: its number, greater than that of the last one.
        """
        self.epoch = epoch
        for model, names in self._values.items():
            for name, kept in names.items():
                if (model, name) in self._rivals or len(kept) >= self._max_values:
                    rivals = self._rivals.setdefault((model, name), Rivals())
                    names[name] = rivals.choose(kept, self._max_values)
                    self._changed.add((model, name))

    def changelog(self) -> Iterator[tuple[bytes, bytes | None]]:
        """The entries for what was counted and chosen since the last call."""
        for model, name in self._changed:
            members = self._rivals[model, name].members(self._values[model][name])
            yield from self._log.write((RIVALS, model, name), pack(members))
        self._changed = set()

    def restore_rivals(self, key: Sequence[Json], value: bytes | None) -> None:
        """Apply one changelog entry.

        Args:
            key: the entry's key.
            value: its value; None where it was deleted.
        """
        *name, number = key
        self._log.restore(tuple(name), number, value)

    def finish_restore(self) -> None:
        """Take what was chosen into use, in place of what the sets tell; called once, when all entries were applied."""
        for (_, model, name), pieces in self._log.take_restored():
            members = (member for piece in pieces for member in orjson.loads(piece).items())
            self._rivals[model, name], self._values.setdefault(model, {})[name] = Rivals.from_members(members)

    def take_new(self) -> tuple[int, Sequence[tuple[str, *tuple[SegmentSet, ...]]]]:
        """The (model, set, pairs) added since the last call, and the number of those before them."""
        return self._codes.take_new()

    def restore(self, first: int, sets: Iterable[tuple[str, *tuple[Sequence[str], ...]]]) -> None:
        """Put back what ``take_new`` gave, in its order.

        Args:
            first: the number of sets before them.
            sets: (model, set), and the pairs of a set that has some.
        """
        self._codes.restore(first, [(model, *map(tuple, parts)) for model, *parts in sets])
        for model, *parts in self._codes.values[first:]:
            self._learn(model, *parts)

    def _bounded(self, model: str, segments: SegmentSet) -> SegmentSet:
        names = self._values.get(model, {})
        fresh_names = 0
        result: list[str] = []
        for segment in segments:
            name, _, value = segment.partition("=")
            fresh_names += name not in names
            if name == OTHER or (name not in names and len(names) + fresh_names > MAX_NAMES):
                result += _OVERFLOW
            elif self._reads_like_a_pair(name, value) or (
                value not in names.get(name, ()) and len(names.get(name, ())) >= self._max_values
            ):
                result.append(f"{name}={OTHER}")
            else:
                result.append(segment)
        return tuple(sorted(set(result)))

    def _bounded_pairs(self, model: str, segments: SegmentSet) -> SegmentSet:
        result: list[str] = []
        for pair, text in self._pairs_of(segments):
            known = self._paired.get((model, pair), set())
            fits = text in known or len(known) < self._max_values
            result.append(text if fits else f"{pair[0]}={OTHER}&{pair[1]}={OTHER}")
        return tuple(result)

    def _pairs_of(self, segments: SegmentSet) -> Iterator[tuple[Pair, str]]:
        named = {segment.partition("=")[0]: segment for segment in segments} if self._pairs else {}
        for first, second in self._pairs:
            if first in named and second in named:
                yield (first, second), f"{named[first]}&{named[second]}"

    def _reads_like_a_pair(self, name: str, value: str) -> bool:
        return any(name == first and f"&{second}=" in value for first, second in self._pairs)

    def _learn(self, model: str, segments: SegmentSet, pairs: SegmentSet = ()) -> None:
        """Only what stands in a set that has a code counts as known, so that a restore knows the same."""
        self._keep(model, segments)
        for pair, text in self._pairs_of(segments):
            if text in pairs:
                self._paired.setdefault((model, pair), set()).add(text)
        self.sets.append(segments + pairs)

    def _keep(self, model: str, segments: SegmentSet) -> None:
        names = self._values.setdefault(model, {})
        for segment in segments:
            name, _, value = segment.partition("=")
            if name == OTHER:
                continue
            values = names.setdefault(name, set())
            if value != OTHER and value not in values:
                values.add(value)
                if (model, name) in self._rivals:
                    self._changed.add((model, name))
