"""Tells people and systems about alerts and retrain triggers: a log line, and a POST to each webhook.

A delivery is tried again on connection errors, timeouts, 429 and 5xx, with pauses that double and are half random; a
``Retry-After`` is respected. When the retries are used up the event is given up for this webhook: logged and counted.
From then on the webhook counts as down and each event gets one attempt, until one succeeds; so a dead webhook costs
an event one timeout, and never holds up the other webhooks, which are served side by side.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp
import orjson
from aiohttp import ClientResponse, ClientSession, ClientTimeout
from yarl import URL

from pipeline.config import Config, WebhookConfig
from pipeline.core.events import Json
from pipeline.reactions.app import ReactionApp
from pipeline.reactions.metrics import Metrics
from pipeline.reactions.reaction import event_id

logger = logging.getLogger(__name__)

MAX_SIDE_BY_SIDE = 16
"""How many POSTs a webhook gets at the same time."""

RETRY_AFTER_MAX_S = 60.0
"""A longer ``Retry-After`` is cut to this."""

_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500
_OK = range(200, 300)
_LOG_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "critical": logging.CRITICAL}


@dataclass(frozen=True, slots=True)
class Pauses:
    """The pauses between the attempts of a delivery.

    Attributes:
        first_s: before the first retry; it doubles with each one.
        max_s: where the doubling ends.
    """

    first_s: float = 0.5
    max_s: float = 30.0

    def before_retry_s(self, retry: int, retry_after_s: float) -> float:
        """How long to wait.

        Args:
            retry: the number of the retry, from 1.
            retry_after_s: what the server asked for, 0 where it did not.

        Returns:
            Seconds; at least what the server asked for, up to ``RETRY_AFTER_MAX_S``.
        """
        full = min(self.max_s, self.first_s * 2.0 ** (retry - 1))
        spread = full * random.uniform(0.5, 1)  # noqa: S311 - spreads retries, guards nothing
        return max(spread, min(retry_after_s, RETRY_AFTER_MAX_S))


class Webhook:
    """Delivers events to one URL.

    Args:
        config: the URL, its headers, timeout and number of retries.
        count: told how each delivery ended, and of each retry: the webhook's shown name and the outcome.
        pauses: the pauses between attempts.
    """

    def __init__(self, config: WebhookConfig, count: Callable[[str, str], None], pauses: Pauses | None = None) -> None:
        self._config = config
        self._count = count
        self._pauses = pauses or Pauses()
        self._slots = asyncio.Semaphore(MAX_SIDE_BY_SIDE)
        self._session: ClientSession | None = None
        self._is_down = False
        url = URL(config.url)
        # Paths and queries of webhooks often hold a token, so a person sees the host alone.
        self.shown = str(url.origin())

    async def deliver(self, event: Json) -> None:
        """POST an event, with retries; returns when it was delivered or given up, and raises nothing.

        Args:
            event: the decoded alert or trigger.
        """
        key = idempotency_key(event)
        body = orjson.dumps(event)
        retries = 0 if self._is_down else self._config.max_retries
        for attempt in range(retries + 1):
            async with self._slots:
                problem, retry_after_s = await self._post(body, key)
            if problem is None:
                self._is_down = False
                self._count(self.shown, "delivered")
                return
            if retry_after_s < 0:
                self._count(self.shown, "refused")
                logger.error("webhook %s refused %s (%s): check its URL and headers", self.shown, key, problem)
                return
            if attempt < retries:
                self._count(self.shown, "retried")
                await asyncio.sleep(self._pauses.before_retry_s(attempt + 1, retry_after_s))
        self._is_down = True
        self._count(self.shown, "gave_up")
        logger.error("webhook %s: gave up on %s after %d attempts (%s)", self.shown, key, retries + 1, problem)

    async def _post(self, body: bytes, key: str) -> tuple[str | None, float]:
        """One attempt: what went wrong (None: nothing), and the pause asked for in seconds (negative: do not retry)."""
        headers = {"Content-Type": "application/json", **self._config.headers, "Idempotency-Key": key}
        if self._session is None:
            timeout = ClientTimeout(total=self._config.timeout / 1000)
            self._session = ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
        try:
            async with self._session.post(
                self._config.url, data=body, headers=headers, allow_redirects=False
            ) as response:
                return _judge(response)
        except TimeoutError:
            return f"no answer within {self._config.timeout} ms", 0.0
        except (aiohttp.ClientError, OSError) as error:
            # The text of some of these errors holds the URL.
            return type(error).__name__, 0.0

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


def _judge(response: ClientResponse) -> tuple[str | None, float]:
    if response.status in _OK:
        return None, 0.0
    problem = f"status {response.status}"
    if response.status != _TOO_MANY_REQUESTS and response.status < _SERVER_ERROR:
        return problem, -1.0
    after = response.headers.get("Retry-After", "")
    # The other form, a date, is as good as none here: the pauses are short.
    return problem, float(after) if after.isdecimal() else 0.0


def idempotency_key(event: Json) -> str:
    """What a receiver can tell repeats by.

    Args:
        event: the decoded alert or trigger.

    Returns:
        ``<alert_id>:<state>`` or ``<trigger_id>:<state>``; a trigger's state is ``triggered``.
    """
    return f"{event_id(event)}:{event.get('state', 'triggered')}"


async def log_event(event: Json) -> None:
    """Write one line about an alert or trigger, at the level of its severity.

    Args:
        event: the decoded event.
    """
    level = _LOG_LEVELS.get(event.get("severity", "warning"), logging.WARNING)
    logger.log(
        level if event.get("state") != "resolved" else logging.INFO,
        "%s %s: %s",
        event.get("state", "retrain trigger"),
        event_id(event),
        event.get("summary", ""),
    )


def register(app: ReactionApp, config: Config, metrics: Metrics) -> list[Webhook]:
    """Make the app tell about alerts and triggers as configured.

    Args:
        app: the app whose agents do it.
        config: the configuration.
        metrics: where deliveries are counted.

    Returns:
        The webhooks, to be closed at the end.
    """

    def count(shown: str, outcome: str) -> None:
        metrics.webhook_posts.labels(shown, outcome).inc()

    webhooks = []
    if config.reactions.log:
        app.reaction("alerts", "log")(log_event)
        app.reaction("retrain-triggers", "log")(log_event)
    for number, webhook_config in enumerate(config.reactions.webhooks):
        webhook = Webhook(webhook_config, count)
        webhooks.append(webhook)
        for topic in dict.fromkeys(webhook_config.events):
            app.reaction(topic, f"webhook-{number}")(webhook.deliver)
    return webhooks
