"""The table ``[joiner]``: how much a joiner remembers, and which segments it counts together."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field

from pipeline.config_section import Conflict, DurationMs, Section

SegmentName = Annotated[str, Field(min_length=1, max_length=128)]


def _lists(value: Any) -> list[Any]:
    return [one for one in value if isinstance(one, list | tuple)] if isinstance(value, list | tuple) else []


class JoinerConfig(Section):
    """Limits of the joiner's state: ``memory_mb`` and ``details_mb`` of a worker, the others of a partition."""

    memory_mb: int = Field(1_024, ge=16, le=1_000_000)
    details_mb: int = Field(512, ge=1, le=1_000_000)
    class_scores: bool = True
    max_open_rows: int = Field(200_000_000, ge=1_000)
    max_buffered_feature_rows: int = Field(200_000, ge=0)
    max_segment_values: int = Field(200, ge=1)
    segment_epoch: DurationMs = 3_600_000
    segment_pairs: tuple[tuple[SegmentName, SegmentName], ...] = Field((), max_length=16)
    max_versions: int = Field(10_000, ge=1)
    max_classes: int = Field(10_000, ge=2)

    @classmethod
    def conflicts(cls, raw: Mapping[str, Any]) -> Iterator[Conflict]:
        """A segment that is paired with itself, a pair that is there already."""
        pairs = [tuple(sorted(map(str, one))) for one in _lists(raw.get("segment_pairs"))]
        for place, pair in enumerate(pairs):
            if len(pair) == 2 and len(set(pair)) == 1:
                yield Conflict(("segment_pairs", place), f"{pair[0]!r} is paired with itself", "give two names")
            if pair in pairs[:place]:
                yield Conflict(("segment_pairs", place), "is there already, in one order or the other", "remove it")
