import json
import os
import signal
import socket
import subprocess
import sys
import threading
import uuid
import zipfile
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from pipeline import kafka_jars, local_broker
from pipeline.broker_data import LAYOUT, MARKER, open_data_dir
from pipeline.core.errors import StartupError
from pipeline.kafka_jars import kafka_classpath
from pipeline.local_broker import BrokerOptions, LocalBroker
from tests.conftest import Eventually

PARENT = """
import sys, time
from pathlib import Path
from pipeline.local_broker import BrokerOptions, LocalBroker
broker = LocalBroker(BrokerOptions(data_dir=Path(sys.argv[1]), port=0))
broker.start()
print(broker.pid, flush=True)
time.sleep(600)
"""


def write(broker: LocalBroker, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "acks": "all"})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(20) == 0


def read(broker: LocalBroker, topic: str, count: int) -> list[bytes | None]:
    consumer = Consumer(
        {"bootstrap.servers": broker.bootstrap_servers, "group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    try:
        return [message.value() for message in consumer.consume(count, timeout=20)]
    finally:
        consumer.close()


def test_records_outlive_kills_of_the_broker_and_of_its_parent(tmp_path: Path, eventually: Eventually) -> None:
    broker = LocalBroker(BrokerOptions(data_dir=tmp_path / "data", port=0))
    try:
        # Started from a thread that ends at once: the broker's life must not hang on it.
        starter = threading.Thread(target=broker.start)
        starter.start()
        starter.join()
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        for answer in admin.create_topics([NewTopic("kept", 1, 1)]).values():
            answer.result(20)
        write(broker, "kept", [b"one", b"two"])

        os.kill(broker.pid, signal.SIGKILL)
        assert broker.wait(20) == -signal.SIGKILL
        assert not broker.is_running
        broker.start()
        assert read(broker, "kept", 2) == [b"one", b"two"]
        write(broker, "kept", [b"three"])
        broker.stop()

        # Now as the child of a process that is killed: it must go too, and leave nothing in the way.
        parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path / "data")], stdout=subprocess.PIPE)
        assert parent.stdout is not None
        with parent.stdout as said:
            pid = int(said.readline())
            assert psutil.pid_exists(pid)
            parent.kill()
            parent.wait(20)
        eventually(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
        broker.start()
        assert read(broker, "kept", 3)[-1] == b"three"
    finally:
        broker.stop()
    broker.stop()  # a second stop changes nothing
    with pytest.raises(StartupError, match="not started"):
        _ = broker.pid


def test_it_listens_on_this_machine_alone(broker: LocalBroker) -> None:
    listening = [
        connection.laddr.ip.removeprefix("::ffff:")
        for connection in psutil.Process(broker.pid).net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening == ["127.0.0.1", "127.0.0.1"]


def test_a_misspelt_topic_does_not_appear(broker: LocalBroker) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "message.timeout.ms": 2_000})
    problems: list[object] = []
    producer.produce("predicitons", b"", on_delivery=lambda problem, _message: problems.append(problem))
    producer.flush(10)
    assert problems
    assert problems[0] is not None


def test_a_second_broker_on_the_same_data_is_refused(broker: LocalBroker) -> None:
    with pytest.raises(StartupError, match=rf"process {os.getpid()} already uses"):
        LocalBroker(BrokerOptions(data_dir=broker.options.data_dir, port=0)).start()
    assert broker.is_running


def test_a_taken_port_is_told_before_anything_is_touched(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartupError, match=rf"port {port} .*--port"):
            LocalBroker(BrokerOptions(data_dir=tmp_path / "data", port=port)).start()
    assert not (tmp_path / "data").exists()


