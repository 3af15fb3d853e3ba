"""The metrics of how long labels take, how many have come, and what those that have not come yet would change."""

from pipeline.core.metrics.definition import Metric

_DDSKETCH = "Masson, Rim, Lee 2019, DDSketch, VLDB 12"
_SKETCH = "within 3.1 % (1/33) of the true value; 0 for labels that came before their prediction"

LABEL_DELAYS: tuple[Metric, ...] = tuple(
    Metric(
        f"label_delay_ms.p{percent}",
        f"label's time less prediction's, of the labels that count: that of rank floor(0.{percent} (n - 1)) from below",
        _DDSKETCH,
        "numpy.quantile",
        "ms",
        _SKETCH,
        nulls=("no_labels",),
        cost="sketch",
    )
    for percent in (50, 90, 95, 99)
)
