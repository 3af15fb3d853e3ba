"""The Faust app of a worker: agents on Driftline's own transport, and reactions that run at least once."""

from collections.abc import Callable, Iterable
from typing import Any

import faust
from faust.app.base import BootStrategy
from mode import ServiceT
from yarl import URL

from pipeline.config import Config
from pipeline.core.errors import ConfigError, ConfigFault
from pipeline.kafka_security import read_security
from pipeline.logs import SERVICE_LOGGER
from pipeline.reactions.reaction import Handler, Outcome, RetryPolicy, TopicReactions
from pipeline.reactions.security import make_credentials
from pipeline.reactions.transport import Consumer, Transport

REACTION_TOPICS = ("alerts", "retrain-triggers", "retrain-verdicts", "window-metrics", "host-metrics")
"""The topics that can be reacted to: all outputs but the dead letters."""


class _Boot(BootStrategy):
    """Faust's web server stays off: the worker has an endpoint of its own."""

    enable_web = False


class ReactionApp(faust.App):
    """A Faust app that knows Driftline's topics.

    ``@app.reaction("alerts")`` registers a reaction that runs at least once. Plain ``@app.agent(app.events("alerts"))``
    works as in Faust, which acknowledges an event also when the agent's body raised.

    Args:
        config: the configuration.
        on_outcome: told after every reaction.
        policy: how often a reaction is tried again.

    Attributes:
        hosted: what the process runs beside the agents; started before them, stopped after them.
    """

    BootStrategy = _Boot
    logger = SERVICE_LOGGER

    def __init__(
        self,
        config: Config,
        on_outcome: Outcome,
        policy: RetryPolicy | None = None,
    ) -> None:
        self._config = config
        self._on_outcome = on_outcome
        self._policy = policy
        self.hosted: tuple[ServiceT, ...] = ()
        self._reactions: dict[str, TopicReactions] = {}
        super().__init__(config.kafka.topic("driftline-reactions"), **_settings(config))

    def events(self, name: str) -> Any:
        """The Faust topic of an output, with values as raw JSON bytes.

        Args:
            name: the topic's name in the contract, e.g. ``alerts``.

        Returns:
            What ``app.agent`` takes.
        """
        return self.topic(
            self._config.kafka.topic(name), value_type=bytes, value_serializer="raw", key_serializer="raw"
        )

    def reaction(self, topic: str, name: str | None = None) -> Callable[[Handler], Handler]:
        """Register a reaction: a coroutine function that takes the decoded event.

        When it raises it is called again, with pauses that grow; after the last retry the failure is logged and
        counted. The event is acknowledged only then. It can be called twice with the same event, after a crash: make
        it idempotent by ``alert_id`` and ``state``, or by ``trigger_id``.

        Args:
            topic: the topic's name in the contract, one of ``REACTION_TOPICS``.
            name: a name for logs and metrics; None takes the function's.

        Returns:
            The decorator, which hands the function back unchanged.

        Raises:
            ValueError: an unknown topic, or a name that is taken.
        """
        if topic not in REACTION_TOPICS:
            raise ValueError(f"no reactions to {topic!r}: choose one of {', '.join(REACTION_TOPICS)}")

        def register(handler: Handler) -> Handler:
            self._reactions_to(topic).add(name or str(getattr(handler, "__name__", "reaction")), handler)
            return handler

        return register

    def _reactions_to(self, topic: str) -> TopicReactions:
        """One agent a topic runs all its reactions: an event is acknowledged when all of them are through."""
        reactions = self._reactions.get(topic)
        if reactions is None:
            reactions = self._reactions[topic] = TopicReactions(topic, self._on_outcome, self._policy)
            self.agent(self.events(topic), name=f"driftline.{topic}")(reactions.run)
        return reactions

    def status(self) -> dict[str, Any]:
        """What the reaction plane is doing.

        Returns:
            ``state`` (``starting``, ``rebalancing`` or ``running``), ``partitions`` by ``topic-partition``,
            ``uncommitted`` deliveries and ``last_commit_ms`` (epoch milliseconds or None).
        """
        consumer = self._consumer
        if not isinstance(consumer, Consumer) or not consumer.is_ready:
            return {"state": "starting", "partitions": [], "uncommitted": 0, "last_commit_ms": None}
        return {
            "state": "running" if self.flow_control.is_active() else "rebalancing",
            "partitions": sorted(f"{tp.topic}-{tp.partition}" for tp in consumer.assignment()),
            "uncommitted": consumer.deliveries.pending(),
            "last_commit_ms": consumer.last_commit_ms,
        }

    async def on_first_start(self) -> None:
        """Faust makes a data directory for its tables here; there are none."""

    def on_init_dependencies(self) -> Iterable[ServiceT]:
        """The hosted services first: they gate the start and keep working while the agents rebalance.

        Returns:
            The services to start, in order.
        """
        return (*self.hosted, *super().on_init_dependencies())

    def _new_transport(self) -> Transport:
        return Transport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> Transport:
        return Transport(self.conf.broker_producer, self)


def _settings(config: Config) -> dict[str, Any]:
    """Faust's settings; it spells times in seconds."""
    session_s = config.engine.session_timeout / 1000
    settings: dict[str, Any] = {
        "broker": _broker_urls(config.kafka.bootstrap_servers),
        "broker_client_id": f"driftline-{config.worker.name}-reactions",
        "broker_commit_interval": config.reactions.commit_interval_ms / 1000,
        "broker_heartbeat_interval": session_s / 4,
        "broker_rebalance_timeout": session_s,
        "broker_request_timeout": max(40.0, session_s + 1),
        "broker_session_timeout": session_s,
        "consumer_auto_offset_reset": "earliest",
        "topic_allow_declare": False,
        "topic_disable_leader": True,
    }
    credentials = make_credentials(read_security(config.kafka.properties))
    if credentials is not None:
        settings["broker_credentials"] = credentials
    return settings


def _broker_urls(bootstrap_servers: str) -> list[URL]:
    try:
        return [URL(f"kafka://{server.strip()}") for server in bootstrap_servers.split(",")]
    except ValueError as error:
        fault = ConfigFault("kafka.bootstrap_servers", str(error), "give host:port, several with commas between")
        raise ConfigError([fault]) from None
