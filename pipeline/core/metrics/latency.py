"""The latency section of a window."""

from pipeline.core.accumulate.latency import Latency
from pipeline.core.family import Context, Report

_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def report_latency(state: Latency, context: Context) -> Report:  # noqa: ARG001 - every report is called alike
    """Report how long predictions took.

    Args:
        state: the latencies of the window.
        context: not needed here.

    Returns:
        The section ``latency_ms``: exact mean and maximum, quantiles within 1 %.
    """
    if state.is_zero():
        names = ("mean", *_QUANTILES, "max")
        empty = dict.fromkeys(names)
        return Report({"latency_ms": empty}, {f"latency_ms.{name}": "no_latencies" for name in names})
    quantiles = {name: state.quantile(share) for name, share in _QUANTILES.items()}
    mean = state.total.divided_by(state.count)
    return Report({"latency_ms": {"mean": mean, **quantiles, "max": state.greatest}})
