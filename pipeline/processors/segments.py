"""The sets of segments that rows of a partition have, as numbers, with a limit on everything.

A segment's values are limited for each model: a value beyond the limit is counted as ``name=(other)``. So are the
names of a model's segments, and the sets of a partition: what is beyond those counts in ``(other)=(other)``. Which
values are first is decided by each partition for itself.

Two segments that are paired give a row a further one, ``country=DE&device=ios``, of the limited values. The pairs of
values are limited as the values of one segment are; those beyond count as ``country=(other)&device=(other)``. A value
that reads like a pair itself is counted as ``name=(other)``, so a pair's text means that pair alone. A set is stored
with its pairs: when others are configured, rows that wait for their labels stay what they were counted as.
"""

from collections.abc import Iterable, Iterator, Sequence

from pipeline.core.dictionary import NO_CODE, Dictionary

OTHER = "(other)"
MAX_NAMES = 64
"""Names of segments that a model may use."""
MAX_SETS = 100_000
"""Sets of segments that a partition knows."""

SegmentSet = tuple[str, ...]
Pair = tuple[str, str]
"""The names of two segments."""
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
        return code + 2

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
        names = self._values.setdefault(model, {})
        for segment in segments:
            name, _, value = segment.partition("=")
            if name != OTHER:
                values = names.setdefault(name, set())
                if value != OTHER:
                    values.add(value)
        for pair, text in self._pairs_of(segments):
            if text in pairs:
                self._paired.setdefault((model, pair), set()).add(text)
        self.sets.append(segments + pairs)
