"""A call into librdkafka that never returns must not take the worker with it."""

import threading
from typing import Any

import pytest

from pipeline.config import Config
from pipeline.core.errors import RetriableError
from pipeline.engine import transaction
from pipeline.engine.outside import REAL
from pipeline.engine.transaction import Transactions


def test_a_call_that_hangs_is_left_behind_with_its_producer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transaction, "_HUNG_S", 0.05)
    config = Config(kafka={"bootstrap_servers": "127.0.0.1:1"})
    transactions = Transactions(config, "toy", lambda _seconds: False, REAL)
    released = threading.Event()

    class Hanging:
        def init_transactions(self, _timeout_s: float) -> Any:
            released.wait(30)

    monkeypatch.setattr(transactions, "_producer", Hanging())
    with pytest.raises(RetriableError, match="starting a new producer"):
        transactions.start()
    with pytest.raises(RetriableError, match="cannot abort"):
        transactions.abort()
    transactions.close()  # asks nothing of the producer that hangs
    released.set()
