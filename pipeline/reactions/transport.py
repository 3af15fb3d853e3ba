"""A Faust transport for topics that are written in transactions.

Faust's own transport counts offsets one by one, and reads what was never committed. In a transactional topic each
commit marker takes an offset that no consumer ever sees, so its bookkeeping stops at the first marker, and aborted
records reach the agents. Here the consumer reads committed records only, remembers what it handed out in the order of
delivery, and commits up to the first delivery that is not acknowledged yet. Gaps between offsets mean nothing.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiokafka
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, Message
from faust.types.tuples import ack_lock
from mode.utils.futures import notify

from pipeline.logs import SERVICE_LOGGER

logger = logging.getLogger(__name__)

DRAIN_S = 3.0
"""How long a shutdown or a rebalance waits for events that agents are working on; what is left comes again."""

RECONNECT_S = 1.0
"""The pause between two attempts to reach a broker that is away."""

FETCH_WAIT_MS = 500
"""How long the broker may hold an empty fetch; a record that arrives ends the wait at once."""


class Deliveries:
    """What was handed out of each partition and is not committed yet, in the order of delivery."""

    def __init__(self) -> None:
        self._handed_out: dict[TP, deque[Message]] = {}

    def add(self, message: Message) -> None:
        """Remember a delivery.

        Args:
            message: the record, about to be handed to the agents.
        """
        self._handed_out.setdefault(message.tp, deque()).append(message)

    def forget(self, partitions: set[TP]) -> None:
        """Drop what was handed out of these partitions: another consumer has them now.

        Args:
            partitions: the revoked partitions.
        """
        for partition in partitions:
            self._handed_out.pop(partition, None)

    def committable(self) -> dict[TP, int]:
        """How far each partition may be committed.

        Returns:
            The offset after the last delivery before the first unacknowledged one; partitions without news are absent.
        """
        offsets = {}
        for partition, messages in self._handed_out.items():
            for message in messages:
                if not message.acked:
                    break
                offsets[partition] = message.offset + 1
        return offsets

    def committed(self, offsets: Mapping[TP, int]) -> None:
        """Forget what a successful commit covers.

        Args:
            offsets: the committed offset of each partition.
        """
        for partition, offset in offsets.items():
            messages = self._handed_out.get(partition)
            while messages and messages[0].offset < offset:
                messages.popleft()

    def pending(self) -> int:
        """The number of deliveries that no commit covers yet."""
        return sum(len(messages) for messages in self._handed_out.values())


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Runs the aiokafka consumer: committed records only, and a broker that is away is waited for."""

    logger = SERVICE_LOGGER

    async def on_start(self) -> None:
        """Start the consumer, again and again until the broker answers."""
        self.time_started = time.monotonic()
        while not self.should_stop:
            consumer = self._create_consumer(loop=self.thread_loop)
            try:
                await consumer.start()
            except KafkaConnectionError:
                await consumer.stop()
                await asyncio.sleep(RECONNECT_S)
            else:
                self._consumer = consumer
                return

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        conf = self.app.conf
        # The base class asks this name for the kind of assignment; agents need no co-partitioning.
        self._assignor = RoundRobinPartitionAssignor
        return aiokafka.AIOKafkaConsumer(
            client_id=conf.broker_client_id,
            group_id=conf.id,
            group_instance_id=conf.consumer_group_instance_id,
            bootstrap_servers=driver.server_list(transport.url, transport.default_port),
            partition_assignment_strategy=[self._assignor],
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset=conf.consumer_auto_offset_reset,
            max_poll_records=conf.broker_max_poll_records,
            max_poll_interval_ms=int(conf.broker_max_poll_interval * 1000),
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            check_crcs=conf.broker_check_crcs,
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            metadata_max_age_ms=conf.consumer_metadata_max_age_ms,
            connections_max_idle_ms=conf.consumer_connections_max_idle_ms,
            **driver.credentials_to_aiokafka_auth(conf.broker_credentials, conf.ssl_context),
        )

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit; a refusal is no crash: what it did not cover is handed out again or committed next time."""
        assigned = self.assignment()
        wanted = {
            TopicPartition(tp.topic, tp.partition): OffsetAndMetadata(offset, "")
            for tp, offset in offsets.items()
            if tp in assigned
        }
        if not wanted:
            return False
        try:
            await self._ensure_consumer().commit(wanted)
        except KafkaError as error:
            logger.warning("reactions could not commit their offsets, will try again: %s", error)
            return False
        return True


class Consumer(driver.Consumer):
    """Hands records to the agents and commits in the order of delivery.

    Attributes:
        deliveries: what was handed out and is not committed.
        last_commit_ms: the wall clock of the last commit; None before the first.
        is_ready: whether it has been given partitions once, and may ask for what they hold.
    """

    logger = SERVICE_LOGGER
    last_commit_ms: int | None = None
    is_ready: bool = False

    def __init__(self, transport: Any, callback: Callable[[Message], Awaitable[None]], **options: Any) -> None:
        self.deliveries = Deliveries()

        async def hand_out(message: Message) -> None:
            # Topics that nobody acknowledges (Faust's replies) are not committed either.
            if self.app.topics.acks_enabled_for(message.topic):
                self.deliveries.add(message)
            await callback(message)

        super().__init__(transport, callback=hand_out, **options)

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def ack(self, message: Message) -> bool:
        """Mark a delivery as handled.

        While the flow is suspended a stream acknowledges what it skips. Such a message was not handled, so it is left
        as it is and comes again; the same holds where several agents share the partition and it cannot be told.

        Args:
            message: the delivery.

        Returns:
            Whether this call acknowledged it.
        """
        if not self.app.flow_control.is_active() and (self._is_shared(message) or not message.tracked):
            return False
        with ack_lock:
            if message.acked:
                return False
            message.acked = True
            self._unacked_messages.discard(message)
        notify(self._waiting_for_ack)
        return True

    def _is_shared(self, message: Message) -> bool:
        return sum(message.topic in channel.topics for channel in self.app.topics) > 1

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:  # noqa: ARG002, FBT001, FBT002 - the base class fixes this signature
        """Commit every partition up to its first unacknowledged delivery.

        Args:
            topics: ignored: a commit of everything covers any choice of topics.
            start_new_transaction: ignored: reactions write nothing in transactions.

        Returns:
            Whether something was committed.
        """
        offsets = self.deliveries.committable()
        # Faust's own books are not used; its compiled streams still write into them.
        self._acked.clear()
        self._acked_index.clear()
        if not offsets:
            return False
        await self._handle_attached(offsets)
        await self.app.producer.flush()
        if not await self._commit(offsets):
            return False
        self.deliveries.committed(offsets)
        self.last_commit_ms = time.time_ns() // 1_000_000
        self.app.monitor.on_tp_commit(offsets)
        return True

    async def wait_empty(self) -> None:
        """Give the events in work a moment to finish, then commit; what did not finish is handed out again."""
        deadline = time.monotonic() + DRAIN_S
        while self._unacked_messages and time.monotonic() < deadline:
            await self._wait_for_ack(timeout=1)
            self._clean_unacked_messages()
        await self.commit()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Commit what was handled, then forget the partitions.

        Args:
            revoked: the partitions this consumer loses, or gives back for a moment in a rebalance.
        """
        await super().on_partitions_revoked(revoked)
        self.deliveries.forget(revoked)
        self._unacked_messages.clear()

    def resume_flow(self) -> None:
        """Let records through: the partitions are assigned and the positions known."""
        self.is_ready = True
        super().resume_flow()

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Gaps mean nothing here."""

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's stall alarm: off, because a quiet transactional topic looks stalled to it.

        Args:
            now: the monotonic clock, seconds.
            tp: the partition it asks about.
        """


class Producer(driver.Producer):
    """The producer that agents may write with; a broker that is away is waited for."""

    logger = SERVICE_LOGGER

    async def on_start(self) -> None:
        """Start the producer, again and again until the broker answers."""
        while not self.should_stop:
            producer = self._new_producer()
            try:
                await producer.start()
            except KafkaConnectionError:
                await producer.stop()
                await asyncio.sleep(RECONNECT_S)
            else:
                self._producer = producer
                return


class Transport(driver.Transport):
    """The transport of the reaction plane."""

    Consumer = Consumer
    Producer = Producer
