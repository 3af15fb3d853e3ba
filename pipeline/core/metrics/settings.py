"""What the configuration says about the quality section of a window."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Gains = Mapping[tuple[str, str], float]
"""(predicted class, true class) to what such a row is worth; negative for a cost."""


@dataclass(frozen=True, slots=True)
class QualitySettings:
    """Which numbers are reported beside those that always are.

    Attributes:
        interval_level: the confidence of the two-sided intervals, between 0.5 and 1.
        betas: an F-beta is reported for each, beside F1.
        class_intervals: whether each class's ratios have intervals too.
        gains: the matrix of gains of each model that has one.
        cutoffs: how many first items of a ranking are looked at, rising.
        top_k: among how many classes of the greatest scores the true one is looked for.
        calibration_bins: how many bins calibration is looked at in, a divisor of 20.
        calibration_rows: after so many labelled rows it is settled what a version's scores mean and how it errs.
    """

    interval_level: float = 0.95
    betas: tuple[float, ...] = ()
    class_intervals: bool = False
    gains: Mapping[str, Gains] = field(default_factory=dict, hash=False)
    calibration_bins: int = 10
    cutoffs: tuple[int, ...] = (1, 5, 10)
    top_k: tuple[int, ...] = (3, 5)
    calibration_rows: int = 5_000
