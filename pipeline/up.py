"""``driftline up``: everything on this machine, each part a process of its own, ended together and in order."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.config import Config
from pipeline.core.errors import StartupError
from pipeline.local_broker import BrokerOptions, LocalBroker
from pipeline.processes import Stopped, stop_on_signals, tied_command
from pipeline.topics import check_topics, create_topics

_POLL_S = 0.2
_STOP_TIMEOUT_S = 20.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class UpOptions:
    """How ``driftline up`` runs.

    Attributes:
        broker: the local broker's options.
        config_path: the configuration file that the parts read, too; None lets them find ``driftline.toml``.
    """

    broker: BrokerOptions = field(default_factory=BrokerOptions)
    config_path: Path | None = None


def run_broker(options: BrokerOptions, say: Say) -> int:
    """Run a local broker until SIGTERM or SIGINT.

    Args:
        options: how it runs.
        say: called with one line for a person at each step.

    Returns:
        The exit status, 0.

    Raises:
        StartupError: it did not start, or died.
    """
    broker = LocalBroker(options, say)
    with stop_on_signals():
        try:
            with broker:
                say("Ctrl-C stops it; topics and records stay for the next start. Next: driftline topics create")
                while broker.wait(_POLL_S) is None:
                    pass
                raise StartupError(f"Kafka ended by itself; the end of its log:\n{broker.last_lines()}")
        except Stopped:
            say("Kafka is stopped")
            return 0


def run_up(config: Config, options: UpOptions, say: Say) -> int:
    """Run broker, worker and host agent until SIGTERM or SIGINT.

    Args:
        config: the configuration; its broker address gives way to the local broker's.
        options: the broker's options and the configuration file.
        say: called with one line for a person at each step.

    Returns:
        The exit status, 0.

    Raises:
        StartupError: a part did not start or ended by itself; all others are stopped by then.
    """
    with stop_on_signals():
        try:
            with LocalBroker(options.broker, say) as broker:
                local = _with_broker(config, broker.bootstrap_servers)
                report = create_topics(local)
                say(f"topics: {len(report.created)} created, {len(report.existing)} were there")
                faults = check_topics(local)
                if faults:
                    raise StartupError("\n".join(str(fault) for fault in faults))
                _run_parts(local, options, broker, say)
        except Stopped:
            pass  # by now all parts are stopped: children first, the broker last
    say("everything is stopped")
    return 0


def _with_broker(config: Config, bootstrap_servers: str) -> Config:
    kafka = config.kafka.model_copy(update={"bootstrap_servers": bootstrap_servers})
    return config.model_copy(update={"kafka": kafka})


def _run_parts(config: Config, options: UpOptions, broker: LocalBroker, say: Say) -> None:
    """Start worker and host agent and watch them; ends by ``Stopped`` or ``StartupError`` only."""
    parts: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name in ("worker", "host-agent"):
            say(f"starting {name}")
            parts[name] = _start(name, config, options)
        _tell_what_next(config, say)
        while True:
            if not broker.is_running:
                raise StartupError(f"Kafka ended by itself; the end of its log:\n{broker.last_lines()}")
            for name, process in parts.items():
                if process.poll() is not None:
                    raise StartupError(
                        f"{name} ended by itself (exit code {process.returncode}), so everything is stopped; its own"
                        " lines above say why"
                    )
            time.sleep(_POLL_S)
    finally:
        # The last started first: the host agent hands in its readings while the worker still commits.
        for name, process in reversed(parts.items()):
            _stop(name, process, say)


def _start(name: str, config: Config, options: UpOptions) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pipeline.cli", name, "--bootstrap-servers", config.kafka.bootstrap_servers]
    if options.config_path is not None:
        command += ["--config", str(options.config_path)]
    return subprocess.Popen(  # noqa: S603 - our own Python with our own arguments
        # SIGTERM, so that a part whose parent was killed still commits and leaves its group.
        tied_command(command, signal.SIGTERM),
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for this program, which stops its parts in order
    )


def _stop(name: str, process: subprocess.Popen[bytes], say: Say) -> None:
    if process.poll() is not None:
        return
    say(f"stopping {name}")
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        say(f"{name} did not stop within {_STOP_TIMEOUT_S:.0f} s and is killed")
        process.kill()
        process.wait()


def _tell_what_next(config: Config, say: Say) -> None:
    at = f"--bootstrap-servers {config.kafka.bootstrap_servers}"
    say(f"publish to    {config.kafka.bootstrap_servers}")
    if config.worker.web_port:
        say(f"health        http://{config.worker.web_host}:{config.worker.web_port}/health")
        say(f"Prometheus    http://{config.worker.web_host}:{config.worker.web_port}/metrics")
    say(f"in another terminal: driftline alerts --follow {at}")
    say(f"                     driftline metrics {at}")
    say("Ctrl-C stops everything; topics and records stay for the next start")
