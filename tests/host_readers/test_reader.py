import logging

import pytest

from pipeline.host_readers.reader import Notices, name_part


def test_a_fault_is_said_once_until_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    notices = Notices()
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            notices.say("cpu.frequency_hz", "no clock")
        notices.mended("cpu.frequency_hz")
        notices.mended("cpu.frequency_hz")
        notices.say("cpu.frequency_hz", "no clock")
    assert [record.message for record in caplog.records] == [
        "no cpu.frequency_hz: no clock",
        "cpu.frequency_hz is back",
        "no cpu.frequency_hz: no clock",
    ]


def test_any_error_costs_only_its_reading(caplog: pytest.LogCaptureFixture) -> None:
    notices = Notices()

    def broken() -> int:
        raise KeyError("MemAvailable")

    assert notices.attempt("memory", broken) is None
    assert notices.attempt("memory", broken) is None
    assert [record.message for record in caplog.records] == ["no memory: KeyError: 'MemAvailable'"]
    assert notices.attempt("memory", lambda: 7) == 7


def test_none_is_said_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    assert Notices().attempt("fan", lambda: None, "nobody built one in") is None
    assert caplog.messages == ["no fan: nobody built one in"]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("python3.11", "python3.11"),
        ("tritonserver (2)", "tritonserver_2_"),
        ("", "_"),
        ("é" * 99, "_"),
        ("a" * 99, "a" * 64),
    ],
)
def test_names_become_parts_of_metric_names(text: str, part: str) -> None:
    assert name_part(text) == part
