from typing import Any

import pytest

from pipeline.host_readers.cpu import CpuReader
from pipeline.host_readers.reader import Notices


def test_the_recorded_machine(source: Any, notices: Notices, caplog: pytest.LogCaptureFixture) -> None:
    reader = CpuReader(source, notices)
    assert reader.read(0) == {
        "cpu.load_1m": 0.27587890625,
        "cpu.load_5m": 0.3447265625,
        "cpu.load_15m": 0.18017578125,
        "cpu.frequency_hz": pytest.approx(2_596_134_000),
    }
    source.later()
    # 0.05 busy seconds of 9.92 over two processors.
    assert reader.read(5_000)["cpu.usage_ratio"] == pytest.approx(0.05 / 9.92)
    reader.read(10_000)
    assert caplog.messages == ["no cpu.temperature_celsius: this host has no sensor for it"]


def test_guests_are_not_counted_twice(source: Any, notices: Notices) -> None:
    reader = CpuReader(source, notices)
    reader.read(0)
    times = source.now["cpu_times"]
    # 2 s for a guest (inside user), 6 s idle, 2 s waiting for a disk: 20 % busy.
    for state, grown in {"user": 2, "guest": 2, "idle": 6, "iowait": 2}.items():
        times[state] += grown
    assert reader.read(5_000)["cpu.usage_ratio"] == pytest.approx(0.2)


def test_counters_that_fall_give_no_use(source: Any, notices: Notices) -> None:
    reader = CpuReader(source, notices)
    reader.read(0)
    source.now["cpu_times"]["idle"] -= 1
    source.now["cpu_times"]["user"] += 9
    assert "cpu.usage_ratio" not in reader.read(5_000)


def test_the_hottest_core_of_the_most_exact_driver(source: Any, notices: Notices) -> None:
    def sensor(celsius: float) -> dict[str, Any]:
        return {"label": "", "current": celsius, "high": 100.0, "critical": 100.0}

    source.now["sensors_temperatures"] = {
        "nvme": [sensor(80)],
        "acpitz": [sensor(90)],
        "coretemp": [sensor(51), sensor(57)],
    }
    assert CpuReader(source, notices).read(0)["cpu.temperature_celsius"] == 57


@pytest.mark.parametrize("answer", [None, {"current": 0.0, "min": 0.0, "max": 0.0}, NotImplementedError("no cpufreq")])
def test_an_unknown_clock_is_absent_alone(source: Any, notices: Notices, answer: Any) -> None:
    source.now["cpu_freq"] = answer
    metrics = CpuReader(source, notices).read(0)
    assert "cpu.frequency_hz" not in metrics
    assert "cpu.load_1m" in metrics


def test_a_platform_without_the_functions(notices: Notices, caplog: pytest.LogCaptureFixture) -> None:
    class Bare:
        pass

    reader = CpuReader(Bare(), notices)  # type: ignore[arg-type] # what some platforms' psutil is
    assert reader.read(0) == {}
    assert reader.read(1) == {}
    assert len(caplog.messages) == 4
