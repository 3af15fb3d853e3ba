"""The sets of segments that rows of a partition have, as numbers, with a limit on everything.

A segment's values are limited for each model: a value beyond the limit is counted as ``name=(other)``. So are the
names of a model's segments, and the sets of a partition: what is beyond those counts in ``(other)=(other)``. Which
values are first is decided by each partition for itself.
"""

from collections.abc import Iterable, Sequence

from pipeline.core.dictionary import NO_CODE, Dictionary

OTHER = "(other)"
MAX_NAMES = 64
"""Names of segments that a model may use."""
MAX_SETS = 100_000
"""Sets of segments that a partition knows."""

SegmentSet = tuple[str, ...]
_OVERFLOW: SegmentSet = (f"{OTHER}={OTHER}",)


class SegmentSets:
    """Codes by (model, set of segments).

    Args:
        max_values: how many values a segment of a model may have.
        max_sets: how many sets there may be.
    """

    def __init__(self, max_values: int, max_sets: int = MAX_SETS) -> None:
        self.sets: list[SegmentSet] = [(), _OVERFLOW]
        """The set of each code, as ``name=value`` each, sorted."""
        self._codes: Dictionary[tuple[str, SegmentSet]] = Dictionary(max_sets)
        self._values: dict[str, dict[str, set[str]]] = {}
        self._max_values = max_values

    def code(self, model: str, segments: SegmentSet) -> int:
        """The code of a row's segments.

        Args:
            model: the row's model.
            segments: ``name=value`` each.
        """
        if not segments:
            return 0
        bounded = self._bounded(model, segments)
        known = len(self._codes.values)
        code = self._codes.code((model, bounded))
        if code == NO_CODE:
            return 1
        if code == known:
            self._learn(model, bounded)
        return code + 2

    def take_new(self) -> tuple[int, Sequence[tuple[str, SegmentSet]]]:
        """The (model, set) pairs added since the last call, and the number of those before them."""
        return self._codes.take_new()

    def restore(self, first: int, pairs: Iterable[tuple[str, Sequence[str]]]) -> None:
        """Put back what ``take_new`` gave, in its order.

        Args:
            first: the number of pairs before them.
            pairs: (model, set).
        """
        self._codes.restore(first, [(model, tuple(segments)) for model, segments in pairs])
        for model, segments in self._codes.values[first:]:
            self._learn(model, segments)

    def _bounded(self, model: str, segments: SegmentSet) -> SegmentSet:
        names = self._values.get(model, {})
        fresh_names = 0
        result: list[str] = []
        for segment in segments:
            name, _, value = segment.partition("=")
            fresh_names += name not in names
            if name == OTHER or (name not in names and len(names) + fresh_names > MAX_NAMES):
                result += _OVERFLOW
            elif value not in names.get(name, ()) and len(names.get(name, ())) >= self._max_values:
                result.append(f"{name}={OTHER}")
            else:
                result.append(segment)
        return tuple(sorted(set(result)))

    def _learn(self, model: str, segments: SegmentSet) -> None:
        """Only what stands in a set that has a code counts as known, so that a restore knows the same."""
        names = self._values.setdefault(model, {})
        for segment in segments:
            name, _, value = segment.partition("=")
            if name != OTHER:
                values = names.setdefault(name, set())
                if value != OTHER:
                    values.add(value)
        self.sets.append(segments)
