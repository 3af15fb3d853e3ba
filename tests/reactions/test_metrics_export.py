"""What the metrics page shows of windows, hosts and alerts."""

from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter

from pipeline.core.window import parse_window
from pipeline.reactions import metrics_export
from pipeline.reactions.metrics import BoundedGauge, Metrics
from pipeline.reactions.metrics_export import Exporter, counted_window, flatten

MINUTE = 60_000


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def exporter(metrics: Metrics) -> Exporter:
    return Exporter(metrics, parse_window("1m"))


def window(minute: int, revision: int = 0, predictions: int = 10, **fields: Any) -> dict[str, Any]:
    return {
        "model": "fraud",
        "model_version": "3",
        "segment": "",
        "window": "1m",
        "window_start_ms": minute * MINUTE,
        "revision": revision,
        "counts": {"predictions": predictions, "labelled": 0},
        **fields,
    }


def shown(metrics: Metrics, metric: str, **labels: str) -> float | None:
    base = {"model": "fraud", "model_version": "3", "segment": "", "window": "1m"}
    return metrics.registry.get_sample_value("driftline_model_window", {**base, "metric": metric, **labels})


def counted(metrics: Metrics) -> float | None:
    labels = {"model": "fraud", "model_version": "3"}
    return metrics.registry.get_sample_value("driftline_model_predictions_total", labels)


def test_paths_reach_into_every_section() -> None:
    event = window(
        0,
        label_coverage=0.5,
        throughput_per_s=None,
        quality={"accuracy": 0.9, "per_class": {"1": {"f1": 0.8}}},
        latency_ms={"p95": float("nan")},
        drift={"amount": {"psi": 0.3, "drifted": True, "kind": "number"}},
        drift_summary={"drifted_share": 1.0},
        worst_segments=[{"segment": "country=DE", "value": 0.4}],
        objectives={"fast": {"good": 9, "burn_rate": {"1h/5m": 0.1}}},
    )
    assert dict(flatten(event)) == {
        "label_coverage": 0.5,
        "throughput_per_s": None,
        "counts.predictions": 10.0,
        "counts.labelled": 0.0,
        "quality.accuracy": 0.9,
        "quality.per_class.1.f1": 0.8,
        "latency_ms.p95": None,
        "drift.amount.psi": 0.3,
        "drift.amount.drifted": 1.0,
        "drift_summary.drifted_share": 1.0,
        "objectives.fast.good": 9.0,
        "objectives.fast.burn_rate.1h/5m": 0.1,
    }


async def test_the_newest_window_is_shown_and_older_ones_are_ignored(exporter: Exporter, metrics: Metrics) -> None:
    await exporter.on_window(window(1, latency_ms={"p95": 5.0}))
    await exporter.on_window(window(2, latency_ms={"p95": 7.0}))
    await exporter.on_window(window(1, revision=1, latency_ms={"p95": 6.0}))
    assert shown(metrics, "latency_ms.p95") == 7.0


async def test_null_and_absent_values_are_shown_no_longer(exporter: Exporter, metrics: Metrics) -> None:
    await exporter.on_window(window(1, latency_ms={"p95": 5.0}, drift={"amount": {"psi": 0.1}}))
    await exporter.on_window(window(2, latency_ms={"p95": None}))
    assert shown(metrics, "latency_ms.p95") is None
    assert shown(metrics, "drift.amount.psi") is None


async def test_quality_matures_it_is_of_the_newest_window_that_has_it(exporter: Exporter, metrics: Metrics) -> None:
    await exporter.on_window(window(1, quality={"accuracy": None}))
    assert shown(metrics, "quality.accuracy") is None
    await exporter.on_window(window(2, quality={"accuracy": None}))
    await exporter.on_window(window(1, revision=1, quality={"accuracy": 0.9}))
    assert shown(metrics, "quality.accuracy") == 0.9
    await exporter.on_window(window(3, quality={"accuracy": None}))
    assert shown(metrics, "quality.accuracy") == 0.9
    await exporter.on_window(window(2, revision=1, quality={"accuracy": 0.7}))
    await exporter.on_window(window(1, revision=2, quality={"accuracy": 0.95}))
    assert shown(metrics, "quality.accuracy") == 0.7
    await exporter.on_window(window(2, revision=2, quality={"accuracy": None}))
    assert shown(metrics, "quality.accuracy") is None


async def test_a_trend_is_shown_until_the_next_final_window(exporter: Exporter, metrics: Metrics) -> None:
    await exporter.on_window(window(1, revision=3, final=True, ageing={"f1": {"slope_per_day": -0.25, "low": None}}))
    await exporter.on_window(window(9, ageing={}))
    assert shown(metrics, "ageing.f1.slope_per_day") == -0.25
    assert shown(metrics, "ageing.f1.low") is None


