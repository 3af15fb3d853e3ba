"""What the joiner needs of the configuration, in its own terms."""

from dataclasses import dataclass

from pipeline.config import Config
from pipeline.core.join import JoinLimits
from pipeline.core.window import WindowSize, pane_ms


@dataclass(frozen=True, slots=True)
class JoinerSettings:
    """The joiner's limits and times.

    Attributes:
        pane_ms: the length of a pane.
        sizes: the windows.
        lateness_ms: how late an event may be before it counts as late.
        idle_timeout_ms: how long a topic that is read to its end must be quiet before time itself moves its watermark.
        max_future_ms: how far ahead of the clock an event may be.
        limits: how long rows wait for each other.
        cutoffs: how many first items of a ranking are looked at, rising.
        details_bytes: the memory that the members of sets, rankings and gains may take.
        class_scores: whether the scores of multiclass models are kept among them.
        learn_rows: rows that make a reference.
        reference_bins: the most bins of a feature's numbers.
        reference_max_categories: the most texts of a feature with a bin of their own.
        max_waiting_rows: rows kept for a reference that is not known yet.
        max_segment_values: distinct values of a model's segment; more are counted as ``name=(other)``.
        segment_epoch_ms: how often heavy hitters take the places of rarer values.
        segment_pairs: names of segments whose values are also counted together.
        max_versions: model versions of a partition; a row of one more goes to dead letters.
        max_classes: distinct class names of a model; a row with one more goes to dead letters.
    """

    pane_ms: int
    sizes: tuple[WindowSize, ...]
    lateness_ms: int
    idle_timeout_ms: int
    max_future_ms: int
    limits: JoinLimits
    cutoffs: tuple[int, ...]
    details_bytes: int
    class_scores: bool
    learn_rows: int
    reference_bins: int
    reference_max_categories: int
    max_waiting_rows: int
    max_segment_values: int
    segment_epoch_ms: int
    segment_pairs: tuple[tuple[str, str], ...]
    max_versions: int
    max_classes: int


def joiner_settings(config: Config) -> JoinerSettings:
    """The joiner's part of the configuration.

    Args:
        config: the whole.
    """
    windows = config.windows
    return JoinerSettings(
        pane_ms=pane_ms(windows.sizes),
        sizes=windows.sizes,
        lateness_ms=windows.allowed_lateness,
        idle_timeout_ms=windows.idle_timeout,
        max_future_ms=windows.max_future,
        limits=JoinLimits(
            horizon_ms=windows.label_horizon,
            # A label that waits longer than the horizon could be counted after its window is final.
            early_ms=min(windows.early_label_horizon, windows.label_horizon),
            max_rows=config.joiner.max_open_rows,
            memory_bytes=config.joiner.memory_mb << 20,
        ),
        cutoffs=tuple(sorted(config.quality.ranking_cutoffs)),
        details_bytes=config.joiner.details_mb << 20,
        class_scores=config.joiner.class_scores,
        learn_rows=config.reference.learn_rows,
        reference_bins=config.reference.bins,
        reference_max_categories=config.reference.max_categories,
        max_waiting_rows=config.joiner.max_buffered_feature_rows,
        max_segment_values=config.joiner.max_segment_values,
        segment_epoch_ms=config.joiner.segment_epoch,
        segment_pairs=config.joiner.segment_pairs,
        max_versions=config.joiner.max_versions,
        max_classes=config.joiner.max_classes,
    )
