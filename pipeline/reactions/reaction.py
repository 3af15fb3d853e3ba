"""Reactions that run at least once: tried again with a limit, then given up loudly, and only then acknowledged.

Faust acknowledges an event when the agent asks for the next one, also when the agent's body raised. Here an event is
acknowledged when every reaction to it has finished or was given up. Events are handled side by side, so a slow one
does not hold up the others; events of one episode (the same alert, the same trigger) keep their order.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from pipeline.core.events import Json

logger = logging.getLogger(__name__)

Handler = Callable[[Json], Awaitable[None]]
"""What a reaction is: it takes the event, decoded, and raises when it did not work out."""

Outcome = Callable[[str, str, bool], None]
"""Told after every reaction: the topic, the reaction's name, whether it worked out."""

MAX_IN_WORK = 256
"""How many events of a topic are handled side by side; the next one waits until one is done."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a reaction that raised is tried again.

    Attributes:
        max_retries: attempts after the first.
        first_pause_ms: the pause before the first retry; it doubles with each one.
        max_pause_ms: where the doubling ends.
    """

    max_retries: int = 3
    first_pause_ms: int = 500
    max_pause_ms: int = 30_000

    def pause_s(self, attempt: int) -> float:
        """The pause before a retry, half of it random so that many workers do not come back at once.

        Args:
            attempt: the number of attempts made so far, from 1.

        Returns:
            Seconds.
        """
        full_ms = min(self.max_pause_ms, self.first_pause_ms << min(attempt - 1, 30))
        return full_ms / 1000 * random.uniform(0.5, 1)  # noqa: S311 - spreads retries, guards nothing


def event_id(event: Json) -> str:
    """What identifies an event to a person and orders it among its kind.

    Args:
        event: the decoded event.

    Returns:
        The alert's or trigger's id; empty for events without one.
    """
    if not isinstance(event, Mapping):
        return ""
    return str(event.get("alert_id") or event.get("trigger_id") or "")


class TopicReactions:
    """All reactions to the events of one topic: what the topic's agent runs.

    Args:
        topic: the topic's name in the contract.
        on_outcome: told after every reaction.
        policy: how often a reaction is tried again.
    """

    def __init__(self, topic: str, on_outcome: Outcome, policy: RetryPolicy | None = None) -> None:
        self._topic = topic
        self._on_outcome = on_outcome
        self._policy = policy or RetryPolicy()
        self._handlers: dict[str, Handler] = {}
        self._last_of_episode: dict[str, asyncio.Task[None]] = {}

    def add(self, name: str, handler: Handler) -> None:
        """Register a reaction.

        Args:
            name: a name for logs and metrics, unique in the topic.
            handler: what to do with each event.

        Raises:
            ValueError: the name is taken.
        """
        if name in self._handlers:
            raise ValueError(f"there is a reaction {name!r} to {self._topic} already; give this one another name")
        self._handlers[name] = handler

    async def run(self, stream: Any) -> None:
        """Follow the stream for good; the body of the agent.

        Args:
            stream: the agent's Faust stream of raw record values.
        """
        slots = asyncio.Semaphore(MAX_IN_WORK)
        manual = stream.noack()
        tasks: set[asyncio.Task[None]] = set()

        def finished(task: asyncio.Task[None]) -> None:
            tasks.discard(task)
            slots.release()

        try:
            async for record in manual.events():
                await slots.acquire()
                task = asyncio.create_task(self._take(manual, record))
                tasks.add(task)
                task.add_done_callback(finished)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _take(self, stream: Any, record: Any) -> None:
        value = record.value
        if value is not None:
            try:
                event = orjson.loads(value)
            except orjson.JSONDecodeError as error:
                self._give_up("decode", f"{self._topic}[{record.message.partition}]@{record.message.offset}", error)
            else:
                await self._in_order(event)
        await stream.ack(record)

    async def _in_order(self, event: Json) -> None:
        """Handle an event after the earlier events of its episode."""
        episode = event_id(event)
        this = asyncio.current_task()
        before = self._last_of_episode.get(episode)
        if episode and this is not None:
            self._last_of_episode[episode] = this
        try:
            if episode and before is not None:
                await asyncio.wait([before])
            # A list: user code may register late, while events are in work.
            await asyncio.gather(*[self._react(name, handler, event) for name, handler in self._handlers.items()])
        finally:
            if self._last_of_episode.get(episode) is this:
                del self._last_of_episode[episode]

    async def _react(self, name: str, handler: Handler, event: Json) -> None:
        attempt = 1
        while True:
            try:
                await handler(event)
            except Exception as error:  # noqa: BLE001 - whatever a reaction raises is retried, counted and logged here
                if attempt > self._policy.max_retries:
                    self._give_up(name, event_id(event), error)
                    return
                await asyncio.sleep(self._policy.pause_s(attempt))
                attempt += 1
            else:
                self._on_outcome(self._topic, name, True)  # noqa: FBT003 - positional in the Outcome type
                return

    def _give_up(self, name: str, subject: str, error: Exception) -> None:
        self._on_outcome(self._topic, name, False)  # noqa: FBT003 - positional in the Outcome type
        logger.error("reaction %s to %s %s failed for good: %r", name, self._topic, subject or "(no id)", error)
