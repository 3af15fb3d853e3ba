"""One transaction a commit: outputs, state changes and input offsets become visible together or not at all."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from confluent_kafka import KafkaException, TopicPartition

from pipeline.config import Config
from pipeline.core.errors import RetriableError
from pipeline.core.events import OutputRecord
from pipeline.engine.failpoints import reach
from pipeline.engine.kafka import CALL_TIMEOUT_S, kafka_error, log, producer_properties, reaction
from pipeline.engine.outside import HungError, Outside

_T = TypeVar("_T")
_MAX_BACKOFF_S = 2.0
_HUNG_S = 2 * CALL_TIMEOUT_S
"""When a call that was to end after ``CALL_TIMEOUT_S`` is given up."""


class Transactions:
    """The transactional producer of one processor.

    Args:
        config: the configuration.
        processor: the processor's name, part of the transactional id.
        wait: sleeps for some seconds; true when the runner was asked to stop meanwhile.
        outside: makes the producer, and calls it.
    """

    def __init__(self, config: Config, processor: str, wait: Callable[[float], bool], outside: Outside) -> None:
        self._prefix = config.kafka.topic_prefix
        self._max_retries = config.engine.max_retries
        self._wait = wait
        self._call_within = outside.call_within
        self._producer = outside.producer(producer_properties(config, processor))
        self._open = False
        self._hung = False

    def start(self) -> None:
        """Fence every older producer of this name: its open transaction is aborted, its prepared one completed.

        Raises:
            RetriableError: the broker did not answer in time.
            FencedError: a younger producer of this name did the same to us.
            StartupError: the broker refuses.
        """
        self._call("opening the transactional producer", self._producer.init_transactions)

    def commit(
        self,
        changelog: Iterable[tuple[str, int, bytes, bytes | None]],
        outputs: Iterable[OutputRecord],
        offsets: Sequence[TopicPartition],
        group: Any,
    ) -> None:
        """Write everything in one transaction.

        Args:
            changelog: topic, partition, key and value of each state change.
            outputs: the records for the output topics.
            offsets: the next offset to read of each input partition; never empty, because the group coordinator checks
                our generation when it takes them, and that check is what keeps a zombie from committing.
            group: the consumer's group metadata.

        Raises:
            RetriableError: nothing was committed; ``abort`` must follow.
            FencedError: another worker took over; this producer is of no more use.
            StartupError: the broker refuses for a reason that only a person can mend.
        """
        if not offsets:
            raise ValueError("a transaction without offsets would not be checked against the group's generation")
        reach("before_produce")
        produce = self._producer.produce
        self._open = True
        try:
            self._producer.begin_transaction()
        except KafkaException as exception:
            raise reaction(kafka_error(exception), "beginning a transaction") from exception
        for topic, partition, key, value in changelog:
            self._produce(produce, self._prefix + topic, value, key, partition)
        for record in outputs:
            extra: dict[str, Any] = {}
            if record.schema is not None:
                extra["headers"] = [("schema", record.schema.encode())]
            self._produce(produce, self._prefix + record.topic, record.value, record.key, record.partition, **extra)
        reach("before_send_offsets")
        self._call("sending offsets", self._producer.send_offsets_to_transaction, offsets, group)
        reach("before_commit")
        self._call("committing", self._producer.commit_transaction)
        self._open = False
        reach("after_commit")

    def abort(self) -> None:
        """Abort the open transaction, if there is one.

        Raises:
            RetriableError: the broker did not answer, or an earlier call hangs: throw this producer away.
            FencedError: the same, because it was fenced.
            StartupError: the broker refuses.
        """
        if self._hung:
            raise RetriableError("the transactional producer hangs and cannot abort; a new one will fence it")
        if self._open:
            self._call("aborting", self._producer.abort_transaction)
            self._open = False

    def give_up(self) -> None:
        """Leave a commit that goes on in another thread to itself; this producer is of no more use after that.

        Whether it still succeeds is the broker's to say: it refuses the offsets of a generation that is over, and who
        follows waits until a transaction that has them is settled.
        """
        self._hung = True

    @property
    def is_given_up(self) -> bool:
        """Whether a new producer must take over."""
        return self._hung

    def close(self) -> None:
        """Drop what is unsent. An open transaction is aborted by the next ``start`` or by its timeout."""
        if not self._hung:
            self._producer.purge()

    def _produce(
        self,
        produce: Callable[..., None],
        topic: str,
        value: bytes | None,
        key: bytes | None,
        partition: int | None,
        **extra: Any,
    ) -> None:
        if partition is not None:
            extra["partition"] = partition
        while True:
            try:
                produce(topic, value, key, **extra)
            except BufferError:
                # The queue is full: let librdkafka send. A broker that stays away ends this through message timeouts.
                self._producer.poll(0.1)
            except KafkaException as exception:
                size = len(value or b"") + len(key or b"")
                raise reaction(kafka_error(exception), f"producing {size:,} bytes to {topic!r}") from exception
            else:
                return

    def _call(self, doing: str, function: Callable[..., _T], *args: Any) -> _T:
        """Call the broker; try again while librdkafka says that helps, up to the configured number of times."""
        attempt = 0
        while True:
            try:
                return self._bounded(doing, function, *args)
            except KafkaException as exception:
                error = kafka_error(exception)
                attempt += 1
                if not error.retriable() or attempt > self._max_retries:
                    raise reaction(error, doing) from exception
                log.warning("%s: %s, trying again (%d of %d)", doing, error.str(), attempt, self._max_retries)
                if self._wait(min(0.05 * 2**attempt, _MAX_BACKOFF_S)):
                    raise reaction(error, doing) from exception

    def _bounded(self, doing: str, function: Callable[..., _T], *args: Any) -> _T:
        """Call the broker in a way that can be given up.

        librdkafka's ``send_offsets_to_transaction`` does not keep its timeout, and after a broker's restart may never
        return (confluentinc/librdkafka issues 5456 and 5511). The producer left behind is harmless: the next one of
        its name fences it.
        """
        try:
            result: _T = self._call_within(_HUNG_S, doing, lambda: function(*args, CALL_TIMEOUT_S))
        except HungError:
            self._hung = True
            text = f"{doing}: no answer and no timeout within {_HUNG_S:.0f} s; starting a new producer"
            raise RetriableError(text) from None
        return result
