"""Leaving a consumer group for good: what librdkafka does not do for a static member.

Static membership lets a worker that was killed come back without a rebalance. One that is stopped on purpose should
hand its partitions over at once instead of after its session timeout, so it says goodbye itself.
"""

import asyncio

from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.errors import KafkaError
from aiokafka.protocol.group import LeaveGroupRequest

from pipeline.config import Config
from pipeline.core.errors import ConfigError
from pipeline.kafka_security import read_security

LEAVE_ERRORS = (OSError, TimeoutError, ConfigError, KafkaError)
"""What ``leave_group`` may raise."""

_TIMEOUT_S = 5.0


def leave_group(config: Config, group: str, member_id: str) -> None:
    """Take a member out of its group.

    Args:
        config: the configuration.
        group: the consumer group.
        member_id: the id that the group gave the member; it must have stopped consuming.

    Raises:
        OSError, TimeoutError, KafkaError: the broker did not take it; the session timeout will.
    """
    asyncio.run(asyncio.wait_for(_leave(config, group, member_id), _TIMEOUT_S))


async def _leave(config: Config, group: str, member_id: str) -> None:
    security = read_security(config.kafka.properties)
    client = AIOKafkaClient(
        bootstrap_servers=config.kafka.bootstrap_servers,
        security_protocol=security.protocol,
        ssl_context=security.context,
        sasl_mechanism=security.mechanism or "PLAIN",
        sasl_plain_username=security.username or None,
        sasl_plain_password=security.password or None,
    )
    await client.bootstrap()
    try:
        coordinator = await client.coordinator_lookup(CoordinationType.GROUP, group)
        await client.ready(coordinator, group=ConnectionGroup.COORDINATION)
        await client.send(coordinator, LeaveGroupRequest(group, member_id), group=ConnectionGroup.COORDINATION)
    finally:
        await client.close()
