"""Hosts the data plane's processors in a worker process: each runs in a thread of its own, beside the event loop."""

import asyncio
import gc
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping

from mode import Service

from pipeline.config import Config
from pipeline.core.errors import DriftlineError, RetriableError, StartupError, StuckError
from pipeline.engine.shell import ProcessorRunner
from pipeline.engine.status import RunnerStatus
from pipeline.logs import SERVICE_LOGGER
from pipeline.processors.processor import Processor
from pipeline.reactions.threads import in_thread
from pipeline.topics import check_topics
from pipeline.traffic import recent_rate

logger = logging.getLogger(__name__)

STOP_TIMEOUT_S = 20.0
"""How long a stop waits for a processor's last commit; what is not committed then is read again."""

STUCK_TIMEOUT_S = 3.0
"""The same where the watchdog ends the worker."""

_RETRY_S = 1.0
_LOG_EVERY_S = 30.0


class Failure:
    """Why the worker has to stop with exit code 1, if it has to."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def stop_worker(self, error: BaseException) -> None:
        """Stop the whole worker in good order; from the event loop's thread.

        Args:
            error: what went wrong; the first one counts.
        """
        if self.error is not None:
            return
        self.error = error
        if isinstance(error, DriftlineError):
            logger.critical("stopping: %s", error)
        else:
            logger.critical("stopping: an unexpected error; the state in Kafka is intact", exc_info=error)
        # The same way out as a SIGTERM from outside: everybody commits what they can.
        signal.raise_signal(signal.SIGTERM)


class Gate(Service):
    """Holds the start until the broker answers and has the topics; started before everything that talks to Kafka.

    Args:
        config: the configuration.
        failure: told when the topics are not as they must be.
    """

    logger = SERVICE_LOGGER

    def __init__(self, config: Config, failure: Failure) -> None:
        self._config = config
        self._failure = failure
        self.is_open = False
        super().__init__()

    async def on_start(self) -> None:
        """Wait for the broker, for ever; then check the topics."""
        logged_s = -_LOG_EVERY_S
        logger.info("asking Kafka at %s for its topics", self._config.kafka.bootstrap_servers)
        while not self.should_stop:
            try:
                faults = await in_thread(lambda: check_topics(self._config))
            except RetriableError as error:
                if time.monotonic() - logged_s >= _LOG_EVERY_S:
                    logged_s = time.monotonic()
                    logger.warning("waiting: %s", error)
                await self.sleep(_RETRY_S)
                continue
            except StartupError as error:
                self._failure.stop_worker(error)
                break
            if not faults:
                await self._tell_needs()
                self.is_open = True
                return
            told = "\n".join(f"  {fault}" for fault in faults)
            self._failure.stop_worker(StartupError(f"the topics are not as Driftline needs them:\n{told}"))
            break
        # Whatever comes after the gate must not start; the stop on its way cancels this.
        await asyncio.Event().wait()

    async def _tell_needs(self) -> None:
        """Log what the rate of the last hour needs, before it is needed."""
        if "joiner" in self._config.worker.roles:
            lines = await in_thread(lambda: _needs(self._config))
            if lines:
                level = logging.WARNING if lines[-1].startswith("warning") else logging.INFO
                logger.log(level, "as in the last hour, a record taken for a prediction: %s", "\n".join(lines))


def _needs(config: Config) -> list[str]:
    rate = recent_rate(config, "predictions")
    if rate is None:
        return []
    from pipeline.core.estimate import estimate_lines  # noqa: PLC0415 - loads kernels: not for everybody who imports us

    horizon_ms, limit = config.windows.label_horizon, config.joiner.max_open_rows
    return list(estimate_lines(rate, horizon_ms, config.kafka.partitions, limit, config.joiner.memory_mb))


class ProcessorHost(Service):
    """Runs processors until it is stopped, or until one of them fails.

    Args:
        config: the configuration.
        makers: processor name to what makes it; called in the processor's own thread.
        failure: told when a processor fails.
    """

    logger = SERVICE_LOGGER

    def __init__(self, config: Config, makers: Mapping[str, Callable[[Config], Processor]], failure: Failure) -> None:
        self._config = config
        self._makers = dict(makers)
        self._failure = failure
        self._runners: dict[str, ProcessorRunner] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._states: dict[str, RunnerStatus] = {name: RunnerStatus(name) for name in makers}
        self._stopping = threading.Event()
        super().__init__()

    async def on_start(self) -> None:
        """Start each processor's thread."""
        if self._makers:
            logger.info("loading kernels; the first start on a machine compiles them, which takes a minute or so")
            # A batch holds tens of thousands of objects for a moment; Python would look for cycles after every 700.
            gc.set_threshold(100_000, 50, 100)
        loop = asyncio.get_running_loop()
        for name, make in self._makers.items():
            thread = threading.Thread(target=self._run, args=(name, make, loop), name=name, daemon=True)
            self._threads[name] = thread
            thread.start()

    def _run(self, name: str, make: Callable[[Config], Processor], loop: asyncio.AbstractEventLoop) -> None:
        """The thread of one processor."""
        try:
            runner = ProcessorRunner(make(self._config), self._config)
            self._runners[name] = runner
            # A stop that came before the runner was made.
            if self._stopping.is_set():
                runner.stop()
            logger.info("%s starts", name)
            runner.run()
        except Exception as error:  # noqa: BLE001 - whatever it is, the worker stops with it
            failed = error
        else:
            if self._stopping.is_set():
                return
            failed = StartupError(f"{name} ended by itself; start the worker again and report this")
        loop.call_soon_threadsafe(self._failure.stop_worker, failed)

    async def on_stop(self) -> None:
        """Stop all processors: they commit what is open and leave their groups."""
        self._stopping.set()
        for runner in list(self._runners.values()):
            runner.stop()
        for name, thread in self._threads.items():
            timeout_s = STUCK_TIMEOUT_S if isinstance(self._failure.error, StuckError) else STOP_TIMEOUT_S
            await in_thread(lambda thread=thread, timeout_s=timeout_s: thread.join(timeout_s))  # type: ignore[misc]
            if thread.is_alive():
                logger.error("%s did not stop in %.0f s; what it did not commit is read again", name, timeout_s)

    def runners(self) -> Mapping[str, ProcessorRunner]:
        """The runners by name, as far as they are made; from any thread."""
        return dict(self._runners)

    def thread_id(self, name: str) -> int | None:
        """The thread that a processor runs in.

        Args:
            name: the processor's name.
        """
        return self._threads[name].ident

    def statuses(self) -> Iterable[RunnerStatus]:
        """The latest snapshot of each processor, from any thread."""
        return [
            self._runners[name].status() if name in self._runners else starting
            for name, starting in self._states.items()
        ]
