import numpy as np
import pytest

from pipeline.core.accumulate.exact_sum import ExactSum
from pipeline.core.accumulate.latency import Latency
from pipeline.core.accumulate.moments import Moments
from pipeline.core.events import Task
from pipeline.core.family import Context
from pipeline.core.metrics.data_quality import report_data_quality
from pipeline.core.metrics.latency import report_latency
from tests.moments import moments_of

CONTEXT = Context("m", "1", Task.BINARY, "", 60_000, False, None, 0.2, 0.1)  # noqa: FBT003 - final


def test_moments_are_numpys() -> None:
    values = np.random.default_rng(3).normal(1e6, 3, 500)
    found = report_data_quality(moments_of({"x": [*values.tolist(), *["text"] * 100]}, 800), CONTEXT)
    assert found.values["data_quality"]["x"] == {
        "count": 600,
        "missing": 200,
        "missing_ratio": 0.25,
        "mean": pytest.approx(values.mean(), rel=1e-15),
        "std": pytest.approx(values.std(), rel=1e-12),
        "min": values.min(),
        "max": values.max(),
    }
    assert found.reasons == {}


def test_a_feature_of_texts_has_no_moments() -> None:
    found = report_data_quality(moments_of({"color": ["red", "blue"]}, 3), CONTEXT)
    assert found.values["data_quality"]["color"]["missing"] == 1
    assert found.values["data_quality"]["color"]["mean"] is None
    assert found.reasons["data_quality.color.std"] == "no_numbers"


def test_a_limited_state_says_so() -> None:
    state = Moments(1)
    assert report_data_quality(state, CONTEXT).reasons == {"data_quality": "no_features"}
    state.limited = True
    assert report_data_quality(state, CONTEXT).reasons == {"data_quality": "too_many_features"}


def test_no_latencies_give_nulls() -> None:
    found = report_latency(Latency(), CONTEXT)
    assert found.values["latency_ms"] == dict.fromkeys(["mean", "p50", "p95", "p99", "max"])
    assert set(found.reasons.values()) == {"no_latencies"}


def test_latency_section() -> None:
    state = Latency()
    state.count, state.total, state.greatest, state.buckets = 2, ExactSum(5), 4.0, {1023 << 6: 1, 1025 << 6: 1}
    section = report_latency(state, CONTEXT).values["latency_ms"]
    assert (section["mean"], section["max"]) == (2.5, 4.0)
    assert section["p50"] == pytest.approx(1.0, rel=0.01)
    assert section["p99"] == pytest.approx(1.0, rel=0.01)
