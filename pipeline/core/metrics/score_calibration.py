"""From scores to probabilities: an isotonic fit to labelled rows.

Where scores are no probabilities, the rows whose labels are known say what a score means: the rising function of the
score that is nearest to their labels in least squares (Zadrozny, Elkan 2002, "Transforming Classifier Scores into
Accurate Multiclass Probability Estimates"), by pooling adjacent violators (Ayer et al. 1955), straight between its
steps as scikit-learn's ``IsotonicRegression`` has it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.core.events import Float64s
from pipeline.core.metrics.calibration import equal_width_bins, expected_error_interval
from pipeline.core.metrics.score_table import ScoreTable

_BINS = 10


@dataclass(frozen=True, slots=True)
class ScoreCalibration:
    """What scores mean.

    Attributes:
        method: ``identity`` where the scores are probabilities as far as the rows can tell.
        scores: where the function has its corners, rising; none for the identity.
        rates: its values there, rising.
        names: the classes that were seen.
    """

    method: Literal["identity", "isotonic"]
    scores: Sequence[float]
    rates: Sequence[float]
    names: Sequence[str]

    def probabilities(self, score: Float64s) -> Float64s:
        """The probabilities of the positive class.

        Args:
            score: float64[b].

        Returns:
            float64[b].
        """
        return score if self.method == "identity" else np.interp(score, self.scores, self.rates)


def fit_calibration(table: ScoreTable, names: Sequence[str], level: float) -> ScoreCalibration:
    """Learn what scores mean.

    Args:
        table: labelled rows of both classes.
        names: their classes.
        level: the confidence at which the scores must differ from the rates to be corrected.

    Returns:
        The identity where the expected calibration error may be zero, for correcting would add noise; else the fit.
    """
    if expected_error_interval(equal_width_bins(table, _BINS), level)[0] <= 0:
        return ScoreCalibration("identity", (), (), names)
    counts = table.positive + table.negative
    scores: list[float] = []
    rates: list[float] = []
    for start, end, hits, rows in _pooled(table.positive.tolist(), counts.tolist()):
        corners = (table.middle[start], table.middle[end - 1])
        for corner in corners[: 1 + (end - start > 1)]:
            scores.append(float(corner))
            rates.append(hits / rows)
    return ScoreCalibration("isotonic", scores, rates, names)


def _pooled(hits: Sequence[int], rows: Sequence[int]) -> list[tuple[int, int, int, int]]:
    """Neighbours whose rates do not rise, put together: first and end place, hits and rows of each pool."""
    pools: list[tuple[int, int, int, int]] = []
    for place, pool in enumerate(zip(hits, rows, strict=True)):
        start, found, count = place, *pool
        while pools and pools[-1][2] * count >= found * pools[-1][3]:
            start, _, more, others = pools.pop()
            found, count = found + more, count + others
        pools.append((start, place + 1, found, count))
    return pools
