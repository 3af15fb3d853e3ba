"""Which worker has which partition. Asked with aiokafka: librdkafka's own question aborts the process now and then when
the broker goes away meanwhile (confluentinc/librdkafka issue 4605)."""

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaError

from pipeline.config import Config

_EVERY_S = 0.3

logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells of each attempt to reach a broker that is away


class Owners(threading.Thread):
    """A thread that asks the group's coordinator three times a second.

    Args:
        config: where the topics are.
        processor: whose group.
        on_answer: called with the owner of each partition of the first topic that has one.
    """

    def __init__(self, config: Config, processor: str, on_answer: Callable[[Mapping[int, str]], None]) -> None:
        super().__init__(name="owners", daemon=True)
        self._servers = config.kafka.bootstrap_servers
        self._group = f"{config.kafka.topic_prefix}driftline-{processor}"
        self._on_answer = on_answer
        self._done = threading.Event()

    def run(self) -> None:
        asyncio.run(self._ask_again_and_again())

    def stop(self) -> None:
        self._done.set()
        self.join()

    async def _ask_again_and_again(self) -> None:
        while not self._done.is_set():
            client = AIOKafkaAdminClient(bootstrap_servers=self._servers, request_timeout_ms=2_000)
            try:
                await client.start()
                while not self._done.is_set():
                    self._on_answer(await self._owners(client))
                    await asyncio.sleep(_EVERY_S)
            except (KafkaError, OSError, TimeoutError):
                await asyncio.sleep(_EVERY_S)  # the broker is away: a new client finds it when it is back
            finally:
                await client.close()

    async def _owners(self, client: AIOKafkaAdminClient) -> Mapping[int, str]:
        (answer,) = await asyncio.wait_for(client.describe_consumer_groups([self._group]), 3)
        owners: dict[int, str] = {}
        for member in answer.to_object()["groups"][0]["members"]:
            if member["member_assignment"]:
                assignment = ConsumerProtocolMemberAssignment.decode(member["member_assignment"])
                # The client's id holds the worker's name; a namesake gets the same.
                owners |= {
                    place.partition: member["client_id"].removeprefix("driftline-") for place in assignment.partitions()
                }
        return owners
