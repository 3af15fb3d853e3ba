import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Any

import orjson
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from pipeline import subscribe_alerts
from pipeline.core.errors import ConfigError
from pipeline.local_broker import LocalBroker
from pipeline.subscriber import subscribe

NOWHERE = "127.0.0.1:1"


class Alerts:
    """The alerts topic of a test, one partition: the order is the order of writing."""

    def __init__(self, address: str, prefix: str) -> None:
        self.address = address
        self.prefix = prefix
        self.topic = prefix + "alerts"

    def make(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.address})
        admin.create_topics([NewTopic(self.topic, 1, 1)])[self.topic].result(20)

    def write(self, *alerts: dict[str, Any] | bytes, commit: bool = True) -> None:
        producer = Producer({"bootstrap.servers": self.address, "transactional.id": uuid.uuid4().hex})
        producer.init_transactions(20)
        producer.begin_transaction()
        for alert in alerts:
            producer.produce(self.topic, alert if isinstance(alert, bytes) else orjson.dumps(alert))
        assert producer.flush(20) == 0  # in the log, whatever becomes of the transaction
        if commit:
            producer.commit_transaction(20)
        else:
            producer.abort_transaction(20)

    def committed(self, group: str) -> int:
        """How many of the group's records are done with: the committed offset, transaction markers not counted."""
        consumer = Consumer({"bootstrap.servers": self.address, "group.id": group})
        with closing(consumer):
            [partition] = consumer.committed([TopicPartition(self.topic, 0)], 10)
            return max(0, partition.offset)

    def subscribe(self, group: str, **options: Any) -> Generator[dict[str, Any], None, None]:
        return subscribe_alerts(self.address, group=group, topic_prefix=self.prefix, **options)


def alert(number: int, model: str = "fraud") -> dict[str, Any]:
    return {"alert_id": str(number), "state": "firing", "model": model}


@pytest.fixture
def unmade_alerts(broker: LocalBroker, topic_prefix: str) -> Alerts:
    return Alerts(broker.bootstrap_servers, topic_prefix)


@pytest.fixture
def alerts(unmade_alerts: Alerts) -> Alerts:
    unmade_alerts.make()
    return unmade_alerts


def first(events: Iterator[dict[str, Any]], n: int) -> list[str]:
    return [next(events)["alert_id"] for _ in range(n)]


def test_aborted_alerts_are_never_seen(alerts: Alerts) -> None:
    alerts.write(alert(1))
    alerts.write(alert(2), alert(3), commit=False)
    alerts.write(alert(4))
    with closing(alerts.subscribe("on-call")) as events:
        assert first(events, 2) == ["1", "4"]


def test_what_the_body_did_not_finish_comes_again(alerts: Alerts) -> None:
    alerts.write(*map(alert, range(5)))
    seen = []
    for event in alerts.subscribe("on-call"):
        seen.append(event["alert_id"])
        if len(seen) == 3:
            break

    def fails_at_its_second() -> None:
        for event in alerts.subscribe("on-call"):
            seen.append(event["alert_id"])
            if len(seen) == 5:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails_at_its_second()
    with closing(alerts.subscribe("on-call")) as events:
        seen += first(events, 2)
    assert seen == ["0", "1", "2", "2", "3", "3", "4"]


def test_an_alert_is_committed_when_the_next_one_is_asked_for(alerts: Alerts, eventually: Callable[..., Any]) -> None:
    alerts.write(*map(alert, range(3)))
    with closing(alerts.subscribe("on-call")) as events:
        next(events)
        assert alerts.committed("on-call") == 0
        next(events)
        eventually(lambda: alerts.committed("on-call") == 1)
        next(events)
        eventually(lambda: alerts.committed("on-call") == 2)
    assert alerts.committed("on-call") == 2


def test_only_the_model_asked_for_and_the_others_are_passed_for_good(alerts: Alerts) -> None:
    alerts.write(alert(1, "churn"), alert(2), alert(3, "churn"), alert(4), {"alert_id": "5", "host": "gpu-7"})
    with closing(alerts.subscribe("on-call", model="fraud")) as events:
        assert first(events, 2) == ["2", "4"]
    with closing(alerts.subscribe("on-call")) as events:
        assert first(events, 2) == ["4", "5"]


def test_records_that_are_no_objects_are_passed_over(alerts: Alerts, caplog: pytest.LogCaptureFixture) -> None:
    alerts.write(b"no JSON", b"[1]", b"", alert(1))
    with closing(alerts.subscribe("on-call")) as events:
        assert first(events, 1) == ["1"]
    assert caplog.text.count("no JSON object") == 3


def test_it_waits_for_a_topic_that_is_made_later(unmade_alerts: Alerts) -> None:
    with closing(unmade_alerts.subscribe("on-call")) as events:
        seen: list[str] = []
        thread = threading.Thread(target=lambda: seen.extend(first(events, 1)))
        thread.start()
        unmade_alerts.make()
        unmade_alerts.write(alert(1))
        thread.join(30)
        assert seen == ["1"]


def test_it_waits_for_a_kafka_that_is_away_and_stops_on_ctrl_c() -> None:
    script = f"""
from pipeline import subscribe_alerts
events = subscribe_alerts("{NOWHERE}", group="on-call")
print("waiting", flush=True)
try:
    for alert in events:
        raise SystemExit(3)
except KeyboardInterrupt:
    raise SystemExit(7)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == b"waiting\n"
    assert b"waiting for Kafka" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 7
    process.communicate()


def test_members_of_a_group_share_and_leaving_hands_over_at_once(alerts: Alerts) -> None:
    alerts.write(alert(1), alert(2))
    with closing(alerts.subscribe("on-call")) as events:
        assert first(events, 2) == ["1", "2"]
    with closing(alerts.subscribe("on-call")) as events:
        assert first(events, 1) == ["2"]
    with closing(alerts.subscribe("another-group")) as events:
        assert first(events, 1) == ["1"]


def test_any_output_can_be_subscribed_to(alerts: Alerts, make_config: Callable[..., Any]) -> None:
    alerts.write(alert(1), alert(2))
    events = subscribe("alerts", group="mine", config=make_config(), wanted=lambda event: event["alert_id"] == "2")
    with closing(events):
        assert first(events, 1) == ["2"]


def test_wrong_options_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        subscribe_alerts(NOWHERE, group="", config={"isolation.level": "read_uncommitted"})
    assert {fault.place for fault in caught.value.faults} == {"group", "config['isolation.level']"}
    with pytest.raises(ConfigError, match=r"nope\.such"):
        subscribe_alerts(NOWHERE, group="on-call", config={"nope.such": 1})
