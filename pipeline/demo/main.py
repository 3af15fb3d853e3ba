"""``driftline demo``: a real Kafka, a real model, real traffic, a real shift; watched to the retrain trigger."""

import contextlib
import shutil
import socket
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from pipeline.config import Config
from pipeline.core.errors import ConfigError, ConfigFault, StartupError
from pipeline.demo.check import check_events
from pipeline.demo.children import Child, Children
from pipeline.demo.feed import Feed
from pipeline.demo.screen import make_screen
from pipeline.demo.settings import (
    DEFAULT_DURATION_S,
    FILE_NAME,
    MIN_DURATION_S,
    RATE_PER_S,
    Plan,
    make_plan,
    write_config,
)
from pipeline.demo.state import State
from pipeline.demo.summary import print_summary
from pipeline.demo.verdict import judge
from pipeline.local_broker import BrokerOptions, LocalBroker
from pipeline.processes import Stopped, stop_on_signals
from pipeline.topics import create_topics

DEFAULT_DATA_DIR = Path(".driftline/demo")

_START_TIMEOUT_S = 300.0
_POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class Setting:
    """Where this run takes place.

    Attributes:
        console: where to show it.
        directory: this run's own folder.
        config: what all its processes read.
    """

    console: Console
    directory: Path
    config: Config

    @property
    def config_arguments(self) -> list[str]:
        """The command-line option that hands the configuration to a child."""
        return ["--config", str(self.directory / FILE_NAME)]


def run_demo(
    duration_s: float | None = None,
    *,
    port: int = 0,
    data_dir: Path = DEFAULT_DATA_DIR,
    console: Console | None = None,
) -> int:
    """Run the demo from the broker's start to the summary.

    Args:
        duration_s: seconds for everything after setup; None takes 90.
        port: Kafka's port; 0 takes a free one.
        data_dir: each run gets a folder of its own in here; its logs stay.
        console: where to show it; None takes stdout.

    Returns:
        0 if the drift alert, the accuracy alert and the retrain trigger came, none of them before the shift, and
        every event on the topics was valid; 1 otherwise.

    Raises:
        ConfigError: the duration is too short.
        StartupError: a part did not start or died; the message carries the end of its log.
    """
    duration_s = DEFAULT_DURATION_S if duration_s is None else duration_s
    if duration_s < MIN_DURATION_S:
        problem = f"{duration_s:.0f} s are too few to learn what is normal and then see it change"
        raise ConfigError([ConfigFault("--duration", problem, f"give {MIN_DURATION_S:.0f}s or more")])
    console = console or Console()
    directory = data_dir.absolute() / time.strftime("%Y%m%d-%H%M%S")
    directory.mkdir(parents=True)
    console.print(f"Everything of this run lies in {directory}", highlight=False, soft_wrap=True)
    kafka_directory = directory / "kafka"
    options = BrokerOptions(data_dir=kafka_directory, port=port, heap_mb=384)

    def tell(line: str) -> None:
        console.print(f"[dim]setup[/] {line}", highlight=False)

    try:
        with stop_on_signals(), LocalBroker(options, tell) as broker:
            config = write_config(directory, broker.bootstrap_servers, _free_port())
            create_topics(config)
            return _run(Setting(console, directory, config), make_plan(duration_s))
    except Stopped:
        console.print(f"Stopped before the end; everything is shut down. Logs: {directory / 'logs'}", soft_wrap=True)
        return 1
    finally:
        # The logs are worth keeping, the broker's segments are not.
        shutil.rmtree(kafka_directory, ignore_errors=True)


def _run(setting: Setting, plan: Plan) -> int:
    state = State()
    logs = setting.directory / "logs"
    with Children(logs) as children:
        url = _start_services(setting, children)
        client = children.start(
            "client",
            [
                *("-m", "pipeline.demo.client", *setting.config_arguments, "--url", url),
                *("--rate", str(RATE_PER_S), "--shift-after", str(plan.shift_after_s)),
            ],
            speaks=True,
        )
        with Feed(setting.config, state) as feed:
            counts = _watch(setting.console, state, feed, children, client, plan)
    # Everything is stopped but Kafka: what lies on the topics now is all there is.
    findings = check_events(setting.config)
    verdict = judge(state)
    print_summary(setting.console, state, counts, verdict, findings)
    setting.console.print(f"Logs: {logs}", highlight=False, soft_wrap=True)
    return 0 if verdict.is_kept and findings.is_clean else 1


def _start_services(setting: Setting, children: Children) -> str:
    """Start worker, host agent and server; returns where to POST images once all of them answer."""
    setting.console.print("[dim]setup[/] starting the worker (the first start ever compiles its kernels: a minute)")
    worker = children.start("worker", ["-m", "pipeline.cli", "worker", *setting.config_arguments])
    children.start("host-agent", ["-m", "pipeline.cli", "host-agent", *setting.config_arguments])
    setting.console.print("[dim]setup[/] training the model on scikit-learn's scanned digits")
    server = children.start("server", ["-m", "pipeline.demo.server", *setting.config_arguments], speaks=True)
    said = server.wait_for_line(_START_TIMEOUT_S)
    base = f"http://127.0.0.1:{said['port']}"
    _wait_for(f"{base}/health", server)
    setting.console.print(f"[dim]setup[/] serving at {base}/predict, accuracy {said['test_accuracy']:.1%} on held-out")
    _wait_for(f"http://127.0.0.1:{setting.config.worker.web_port}/health", worker)
    setting.console.print("[dim]setup[/] the worker is ready")
    return f"{base}/predict"


def _watch(console: Console, state: State, feed: Feed, children: Children, client: Child, plan: Plan) -> dict[str, Any]:
    """Show the run until its time is over; returns what the client counted."""
    counts: dict[str, Any] = {}
    ends_s = time.monotonic() + plan.traffic_s
    with make_screen(console) as screen:
        while (left_s := ends_s - time.monotonic()) > 0:
            feed.poll(min(_POLL_S, left_s))
            children.check()
            while not client.said.empty():
                counts = client.said.get()
                state.shifted_at_ms = counts["shifted_at_ms"]
            screen.update(state, left_s)
    return counts


def _wait_for(url: str, child: Child) -> None:
    """Wait until an endpoint answers 200."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        child.check()
        with (
            contextlib.suppress(OSError),  # refused, reset, timed out, or an answer other than 200: not ready yet
            urllib.request.urlopen(url, timeout=2),  # noqa: S310 - our own child on this machine
        ):
            return
        time.sleep(0.1)
    raise StartupError(f"{child.name} does not answer at {url} after {_START_TIMEOUT_S:.0f} s; see {child.log}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
