import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pipeline import Publisher
from pipeline.core.errors import ConfigError

NOWHERE = "127.0.0.1:1"
FRAUD: dict[str, Any] = {"model": "fraud", "model_version": "3", "task": "binary"}


@contextmanager
def away(**options: Any) -> Iterator[Publisher]:
    publisher = Publisher(NOWHERE, **options)
    try:
        yield publisher
    finally:
        publisher.close(0)


def test_overflow_is_dropped_and_counted() -> None:
    with away(buffer_rows=10) as publisher:
        for _ in range(25):
            assert publisher.log_prediction(**FRAUD, prediction=1)
        publisher.log_predictions(**FRAUD, prediction=[1] * 7)
        assert publisher.stats["queued"] == 10
        assert publisher.stats["dropped"] == 22
    assert publisher.stats["queued"] == 0
    assert publisher.stats["dropped"] == 32


def test_blocking_waits_for_its_bound_and_no_longer() -> None:
    with away(buffer_rows=10, on_overflow="block", block_timeout_s=0.2) as publisher:
        for _ in range(10):
            publisher.log_prediction(**FRAUD, prediction=1)
        started = time.monotonic()
        publisher.log_predictions(**FRAUD, prediction=[1] * 20)
        assert 0.2 <= time.monotonic() - started < 2
        assert publisher.stats["dropped"] == 20


def test_nothing_waits_for_a_kafka_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), away() as publisher:
        started = time.monotonic()
        for _ in range(1_000):
            publisher.log_prediction(**FRAUD, prediction=1)
        assert time.monotonic() - started < 1
        assert not publisher.flush(0.3)
        assert not publisher.close(0.3)
        assert time.monotonic() - started < 5
    assert publisher.stats["dropped"] == 1_000
    assert publisher.stats["last_error"]
    assert "1000 rows dropped" in caplog.text


def test_a_closed_publisher_counts_what_it_is_still_given() -> None:
    with away() as publisher:
        publisher.close(0)
        assert publisher.close(0)
        assert publisher.log_prediction(**FRAUD, prediction=1)
        assert publisher.stats["dropped"] == 1


def test_wrong_options_are_all_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        Publisher(NOWHERE, config={"acks": "1"}, buffer_rows=0, on_overflow="explode", linger_ms=-1)  # type: ignore[arg-type]
    places = {fault.place for fault in caught.value.faults}
    assert places == {"config['acks']", "buffer_rows", "on_overflow", "linger_ms"}
    with pytest.raises(ConfigError, match=r"nope\.such"):
        Publisher(NOWHERE, config={"nope.such": "1"})


def test_secrets_are_not_shown() -> None:
    properties = {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "u",
        "sasl.password": "hunter2",
    }
    with away(config=properties) as publisher:
        publisher.log_prediction(**FRAUD, prediction=1)
        assert not publisher.flush(1.0)
        assert "hunter2" not in repr(publisher) + repr(publisher._settings) + repr(publisher.stats)
    with pytest.raises(ConfigError) as caught:
        Publisher(NOWHERE, config={**properties, "sasl.mechanism": "NONSENSE"})
    assert "hunter2" not in str(caught.value)
