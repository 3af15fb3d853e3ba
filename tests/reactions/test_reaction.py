"""Reactions run at least once: retried, given up loudly, and acknowledged only then."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from pipeline.core.events import Json
from pipeline.reactions.reaction import MAX_IN_WORK, RetryPolicy, TopicReactions

QUICK = RetryPolicy(max_retries=2, first_pause_ms=1, max_pause_ms=2)


@dataclass
class Place:
    partition: int = 0
    offset: int = 0


@dataclass
class Record:
    value: bytes | None
    message: Place = field(default_factory=Place)


class Stream:
    """Stands in for Faust's stream: hands out records, then stays open; tells what was acknowledged."""

    def __init__(self, *values: bytes | None) -> None:
        self.records = [Record(value) for value in values]
        self.handed_out = 0
        self.acknowledged: list[bytes | None] = []

    def noack(self) -> "Stream":
        return self

    async def events(self) -> AsyncIterator[Record]:
        for record in self.records:
            self.handed_out += 1
            yield record
        await asyncio.Event().wait()

    async def ack(self, record: Record) -> None:
        self.acknowledged.append(record.value)


class Outcomes(list[tuple[str, str, bool]]):
    def __call__(self, topic: str, name: str, worked: bool) -> None:  # noqa: FBT001 - an Outcome
        self.append((topic, name, worked))


def alert(alert_id: str, **fields: Json) -> bytes:
    return orjson.dumps({"alert_id": alert_id, **fields})


async def settle(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.001)


async def test_an_event_is_acknowledged_after_its_reactions_and_not_before() -> None:
    release = asyncio.Event()
    stream, outcomes = Stream(alert("a")), Outcomes()
    reactions = TopicReactions("alerts", outcomes, QUICK)

    async def slow(_event: Json) -> None:
        await release.wait()

    async def fast(_event: Json) -> None:
        pass

    reactions.add("slow", slow)
    reactions.add("fast", fast)
    running = asyncio.create_task(reactions.run(stream))
    await settle(lambda: ("alerts", "fast", True) in outcomes)
    assert stream.acknowledged == []
    release.set()
    await settle(lambda: stream.acknowledged)
    assert sorted(outcomes) == [("alerts", "fast", True), ("alerts", "slow", True)]
    running.cancel()


async def test_a_reaction_that_raises_is_retried_until_it_works() -> None:
    calls: list[str] = []
    stream, outcomes = Stream(alert("a")), Outcomes()
    reactions = TopicReactions("alerts", outcomes, QUICK)

    async def flaky(event: Json) -> None:
        calls.append(event["alert_id"])
        if len(calls) < 3:
            raise OSError("away")

    reactions.add("flaky", flaky)
    running = asyncio.create_task(reactions.run(stream))
    await settle(lambda: stream.acknowledged)
    assert calls == ["a", "a", "a"]
    assert outcomes == [("alerts", "flaky", True)]
    running.cancel()


async def test_a_reaction_that_never_works_is_logged_with_its_event_counted_and_acknowledged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stream, outcomes = Stream(alert("the-alert"), alert("next")), Outcomes()
    reactions = TopicReactions("alerts", outcomes, QUICK)
    calls: list[str] = []

    async def broken(event: Json) -> None:
        calls.append(event["alert_id"])
        raise RuntimeError("no")

    reactions.add("broken", broken)
    with caplog.at_level(logging.ERROR):
        running = asyncio.create_task(reactions.run(stream))
        await settle(lambda: len(stream.acknowledged) == 2)
    assert calls.count("the-alert") == 1 + QUICK.max_retries
    assert outcomes == [("alerts", "broken", False)] * 2
    assert "the-alert" in caplog.text
    assert not running.done()
    running.cancel()


async def test_what_is_no_json_is_counted_and_acknowledged_and_a_null_record_is_nothing() -> None:
    stream, outcomes = Stream(b"\xff{", None), Outcomes()
    running = asyncio.create_task(TopicReactions("alerts", outcomes, QUICK).run(stream))
    await settle(lambda: len(stream.acknowledged) == 2)
    assert outcomes == [("alerts", "decode", False)]
    running.cancel()


async def test_an_episode_keeps_its_order_while_others_pass() -> None:
    release = asyncio.Event()
    done: list[tuple[str, str]] = []
    stream = Stream(alert("a", state="firing"), alert("a", state="resolved"), alert("b", state="firing"))
    reactions = TopicReactions("alerts", Outcomes(), QUICK)

    async def hold_first(event: Json) -> None:
        if (event["alert_id"], event["state"]) == ("a", "firing"):
            await release.wait()
        done.append((event["alert_id"], event["state"]))

    reactions.add("hold", hold_first)
    running = asyncio.create_task(reactions.run(stream))
    await settle(lambda: done)
    assert done == [("b", "firing")]
    release.set()
    await settle(lambda: len(done) == 3)
    assert done[1:] == [("a", "firing"), ("a", "resolved")]
    running.cancel()


async def test_events_in_work_are_limited_and_a_stop_leaves_them_unacknowledged() -> None:
    stream = Stream(*[alert(str(number)) for number in range(MAX_IN_WORK + 50)])
    reactions = TopicReactions("alerts", Outcomes(), QUICK)
    started: list[str] = []

    async def forever(event: Json) -> None:
        started.append(event["alert_id"])
        await asyncio.Event().wait()

    reactions.add("forever", forever)
    running = asyncio.create_task(reactions.run(stream))
    await settle(lambda: len(started) == MAX_IN_WORK)
    assert stream.handed_out == MAX_IN_WORK + 1
    running.cancel()
    await asyncio.wait([running])
    assert stream.acknowledged == []


def test_a_name_is_given_once() -> None:
    reactions = TopicReactions("alerts", Outcomes())

    async def nothing(_event: Json) -> None:
        pass

    reactions.add("log", nothing)
    with pytest.raises(ValueError, match="another name"):
        reactions.add("log", nothing)


@pytest.mark.parametrize(("attempt", "full_s"), [(1, 0.5), (2, 1.0), (7, 30.0), (5_000, 30.0)])
def test_pauses_double_up_to_their_limit_and_are_half_random(attempt: int, full_s: float) -> None:
    pauses = [RetryPolicy().pause_s(attempt) for _ in range(100)]
    assert full_s / 2 <= min(pauses) < max(pauses) <= full_s
