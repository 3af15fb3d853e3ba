"""The worker: one process that hosts the data plane's processors and runs the reaction agents.

``driftline worker`` and ``faust -A pipeline.worker worker`` start the same thing. Reactions of your own::

    # my_reactions.py, named in [reactions] modules = ["my_reactions"], or started by: faust -A my_reactions worker
    from pipeline.worker import app

    @app.reaction("alerts")
    async def page_somebody(alert): ...

A worker without the role ``reactions`` runs no Faust app: under aiokafka one does not start without a subscription.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import faust
import mode
from mode import Service
from mode.utils.imports import import_from_cwd

from pipeline.config import Config, load_config
from pipeline.core.errors import ConfigError, ConfigFault
from pipeline.engine.failpoints import arm_from_environment
from pipeline.logs import SERVICE_LOGGER, setup_logging
from pipeline.processors.processor import Processor
from pipeline.reactions import metrics_export, notify
from pipeline.reactions.app import ReactionApp
from pipeline.reactions.metrics import Metrics
from pipeline.worker_host import Failure, Gate, ProcessorHost
from pipeline.worker_page import Page
from pipeline.worker_watch import Watch

logger = logging.getLogger(__name__)

CONFIG_VARIABLE = "DRIFTLINE_CONFIG"
"""Names the configuration file for ``faust -A pipeline.worker worker``, which has no option for it."""

app: ReactionApp
"""The process's app; made from the default configuration when something first asks for it."""


@dataclass(frozen=True, slots=True)
class Worker:
    """The parts of a worker.

    Attributes:
        config: the configuration.
        page: the web endpoint.
        services: what is hosted, in the order of starting; the page is the first.
        failure: why it has to stop with exit code 1, if it has to.
        app: the Faust app; it hosts the services. None without the role ``reactions``.
    """

    config: Config
    page: Page
    services: tuple[Service, ...]
    failure: Failure
    app: ReactionApp | None


_current: Worker | None = None


def __getattr__(name: str) -> Any:
    if name == "app":
        worker = _current or _make(_default_config())
        if worker.app is None:
            raise AttributeError("this worker has no role reactions, so there is no app to add any to")
        return worker.app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _default_config() -> Config:
    path = os.environ.get(CONFIG_VARIABLE)
    return load_config(Path(path) if path else None)


def run_worker(config: Config) -> int:
    """Run a worker until SIGTERM or SIGINT; blocks, and must be called in the main thread.

    Args:
        config: the configuration; ``worker.roles`` says what this worker does.

    Returns:
        The exit code: 0 after a signal, 1 when something failed for good.

    Raises:
        ConfigError: a module of reactions that cannot be imported, or security that Faust does not speak.
        StartupError: the web port cannot be had.
    """
    setup_logging(config.worker.log_level)
    arm_from_environment()
    worker = _make(config)
    for name in config.reactions.modules if worker.app is not None else ():
        _import_reactions(name)
    worker.page.bind()
    process = _FaustProcess(worker.app) if worker.app is not None else _PlainProcess(worker)
    try:
        process.execute_from_commandline()
    except SystemExit as end:
        return int(end.code or 0)


def _import_reactions(name: str) -> None:
    try:
        import_from_cwd(name)
    except ImportError as error:
        fault = ConfigFault("reactions.modules", f"{name}: {error}", "name modules that Python can import from here")
        raise ConfigError([fault]) from error


def _make(config: Config) -> Worker:
    """Put the parts together; nothing starts."""
    global _current  # noqa: PLW0603 - the process's one worker, which user modules get their app from
    failure, metrics, closing = Failure(), Metrics(), _Closing()
    roles = frozenset[str](config.worker.roles)
    makers = {name: make for name, make in _MAKERS.items() if name in roles}
    host = ProcessorHost(config, makers, failure)
    made: ReactionApp | None = None
    if "reactions" in roles:
        made = ReactionApp(config, metrics.count_reaction)
        made.conf.Worker = _FaustProcess  # type: ignore[assignment] # a setting that holds a class
        metrics_export.register(made, config, metrics)
        closing.closers += [webhook.close for webhook in notify.register(made, config, metrics)]
    watch = Watch(config, host, failure)
    page = Page(config.worker, metrics.registry, host.statuses, made.status if made else None, watch.complaints)
    services = (page, watch, Gate(config, failure), host, closing)
    if made:
        made.hosted = services
    _current = Worker(config, page, services, failure, made)
    return _current


def _make_joiner(config: Config) -> Processor:
    from pipeline.engine.cold_rows import open_cold_folder  # noqa: PLC0415 - loads RocksDB: only where it is needed
    from pipeline.processors.joiner import make_joiner  # noqa: PLC0415 - loads kernels: only in its own thread
    from pipeline.processors.warm_up import warm_joiner  # noqa: PLC0415 - as above
    from pipeline.reference_file import load_reference_file  # noqa: PLC0415 - as above

    given = {(file.model, file.model_version): load_reference_file(file.path) for file in config.references}
    warm_joiner(config)
    return make_joiner(config, given, open_cold_folder(config).blocks)


def _make_monitor(config: Config) -> Processor:
    from pipeline.processors.monitor import make_monitor  # noqa: PLC0415 - loads kernels: only in its own thread
    from pipeline.processors.warm_up import warm_monitor  # noqa: PLC0415 - as above

    warm_monitor(config)
    return make_monitor(config)


_MAKERS: dict[str, Callable[[Config], Processor]] = {"joiner": _make_joiner, "monitor": _make_monitor}


class _Closing(Service):
    """Closes what the reactions hold open, after the last of them."""

    logger = SERVICE_LOGGER

    def __init__(self) -> None:
        self.closers: list[Callable[[], Any]] = []
        super().__init__()

    async def on_stop(self) -> None:
        await asyncio.gather(*[close() for close in self.closers])


class _Process(mode.Worker):
    """What both kinds of process share: our logging instead of mode's, and our exit code."""

    logger = SERVICE_LOGGER

    def execute_from_commandline(self) -> NoReturn:
        """Run until stopped, then exit."""
        worker = _current
        if worker is not None:
            setup_logging(worker.config.worker.log_level)
        try:
            super().execute_from_commandline()
        except SystemExit as end:
            if worker is not None and worker.failure.error is not None:
                raise SystemExit(1) from None
            if end.code == 0:
                logger.info("stopped")
            raise
        raise AssertionError("the base class always exits")


class _PlainProcess(_Process):
    """A worker without reactions."""

    def __init__(self, worker: Worker) -> None:
        super().__init__(*worker.services, override_logging=False, redirect_stdouts=False, quiet=True)


class _FaustProcess(_Process, faust.Worker):
    """A worker with reactions; Faust's command line makes it with arguments of its own."""

    def __init__(self, app: faust.App, *services: Service, loglevel: str | int | None = None, **options: Any) -> None:
        options |= {"override_logging": False, "redirect_stdouts": False, "quiet": True}
        super().__init__(app, *services, loglevel=loglevel, **options)
        self.spinner = None