def test_a_foreign_directory_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "meta.properties").write_text("cluster.id=other", encoding="utf-8")
    with pytest.raises(StartupError, match=r"not Driftline's.*--data-dir"):
        open_data_dir(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["meta.properties"]


@pytest.mark.parametrize(
    ("marker", "said"),
    [
        ({"layout": LAYOUT + 1, "kafka": "4.1.1", "cluster_id": "x"}, "has layout 2"),
        ({"layout": LAYOUT, "kafka": "3.9.0", "cluster_id": "x"}, "was made by Kafka 3.9.0"),
        ({"layout": LAYOUT, "kafka": "4.99.0", "cluster_id": "x"}, "was made by Kafka 4.99.0"),
        ({"layout": LAYOUT, "kafka": "4.1.1"}, "damaged"),
        ("{", "damaged"),
    ],
)
def test_another_layout_or_version_is_refused(tmp_path: Path, marker: object, said: str) -> None:
    text = marker if isinstance(marker, str) else json.dumps(marker)
    (tmp_path / MARKER).write_text(text, encoding="utf-8")
    with pytest.raises(StartupError, match=said):
        open_data_dir(tmp_path)
    assert (tmp_path / MARKER).read_text(encoding="utf-8") == text


def test_an_older_minor_version_is_taken(tmp_path: Path) -> None:
    (tmp_path / MARKER).write_text('{"layout": 1, "kafka": "4.0.2", "cluster_id": "x"}', encoding="utf-8")
    data = open_data_dir(tmp_path)
    assert data.cluster_id == "x"
    data.release()


def test_a_file_or_an_unwritable_place_is_no_data_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StartupError, match="--data-dir"):
            open_data_dir(path)


def test_a_dead_holders_lock_and_half_a_start_are_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "broker.lock").write_text("1", encoding="utf-8")
    (tmp_path / f"{MARKER}.new").write_text("{", encoding="utf-8")
    data = open_data_dir(tmp_path)
    assert (tmp_path / "broker.lock").read_text(encoding="utf-8") == str(os.getpid())
    assert not data.is_formatted
    data.release()
    again = open_data_dir(tmp_path)
    assert again.cluster_id == data.cluster_id
    again.release()


def test_a_heap_too_small_is_told(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="give 128 or more"):
        LocalBroker(BrokerOptions(data_dir=tmp_path / "data", heap_mb=64)).start()


def test_a_death_while_starting_shows_the_end_of_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_broker, "MIN_HEAP_MB", 1)
    broker = LocalBroker(BrokerOptions(data_dir=tmp_path / "data", port=0, heap_mb=24))
    with pytest.raises(StartupError, match=r"(?s)ended while starting.*broker\.log.*OutOfMemoryError"):
        broker.start()
    open_data_dir(tmp_path / "data").release()  # the failed start let go of it


def test_no_cache_and_no_network_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tmp_path / "jgo.conf"
    settings.write_text("[repositories]\ncentral = http://127.0.0.1:1\n", encoding="utf-8")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(settings))
    monkeypatch.setenv("M2_REPO", str(tmp_path / "m2"))
    said: list[str] = []
    with pytest.raises(StartupError, match=r"cannot be fetched.*needs a network"):
        kafka_classpath(said.append, tmp_path / "cache")
    assert "44 MB" in said[0]
    assert not list((tmp_path / "cache").glob("*.staging"))


def make_jar(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as jar:
        jar.writestr("A.class", b"0" * 100)
    return path


def test_jars_are_fetched_once_and_again_only_when_one_is_not_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetches: list[Path] = []

    def resolve(repository: Path) -> list[Path]:
        fetches.append(repository)
        return [make_jar(repository / "b.jar"), make_jar(repository / "a.jar")]

    monkeypatch.setattr(kafka_jars, "_resolve", resolve)
    cache = tmp_path / "cache"
    jars = kafka_classpath(print, cache)
    assert [jar.name for jar in jars] == ["b.jar", "a.jar"]  # in class path order
    assert kafka_classpath(print, cache) == jars
    assert len(fetches) == 1
    jars[1].write_bytes(jars[1].read_bytes()[:-1])
    assert kafka_classpath(print, cache) == jars
    assert len(fetches) == 2
    jars[0].unlink()
    assert all(jar.exists() for jar in kafka_classpath(print, cache))
    assert len(fetches) == 3


def test_a_damaged_download_never_enters_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(repository: Path) -> list[Path]:
        jar = make_jar(repository / "cut.jar")
        jar.write_bytes(jar.read_bytes()[:50])
        return [jar]

    monkeypatch.setattr(kafka_jars, "_resolve", resolve)
    with pytest.raises(StartupError, match=r"cut\.jar is damaged"):
        kafka_classpath(print, tmp_path)
    assert not list(tmp_path.glob("**/*.jar"))
