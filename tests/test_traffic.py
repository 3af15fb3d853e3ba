"""The rate of the last hour, asked of a real broker."""

import time

from confluent_kafka import Producer

from pipeline.topics import create_topics
from pipeline.traffic import SPAN_S, recent_rate
from tests.conftest import MakeConfig


def test_only_what_came_in_the_last_hour_counts(make_config: MakeConfig) -> None:
    config = make_config()
    create_topics(config)
    assert recent_rate(config, "predictions") is None
    producer = Producer(config.kafka.properties)
    now_ms = time.time_ns() // 1_000_000
    for number in range(300):
        age_ms = 7_200_000 if number < 200 else 60_000
        producer.produce(config.kafka.topic("predictions"), b"{}", partition=number % 2, timestamp=now_ms - age_ms)
    assert producer.flush(20) == 0
    assert recent_rate(config, "predictions") == 100 / SPAN_S
    assert recent_rate(config, "labels") is None


def test_a_broker_that_is_away_says_nothing(make_config: MakeConfig) -> None:
    nowhere = make_config(kafka={"bootstrap_servers": "127.0.0.1:1", "socket.timeout.ms": 100})
    assert recent_rate(nowhere, "predictions") is None
