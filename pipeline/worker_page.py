"""The worker's web endpoint: ``/health`` for orchestrators and people, ``/metrics`` for Prometheus."""

import dataclasses
import errno
import logging
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import orjson
from aiohttp import web
from mode import Service
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pipeline.config import WorkerConfig
from pipeline.core.errors import StartupError
from pipeline.engine.status import RunnerStatus
from pipeline.logs import SERVICE_LOGGER

logger = logging.getLogger(__name__)

Statuses: TypeAlias = Callable[[], Iterable[RunnerStatus]]


class ProcessorCollector(Collector):
    """The processors' own metrics, read from their latest snapshots when the page is asked for.

    Args:
        statuses: gives the latest snapshots.
    """

    def __init__(self, statuses: Statuses) -> None:
        self._statuses = statuses

    def collect(self) -> Iterator[Metric]:
        """Read the snapshots.

        Yields:
            Each metric with its meaning and values.
        """
        lag = GaugeMetricFamily(
            "driftline_processor_lag",
            "Records between what is processed and the end, by topic and partition.",
            labels=["processor", "partition"],
        )
        last_commit = GaugeMetricFamily(
            "driftline_processor_last_commit_timestamp_seconds",
            "When the processor last committed, Unix time; absent before its first commit.",
            labels=["processor"],
        )
        restored = GaugeMetricFamily(
            "driftline_processor_restored_ratio",
            "How much of the state is restored: below 1 while a restore is under way.",
            labels=["processor"],
        )
        counters = {
            name: CounterMetricFamily(f"driftline_processor_{name}", meaning, labels=["processor"])
            for name, meaning in _COUNTERS.items()
        }
        for status in self._statuses():
            for place, behind in status.lag.items():
                lag.add_metric([status.processor, place], behind)
            if status.last_commit_ms is not None:
                last_commit.add_metric([status.processor], status.last_commit_ms / 1000)
            for name, counter in counters.items():
                counter.add_metric([status.processor], _count(status, name))
            restored.add_metric([status.processor], status.restore.share if status.restore else 1.0)
        yield lag
        yield restored
        yield last_commit
        yield from counters.values()


_COUNTERS = {
    "commits": "Committed transactions.",
    "dead_letters": "Rows committed to dead-letters.",
    "outputs": "Records committed to output topics, dead letters included.",
    "records": "Input records processed.",
    "restored_records": "Changelog records read back.",
    "restores": "Times the state was dropped to be read back: assignments and aborted transactions.",
}


def _count(status: RunnerStatus, name: str) -> int:
    if name == "restores":
        return status.counters.rebalances + status.counters.aborts
    return int(getattr(status.counters, name))


class Page(Service):
    """Serves the endpoint.

    Args:
        config: where to serve, and the worker's name and roles.
        registry: the metrics; the processors' are added.
        statuses: gives the processors' latest snapshots.
        reactions: gives what the reaction plane is doing; None where the worker has no such role.
        complaints: gives what else is not as it should be.
    """

    logger = SERVICE_LOGGER

    def __init__(
        self,
        config: WorkerConfig,
        registry: CollectorRegistry,
        statuses: Statuses,
        reactions: Callable[[], dict[str, Any]] | None,
        complaints: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._config = config
        self._registry = registry
        self._statuses = statuses
        self._reactions = reactions
        self._complaints = complaints
        self._socket: socket.socket | None = None
        self._runner: web.AppRunner | None = None
        registry.register(ProcessorCollector(statuses))
        super().__init__()

    def bind(self) -> str:
        """Take the port; doing it before the start makes a taken one known at once.

        Returns:
            The endpoint's URL, with the port that was free where the configured one is 0.

        Raises:
            StartupError: the port or the address cannot be had.
        """
        host, port = self._config.web_host, self._config.web_port
        if self._socket is None:
            try:
                self._socket = _listening(host, port)
            except OSError as error:
                taken = error.errno == errno.EADDRINUSE
                problem = "is taken" if taken else f"cannot be had ({error.strerror or error})"
                raise StartupError(
                    f"the worker's web port {host}:{port} {problem}: set DRIFTLINE_WORKER__WEB_PORT to another one,"
                    " or to 0 for any that is free"
                ) from error
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{self._socket.getsockname()[1]}"

    async def on_start(self) -> None:
        """Serve."""
        url = self.bind()
        app = web.Application()
        app.router.add_get("/health", self._health)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        assert self._socket is not None  # noqa: S101 - bind() has set it
        await web.SockSite(self._runner, self._socket).start()
        logger.info("health and metrics at %s/health and %s/metrics", url, url)

    async def on_stop(self) -> None:
        """Stop serving."""
        if self._runner is not None:
            await self._runner.cleanup()

    def health(self) -> tuple[bool, dict[str, Any]]:
        """How the worker does.

        Returns:
            Whether everything runs, and what ``/health`` shows.
        """
        processors = {status.processor: _shown(status) for status in self._statuses()}
        parts = [status["state"] for status in processors.values()]
        told: dict[str, Any] = {"worker": self._config.name, "roles": self._config.roles, "processors": processors}
        if self._reactions is not None:
            told["reactions"] = self._reactions()
            # A rebalance is everyday life; a start is not over before the first one is.
            parts.append("running" if told["reactions"]["state"] == "rebalancing" else told["reactions"]["state"])
        reasons = list(self._complaints())
        is_running = all(part == "running" for part in parts)
        status = "failed" if "failed" in parts else "starting" if not is_running else "waiting" if reasons else "ok"
        return status == "ok", {"status": status, "reasons": reasons, **told}

    async def _health(self, _request: web.Request) -> web.Response:
        healthy, told = self.health()
        body = orjson.dumps(told, option=orjson.OPT_NON_STR_KEYS)
        return web.Response(body=body, content_type="application/json", status=200 if healthy else 503)

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _shown(status: RunnerStatus) -> dict[str, Any]:
    """A snapshot as JSON; mappings may be of any kind inside."""
    told = {name.name: getattr(status, name.name) for name in dataclasses.fields(status)}
    told["counters"] = dataclasses.asdict(status.counters)
    told["lag"], told["positions"] = dict(status.lag), dict(status.positions)
    told["tasks"] = {partition: dict(figures) for partition, figures in status.tasks.items()}
    return told


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(64)
    except BaseException:
        listening.close()
        raise
    return listening
