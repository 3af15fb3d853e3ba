"""Which way a quality metric is worse, so that live, training and segments' values can be compared as errors."""

LOSSES = frozenset(
    (
        "log_loss", "brier", "ece", "mce", "adaptive_ece", "hamming_loss", "mse", "rmse", "mae", "mape", "smape",
        "msle", "rmsle", "median_absolute_error", "absolute_error_p90", "absolute_error_p99",
    )
)  # fmt: skip
"""Metrics that are errors themselves: 0 is perfect, more is worse."""

WITHOUT_DIRECTION = frozenset(
    (
        "bias", "residual_p05", "residual_p25", "residual_p50", "residual_p75", "residual_p95", "business_value",
        "business_value_per_prediction",
    )
)  # fmt: skip
"""Metrics without a best value of 0 or 1; every other one is a score: 1 is perfect, less is worse."""


def is_loss(metric: str) -> bool:
    """Whether more of a metric is worse.

    Args:
        metric: its name in the quality section.
    """
    return metric in LOSSES


def error_of(metric: str, value: float) -> float:
    """What is missing to perfection: a loss itself, 1 minus a score.

    Args:
        metric: its name in the quality section, not one of ``WITHOUT_DIRECTION``.
        value: its value.

    Returns:
        The error, 0 for a perfect model.
    """
    return value if is_loss(metric) else 1.0 - value