async def test_predictions_are_counted_once_whatever_is_repeated(exporter: Exporter, metrics: Metrics) -> None:
    await exporter.on_window(window(1, predictions=10))
    await exporter.on_window(window(1, predictions=10))
    await exporter.on_window(window(1, revision=1, predictions=12))
    await exporter.on_window(window(1, revision=1, predictions=12))
    await exporter.on_window(window(2, revision=3, predictions=99))
    await exporter.on_window({**window(1), "segment": "country=DE"})
    await exporter.on_window({**window(0), "window": "1h/5m"})
    assert counted(metrics) == 12


async def test_past_windows_are_shown_but_not_counted(exporter: Exporter, metrics: Metrics) -> None:
    await exporter.on_past_window(window(1, latency_ms={"p95": 5.0}))
    assert shown(metrics, "latency_ms.p95") == 5.0
    assert counted(metrics) is None


@pytest.mark.parametrize(
    ("sizes", "chosen"),
    [(["1h", "1m"], "1m"), (["1h/5m", "1d"], "1d"), (["1h/5m", "10m/5m"], "10m/5m"), (["7m/2m", "10m/5m"], "10m/5m")],
)
def test_predictions_are_counted_by_a_size_that_tiles_time(sizes: list[str], chosen: str) -> None:
    assert str(counted_window(tuple(parse_window(size) for size in sizes))) == chosen


async def test_hopping_windows_count_each_prediction_once() -> None:
    metrics = Metrics()
    exporter = Exporter(metrics, parse_window("2m/1m"))
    for minute in range(6):
        await exporter.on_window({**window(minute, predictions=20), "window": "2m/1m"})
    assert counted(metrics) == 60


async def test_hosts_show_their_newest_window(exporter: Exporter, metrics: Metrics) -> None:
    def event(minute: int, **readings: dict[str, float | None]) -> dict[str, Any]:
        return {"host": "gpu-1", "window": "1m", "window_start_ms": minute * MINUTE, "metrics": readings}

    def value(metric: str, stat: str) -> float | None:
        labels = {"host": "gpu-1", "window": "1m", "metric": metric, "stat": stat}
        return metrics.registry.get_sample_value("driftline_host_window", labels)

    await exporter.on_host(event(1, load={"mean": 1.0, "max": 2.0}, gone={"mean": 1.0}))
    await exporter.on_host(event(2, load={"mean": 3.0, "max": None}))
    await exporter.on_host(event(1, load={"mean": 9.0, "max": 9.0}))
    assert value("load", "mean") == 3.0
    assert value("load", "max") is None
    assert value("gone", "mean") is None


async def test_alerts_fire_once_and_resolve(exporter: Exporter, metrics: Metrics) -> None:
    def event(alert_id: str, state: str) -> dict[str, str]:
        return {"alert_id": alert_id, "state": state, "rule": "drop", "severity": "warning", "model": "fraud"}

    def firing() -> float | None:
        labels = {"rule": "drop", "severity": "warning", "model": "fraud", "host": ""}
        return metrics.registry.get_sample_value("driftline_alerts_firing", labels)

    for step in (event("a", "firing"), event("a", "firing"), event("b", "firing")):
        await exporter.on_alert(step)
    assert firing() == 2
    await exporter.on_alert(event("a", "resolved"))
    assert firing() == 1
    await exporter.on_alert(event("b", "resolved"))
    assert firing() == 0


async def test_clearing_empties_the_page_and_keeps_the_counts(exporter: Exporter, metrics: Metrics) -> None:
    await exporter.on_window(window(1, latency_ms={"p95": 5.0}))
    alert = {"alert_id": "a", "state": "firing", "rule": "r", "severity": "info", "model": "fraud"}
    await exporter.on_alert(alert)
    exporter.clear()
    assert shown(metrics, "latency_ms.p95") is None
    assert counted(metrics) == 10
    labels = {"rule": "r", "severity": "info", "model": "fraud", "host": ""}
    assert metrics.registry.get_sample_value("driftline_alerts_firing", labels) == 0


async def test_groups_are_limited_and_the_quietest_goes(
    exporter: Exporter, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_export, "MAX_REMEMBERED", 2)
    for segment in ("a=1", "a=2", "a=3"):
        await exporter.on_window({**window(1, latency_ms={"p95": 5.0}), "segment": segment})
    assert shown(metrics, "latency_ms.p95", segment="a=1") is None
    assert shown(metrics, "latency_ms.p95", segment="a=2") == 5.0
    assert shown(metrics, "latency_ms.p95", segment="a=3") == 5.0


def test_series_beyond_the_limit_are_refused_and_counted() -> None:
    registry = CollectorRegistry()
    gauge = BoundedGauge("g", "A gauge.", ["x"], registry, max_series=1)
    gauge.refused = Counter("refused", "Refused.", ["metric"], registry=registry)
    gauge.set(("a",), 1)
    gauge.set(("b",), 1)
    gauge.set(("a",), 2)
    assert registry.get_sample_value("g", {"x": "a"}) == 2
    assert registry.get_sample_value("g", {"x": "b"}) is None
    assert registry.get_sample_value("refused_total", {"metric": "g"}) == 1
    gauge.drop(("a",))
    gauge.set(("b",), 3)
    assert registry.get_sample_value("g", {"x": "b"}) == 3
