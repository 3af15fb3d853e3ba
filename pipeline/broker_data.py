"""A local broker's data directory: whose it is, what made it, and the files Kafka is started with.

```
data_dir/
  driftline-broker.json   says that the directory is ours, and which Kafka formatted it
  broker.lock             held while a broker runs; the system lets go of it however the holder dies
  server.properties       written anew at every start
  log4j2.properties
  broker.log              what the last run said; broker.log.1 is the run before
  kafka/                  Kafka's own files
```
"""

import base64
import fcntl
import json
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pipeline.core.errors import StartupError
from pipeline.kafka_jars import KAFKA_VERSION

LAYOUT = 1
MARKER = "driftline-broker.json"
LOCK = "broker.lock"
NODE_ID = 1

_LOG4J = """\
rootLogger.level = WARN
rootLogger.appenderRef.out.ref = OUT
appender.out.type = Console
appender.out.name = OUT
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %c{1}: %m%n
"""


@dataclass(frozen=True, slots=True)
class DataDir:
    """A checked data directory, locked for this process.

    Attributes:
        path: the directory.
        cluster_id: the id its Kafka was, or is to be, formatted with.
        lock: the open lock file; closing it lets go.
    """

    path: Path
    cluster_id: str
    lock: IO[str]

    @property
    def log_file(self) -> Path:
        """What the broker says: standard output and errors of its process."""
        return self.path / "broker.log"

    @property
    def server_properties(self) -> Path:
        """Kafka's configuration file."""
        return self.path / "server.properties"

    @property
    def log4j_properties(self) -> Path:
        """The configuration of Kafka's logging."""
        return self.path / "log4j2.properties"

    @property
    def kafka(self) -> Path:
        """The directory with Kafka's own files."""
        return self.path / "kafka"

    @property
    def is_formatted(self) -> bool:
        """Whether Kafka's files are there; formatting writes this one last, so a killed formatting is done again."""
        return (self.kafka / "meta.properties").exists()

    def write_files(self, broker_port: int, controller_port: int, retention_hours: int, partitions: int) -> None:
        """Write the files that Kafka reads at its start, and put the last run's log aside."""
        settings = server_settings(self.kafka, broker_port, controller_port, retention_hours, partitions)
        text = "".join(f"{name}={value}\n" for name, value in settings.items())
        self.server_properties.write_text(text, encoding="utf-8")
        self.log4j_properties.write_text(_LOG4J, encoding="utf-8")
        if self.log_file.exists():
            self.log_file.replace(self.log_file.with_name("broker.log.1"))

    def release(self) -> None:
        """Let another broker have the directory."""
        self.lock.close()


def server_settings(
    kafka_dir: Path, broker_port: int, controller_port: int, retention_hours: int, partitions: int
) -> dict[str, str]:
    """Kafka's configuration for one node that is broker and controller at once.

    Args:
        kafka_dir: the directory for Kafka's own files.
        broker_port: where clients connect.
        controller_port: where the node talks to itself.
        retention_hours: how long topics keep records that say nothing of their own about it.
        partitions: the partition count of topics created without one.

    Returns:
        Property name to value.
    """
    listeners = f"BROKER://127.0.0.1:{broker_port},CONTROLLER://127.0.0.1:{controller_port}"
    return {
        "process.roles": "broker,controller",
        "node.id": str(NODE_ID),
        "controller.quorum.voters": f"{NODE_ID}@127.0.0.1:{controller_port}",
        "listeners": listeners,
        "advertised.listeners": listeners,
        "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "BROKER",
        "controller.listener.names": "CONTROLLER",
        # A Java properties file takes a backslash as an escape.
        "log.dirs": str(kafka_dir).replace("\\", "\\\\"),
        "auto.create.topics.enable": "false",  # a misspelt topic must fail, not appear
        "num.partitions": str(partitions),
        "log.retention.hours": str(retention_hours),
        # One node: nothing to replicate to. Few internal partitions: each costs files and start time.
        "default.replication.factor": "1",
        "min.insync.replicas": "1",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "share.coordinator.state.topic.num.partitions": "1",
        # Only what Driftline uses: classic groups (librdkafka, aiokafka) and their successor.
        "group.coordinator.rebalance.protocols": "classic,consumer",
        "group.initial.rebalance.delay.ms": "0",  # the first worker need not wait for others
        "group.min.session.timeout.ms": "1000",
        # A killed worker's open transaction hides later output until it is aborted: look every second, not every ten.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
        # After a kill -9 the node must outwait its own old session before it may come back (measured: 12 s with the
        # default of 9 s, 4 s with this).
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        # Small files and buffers: the cleaner alone takes 128 MB of heap by default.
        "log.segment.bytes": str(128 << 20),
        "log.index.size.max.bytes": str(1 << 20),
        "log.cleaner.dedupe.buffer.size": str(16 << 20),
        "num.network.threads": "2",
        "num.io.threads": "4",
        "background.threads": "2",
    }


