"""Logging: nothing of ours is left out, and a Kafka client cannot flood the log."""

import logging

from pipeline.logs import FloodGate


def record(name: str, message: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, __file__, 1, message, args, None)


def test_a_kafka_clients_lines_pass_a_few_times_and_the_rest_is_told_at_the_end_of_the_period() -> None:
    now_s = 0.0
    gate = FloodGate(lines=2, period_s=30, clock=lambda: now_s)
    passed = [gate.filter(record("aiokafka.client", "cannot reach node %s", number)) for number in range(10)]
    assert passed == [True, True] + [False] * 8
    assert gate.filter(record("aiokafka.client", "another kind"))
    now_s = 31
    last = record("aiokafka.client", "cannot reach node %s", 7)
    assert gate.filter(last)
    assert last.getMessage() == "cannot reach node 7 (and 8 lines like this)"


def test_our_own_lines_always_pass() -> None:
    gate = FloodGate(lines=1)
    assert all(gate.filter(record("pipeline.reactions.notify", "%s %s: %s", "firing", "a", "b")) for _ in range(100))
