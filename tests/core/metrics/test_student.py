import pytest
from scipy.stats import t

from pipeline.core.metrics.student import student_deviate


@pytest.mark.parametrize(
    ("level", "error"), [(0.5, 1e-9), (0.8, 1e-9), (0.95, 1e-9), (0.99, 1e-9), (0.9999, 1e-7), (0.999999, 1e-7)]
)
def test_it_is_scipys_quantile(level: float, error: float) -> None:
    for degrees in (*range(1, 130), 500, 10_000, 10**6):
        assert student_deviate(level, degrees) == pytest.approx(t.ppf((1 + level) / 2, degrees), rel=error)
