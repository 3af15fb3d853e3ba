"""Webhooks against a real local HTTP server: what is sent, what is retried, what is given up, what is never logged."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson
import pytest
from aiohttp import web

from pipeline.config import WebhookConfig
from pipeline.core.events import Json
from pipeline.reactions.notify import Pauses, Webhook, idempotency_key, log_event

QUICK = Pauses(first_s=0.001, max_s=0.002)
ALERT = {"alert_id": "accuracy-drop:fraud:3", "state": "firing", "severity": "critical", "summary": "accuracy is low"}

Answer = Callable[[int], Awaitable[web.Response]]


@dataclass
class Receiver:
    """A server that answers request n as told, and remembers what came."""

    answer: Answer
    url: str = ""
    requests: list[tuple[dict[str, str], Json]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        self.requests.append((dict(request.headers), orjson.loads(await request.read())))
        return await self.answer(len(self.requests))


@asynccontextmanager
async def receiving(answer: Answer) -> AsyncIterator[Receiver]:
    receiver = Receiver(answer)
    app = web.Application()
    app.router.add_post("/hook/{token}", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook/s3cret-token"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@asynccontextmanager
async def webhook(url: str, pauses: Pauses = QUICK, **options: object) -> AsyncIterator[tuple[Webhook, Counter[str]]]:
    outcomes: Counter[str] = Counter()

    def count(_shown: str, outcome: str) -> None:
        outcomes[outcome] += 1

    made = Webhook(WebhookConfig(url=url, **options), count, pauses)
    try:
        yield made, outcomes
    finally:
        await made.close()


def answers(*statuses: int, **headers: str) -> Answer:
    async def answer(number: int) -> web.Response:
        status = statuses[min(number, len(statuses)) - 1]
        return web.Response(status=status, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return answer


async def test_an_alert_is_posted_once_with_its_idempotency_key_and_headers() -> None:
    async with (
        receiving(answers(204)) as receiver,
        webhook(receiver.url, headers={"Authorization": "Bearer t0ken"}) as (hook, outcomes),
    ):
        await hook.deliver(ALERT)
    [(headers, body)] = receiver.requests
    assert body == ALERT
    assert headers["Idempotency-Key"] == "accuracy-drop:fraud:3:firing"
    assert headers["Authorization"] == "Bearer t0ken"
    assert headers["Content-Type"] == "application/json"
    assert outcomes == {"delivered": 1}


def test_a_trigger_has_a_key_too() -> None:
    assert idempotency_key({"trigger_id": "t1"}) == "t1:triggered"


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_passing_fault_is_retried(status: int) -> None:
    async with receiving(answers(status, status, 200)) as receiver, webhook(receiver.url) as (hook, outcomes):
        await hook.deliver(ALERT)
    assert len(receiver.requests) == 3
    assert len({headers["Idempotency-Key"] for headers, _ in receiver.requests}) == 1
    assert outcomes == {"retried": 2, "delivered": 1}


async def test_retry_after_is_respected() -> None:
    async with (
        receiving(lambda number: answers(503, Retry_After="1")(number) if number == 1 else answers(200)(number)) as rx,
        webhook(rx.url) as (hook, outcomes),
    ):
        began = time.monotonic()
        await hook.deliver(ALERT)
    assert time.monotonic() - began >= 1
    assert outcomes["delivered"] == 1


async def test_a_refusal_is_not_retried(caplog: pytest.LogCaptureFixture) -> None:
    async with receiving(answers(401)) as receiver, webhook(receiver.url) as (hook, outcomes):
        await hook.deliver(ALERT)
    assert len(receiver.requests) == 1
    assert outcomes == {"refused": 1}
    assert "status 401" in caplog.text


async def test_a_dead_server_costs_all_retries_once_and_then_one_attempt_each_until_it_is_back() -> None:
    healthy = False

    async def answer(_number: int) -> web.Response:
        return web.Response(status=200 if healthy else 500)

    async with receiving(answer) as receiver, webhook(receiver.url, max_retries=3) as (hook, outcomes):
        await hook.deliver(ALERT)
        assert len(receiver.requests) == 4
        await hook.deliver(ALERT)
        assert len(receiver.requests) == 5
        healthy = True
        await hook.deliver(ALERT)
        healthy = False
        await hook.deliver(ALERT)
        assert len(receiver.requests) == 5 + 1 + 4
    assert outcomes == {"gave_up": 3, "retried": 6, "delivered": 1}


async def test_a_server_that_hangs_is_left_after_the_timeout() -> None:
    async def hang(_number: int) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    async with receiving(hang) as receiver, webhook(receiver.url, timeout=100, max_retries=1) as (hook, outcomes):
        began = time.monotonic()
        await hook.deliver(ALERT)
        assert time.monotonic() - began < 2
    assert outcomes == {"retried": 1, "gave_up": 1}


async def test_nobody_listening_is_retried_and_given_up_and_no_secret_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    url = "http://user:passw0rd@127.0.0.1:1/hook/s3cret-token?key=qu3ry"
    with caplog.at_level(logging.DEBUG):
        async with webhook(url, headers={"X-Key": "h3ader"}, max_retries=1) as (hook, outcomes):
            await hook.deliver(ALERT)
    assert outcomes == {"retried": 1, "gave_up": 1}
    assert "http://127.0.0.1:1" in caplog.text
    for secret in ("passw0rd", "s3cret-token", "qu3ry", "h3ader"):
        assert secret not in caplog.text


@pytest.mark.parametrize(
    ("event", "level", "words"),
    [
        (ALERT, logging.CRITICAL, "firing accuracy-drop:fraud:3: accuracy is low"),
        ({**ALERT, "state": "resolved"}, logging.INFO, "resolved accuracy-drop:fraud:3"),
        ({"trigger_id": "t1", "summary": "retrain fraud"}, logging.WARNING, "retrain trigger t1: retrain fraud"),
    ],
)
async def test_the_log_line_says_what_happened(
    event: Json, level: int, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        await log_event(event)
    assert caplog.records[0].levelno == level
    assert words in caplog.text
