"""How long the labels of a window took: quantiles from a sketch whose values are within 1/33 of the true ones."""

from pipeline.core.accumulate.delays import Delays, delay_quantile
from pipeline.core.family import Context, Report

_QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


def report_delays(state: Delays, context: Context) -> Report:  # noqa: ARG001 - every report is called alike
    """Report the delays of the labels that count.

    Args:
        state: the delays of the window.
        context: not needed here.

    Returns:
        The section ``label_delay_ms``.
    """
    if state.is_zero():
        reasons = {f"label_delay_ms.{name}": "no_labels" for name in _QUANTILES}
        return Report({"label_delay_ms": dict.fromkeys(_QUANTILES)}, reasons)
    sketch = state.of_all()
    return Report({"label_delay_ms": {name: delay_quantile(sketch, share) for name, share in _QUANTILES.items()}})
