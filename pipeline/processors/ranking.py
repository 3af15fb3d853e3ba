"""Where a model is worst: ranks the segments of a version within one window, from their own states."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from pipeline.core.events import Json
from pipeline.core.families import FAMILIES, Context
from pipeline.core.metrics.worst_segments import RankingSettings, SegmentValue, rank_worst, value_of
from pipeline.processors.tracks import Track

_OF_LABELS = [family for family in FAMILIES if family.fold_labels is not None and family.report is not None]


def worst_segments(
    settings: RankingSettings,
    context: Context,
    quality: Mapping[str, Json],
    segments: Iterable[Track],
    window: tuple[int, int, int],
) -> tuple[list[Json], dict[str, str]]:
    """Rank the segments of a window.

    Args:
        settings: by what, and how many.
        context: the whole window's.
        quality: the whole window's quality section; it says which metrics the task has.
        segments: the version's segments.
        window: its start, its length and a pane's length, each in milliseconds.

    Returns:
        The section ``worst_segments``, and the reasons of what is null or missing in it. ``no_segments``: none of the
        version's segments has a labelled row here. ``too_few_rows``: none of them has enough.
    """
    metric = next((name for name in settings.metrics if name in quality), None)
    if metric is None or not settings.count:
        return [], {}
    found: list[SegmentValue] = []
    labelled_at_all = False
    for track in segments:
        labelled = track.labelled(*window)
        labelled_at_all |= labelled > 0
        if labelled >= settings.min_labelled:
            one = _value_in(track, context, metric, labelled, window)
            found += [one] if one is not None else []
    if not found:
        return [], {"worst_segments": "too_few_rows" if labelled_at_all else "no_segments"}
    return rank_worst(found, metric, settings.count)


def _value_in(
    track: Track, context: Context, metric: str, labelled: int, window: tuple[int, int, int]
) -> SegmentValue | None:
    context = replace(context, segment=track.segment)
    states = track.merged(*window, names={family.name for family in _OF_LABELS})
    for family in _OF_LABELS:
        assert family.report is not None  # noqa: S101 - that is how they were chosen
        quality = family.report(states[family.name], context).values.get("quality", {})
        if metric in quality:
            return value_of(track.segment, labelled, quality, metric)
    return None