def open_data_dir(path: Path) -> DataDir:
    """Check, create where it does not exist, and lock a data directory. Nothing that is not ours is touched.

    Args:
        path: the directory.

    Returns:
        The locked directory.

    Raises:
        StartupError: it belongs to something else, to another layout or a newer Kafka, it is in use, or it cannot be
            written.
    """
    path = path.expanduser().absolute()
    try:
        _refuse_foreign(path)
        path.mkdir(parents=True, exist_ok=True)
        lock = _lock(path)
        try:
            return DataDir(path, _cluster_id(path), lock)
        except BaseException:
            lock.close()
            raise
    except OSError as error:
        raise StartupError(f"cannot use the data directory {path}: {error}; give another with --data-dir") from error


def _refuse_foreign(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise StartupError(f"the data directory {path} is not a directory; give another with --data-dir")
    if path.is_dir() and not (path / MARKER).exists():
        # A first start that was killed before it wrote the marker leaves no more than these.
        others = {entry.name for entry in path.iterdir()} - {LOCK, f"{MARKER}.new"}
        if others:
            raise StartupError(
                f"the data directory {path} holds something that is not Driftline's ({min(others)}, …) and is left"
                " as it is; give an empty or a new directory with --data-dir"
            )


def _lock(path: Path) -> IO[str]:
    lock = (path / LOCK).open("a+", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise StartupError(
            f"a broker started by process {holder} already uses the data directory {path}; stop it, use it, or give"
            " another with --data-dir"
        ) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def _cluster_id(path: Path) -> str:
    """Read the marker, or write it into a new directory."""
    marker = path / MARKER
    if not marker.exists():
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode("ascii").rstrip("=")
        fresh = marker.with_name(f"{MARKER}.new")
        fresh.write_text(
            json.dumps({"layout": LAYOUT, "kafka": KAFKA_VERSION, "cluster_id": cluster_id}), encoding="utf-8"
        )
        fresh.replace(marker)
        return cluster_id
    try:
        found = json.loads(marker.read_text(encoding="utf-8"))
        layout, kafka, cluster_id = int(found["layout"]), str(found["kafka"]), str(found["cluster_id"])
        made_by, ours = _minor(kafka), _minor(KAFKA_VERSION)
    except (ValueError, KeyError, TypeError) as error:
        raise StartupError(f"{marker} is damaged ({error!r}); give another directory with --data-dir") from error
    mend = "give another with --data-dir, or remove this one yourself if its records may go"
    if layout != LAYOUT:
        raise StartupError(f"the data directory {path} has layout {layout}, this version reads {LAYOUT}; {mend}")
    if made_by[0] != ours[0] or made_by > ours:
        raise StartupError(f"the data directory {path} was made by Kafka {kafka}, this is {KAFKA_VERSION}; {mend}")
    return cluster_id


def _minor(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)
