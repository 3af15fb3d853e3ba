"""What the monitor needs of the configuration, in its own terms."""

from dataclasses import dataclass

from pipeline.config import Config, RuleConfig
from pipeline.config_objectives import ObjectiveConfig
from pipeline.config_quality import QualityConfig, WorstSegmentsConfig
from pipeline.core.metrics.maturity import MaturitySettings
from pipeline.core.metrics.objectives import Objective
from pipeline.core.metrics.settings import QualitySettings
from pipeline.core.metrics.worst_segments import RankingSettings
from pipeline.core.rules import Rule
from pipeline.core.window import WindowSize, pane_ms


@dataclass(frozen=True, slots=True)
class MonitorSettings:
    """The monitor's windows, thresholds and rules.

    Attributes:
        sizes: the windows.
        pane_ms: the length of a pane.
        horizon_ms: how long after its prediction a label may come.
        revision_step: a window is published again when this share of its predictions got labels since the last time.
        psi_threshold: the population stability index from which a feature counts as drifted.
        js_threshold: the Jensen-Shannon distance from which a feature counts as drifted.
        quality: which numbers of the quality section are wanted.
        tracked: the metrics that are compared with the training's and with the past's.
        ranking: how the worst segments are found.
        maturity: what past windows are asked about labels that are still to come.
        objectives: the service-level objectives.
        rules: the alert rules.
    """

    sizes: tuple[WindowSize, ...]
    pane_ms: int
    horizon_ms: int
    revision_step: float
    psi_threshold: float
    js_threshold: float
    quality: QualitySettings
    tracked: tuple[str, ...]
    ranking: RankingSettings
    maturity: MaturitySettings
    objectives: tuple[Objective, ...]
    rules: tuple[Rule, ...]

    @property
    def longest_ms(self) -> int:
        """The longest window: for so long after its start a pane may be part of a window."""
        return max(size.size_ms for size in self.sizes)


def monitor_settings(config: Config) -> MonitorSettings:
    """The monitor's part of the configuration.

    Args:
        config: the whole.
    """
    return MonitorSettings(
        sizes=config.windows.sizes,
        pane_ms=pane_ms(config.windows.sizes),
        horizon_ms=config.windows.label_horizon,
        revision_step=config.windows.revision_step,
        psi_threshold=config.reference.psi_threshold,
        js_threshold=config.reference.js_threshold,
        quality=_quality(config.quality),
        tracked=config.quality.tracked,
        ranking=_ranking(config.quality.worst_segments),
        maturity=_maturity(config.quality),
        objectives=tuple(_objective(one) for one in config.objectives),
        rules=tuple(_rule(rule, min(config.windows.sizes)) for rule in config.rules),
    )


def _quality(quality: QualityConfig) -> QualitySettings:
    gains = {
        one.model: {(guess, truth): gain for guess, row in one.gains.items() for truth, gain in row.items()}
        for one in quality.gains
    }
    return QualitySettings(
        quality.interval_level,
        quality.betas,
        quality.class_intervals,
        gains,
        quality.calibration_bins,
        tuple(sorted(quality.ranking_cutoffs)),
        quality.top_k,
        calibration_rows=quality.calibration_rows,
    )


def _maturity(quality: QualityConfig) -> MaturitySettings:
    return MaturitySettings(quality.maturity.windows, quality.maturity.min_share, quality.interval_level)


def _ranking(worst: WorstSegmentsConfig) -> RankingSettings:
    return RankingSettings(worst.metrics, worst.count, worst.min_labelled)


def _objective(one: ObjectiveConfig) -> Objective:
    return Objective(
        name=one.name,
        model=one.model,
        segment=one.segment,
        latency_ms=one.latency_ms,
        absolute_error=one.absolute_error,
        correct=bool(one.correct),
        target=one.target,
        period_ms=one.period,
        burn_rates=one.burn_rates,
    )


def _rule(rule: RuleConfig, shortest: WindowSize) -> Rule:
    return Rule(
        name=rule.name,
        model=rule.model,
        model_version=rule.model_version,
        segment=rule.segment,
        host=rule.host,
        metric=rule.metric,
        window=str(rule.window or shortest),
        above=rule.above,
        below=rule.below,
        change_from_reference=rule.change_from_reference,
        change_from_baseline=rule.change_from_baseline,
        baseline_windows=rule.baseline_windows,
        for_windows=rule.for_,
        resolve_after=rule.resolve_after,
        min_predictions=rule.min_predictions,
        min_labelled=rule.min_labelled,
        min_label_coverage=rule.min_label_coverage,
        min_label_maturity=rule.min_label_maturity,
        severity=rule.severity,
        retrain=rule.retrain,
        retrain_cooldown_ms=rule.retrain_cooldown,
    )
