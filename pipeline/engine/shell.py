"""The transactional shell: consume, process, produce and commit, exactly once, for any processor.

One thread runs everything. A round is: consume a micro-batch, hand it to the partition tasks, and when the commit
interval has passed, write their outputs, their state changes and the input offsets in one transaction. State lives in
memory and is a function of the changelog; whatever goes wrong, the answer is to drop it and read it again.

Why a zombie can do no harm, and why a restore misses nothing. Say A owned partition p and B gets it.

1. B is assigned p in a new generation of the group. From then on the group coordinator refuses offsets that A sends
   with its old generation (KIP-447). Every transaction of ours carries offsets, so A cannot begin to commit any more.
2. A may have sent its offsets *before*: that transaction can still commit. So B asks for the committed offsets first,
   as a read_committed consumer, which the coordinator answers only when no offsets of p are pending in a transaction.
   From here on nothing of A's can change the offsets, and so nothing of A's can become committed at all.
3. Only then B asks where the changelog ends, open transactions counted in. What A committed was written before its
   commit began, so it lies before that end; what B reads up to there, with read_committed, is the state that belongs to
   the offsets of step 2. See ``ChangelogReader`` for reading "up to there".

The other order (state first, then offsets) would lose A's last transaction from the state but not from the offsets.
A restarted worker of the same name does the same; in addition ``init_transactions`` fences its predecessor's producer,
and the group coordinator refuses the predecessor's member id because the group instance id has a new owner.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from pipeline.config import Config
from pipeline.core.errors import FencedError, RetriableError, StartupError
from pipeline.core.events import Flush
from pipeline.engine.batches import record_batches, split_events
from pipeline.engine.changelog import ChangelogReader, end_offsets
from pipeline.engine.kafka import (
    CALL_TIMEOUT_S,
    admin_properties,
    check_topics,
    consumer_properties,
    kafka_error,
    log,
    partition_counts,
    reaction,
)
from pipeline.engine.status import Counters, RunnerStatus, State
from pipeline.engine.tables import TableReader
from pipeline.engine.transaction import Transactions
from pipeline.processors.processor import PartitionTask, Processor

POLL_S = 0.1  # the longest wait in one round: how soon a stop is noticed
BROKER_AWAY_LOG_S = 30.0
REJOIN_PAUSE_S = 1.0
# Two live workers of one name fence each other in turns; a lone zombie is fenced once.
FENCED_LIMIT, FENCED_WITHIN_S = 3, 60.0


def now_ms() -> int:
    """The wall clock, epoch milliseconds."""
    return time.time_ns() // 1_000_000


class ProcessorRunner:
    """Runs one processor until it is stopped.

    Args:
        processor: what to run.
        config: the configuration; ``worker.name`` must be this worker's alone.
        clock: the wall clock handed to the processor, epoch milliseconds.
        on_status: called from the runner's thread with each new status.
    """

    def __init__(
        self,
        processor: Processor,
        config: Config,
        *,
        clock: Callable[[], int] = now_ms,
        on_status: Callable[[RunnerStatus], None] | None = None,
    ) -> None:
        self._processor, self._config, self._clock, self._on_status = processor, config, clock, on_status
        self._engine, self._prefix = config.engine, config.kafka.topic_prefix
        self._changelog = f"{processor.name}-changelog"
        self._stop = threading.Event()
        self._status = RunnerStatus(processor.name)
        self._counters = Counters()
        self._fenced_at: deque[float] = deque(maxlen=FENCED_LIMIT)
        self._failures = 0  # transactions aborted in a row
        self._partitions: dict[str, int] = {}
        self._tables: TableReader | None = None
        self._forget()

    def _forget(self) -> None:
        """The state of a runner without partitions."""
        self._tasks: dict[int, PartitionTask] = {}
        self._assigned: list[tuple[str, int]] = []  # input topic (in the contract) and partition
        self._restored = False  # whether tasks and positions stand for what is assigned
        self._positions: dict[tuple[str, int], int] = {}
        self._at_end: dict[int, frozenset[str]] = {}
        self._paused: set[tuple[str, int]] = set()
        self._uncommitted = 0
        self._moved = False
        self._last_commit_s = time.monotonic()

    def run(self) -> None:
        """Run until ``stop``; blocks. Waits for a broker that is away, for ever.

        Raises:
            StartupError: the cluster or the configuration cannot serve; the message names the mend.
            Exception: whatever the processor raised; what was not committed is aborted and will be read again.
        """
        try:
            while not self._stop.is_set():
                try:
                    self._wait_for_topics()
                    self._membership()
                except FencedError as error:
                    self._note(error, "rejoining")
                    self._check_for_twin(error)
                except RetriableError as error:
                    self._note(error, "starting again with new clients")
                else:
                    continue
                self._count(rejoins=1)
                self._set_state("starting")
                self._stop.wait(REJOIN_PAUSE_S)
        except BaseException as error:
            self._note(error, "stopping for good")
            self._set_state("failed")
            raise
        finally:
            if self._tables:
                self._tables.close()
        self._set_state("stopped")

    def stop(self) -> None:
        """Ask the runner to commit what is open and end; returns at once, from any thread."""
        self._stop.set()

    def status(self) -> RunnerStatus:
        """The latest snapshot, from any thread."""
        return self._status

    # ---- starting ------------------------------------------------------------------------------------------------

    def _wait_for_topics(self) -> None:
        """Wait for the broker, check the topics, and read the tables to their end."""
        admin = AdminClient(admin_properties(self._config))
        logged_s = -BROKER_AWAY_LOG_S
        while not self._stop.is_set():
            try:
                topics = admin.list_topics(timeout=CALL_TIMEOUT_S).topics
                break
            except KafkaException as exception:
                error = reaction(kafka_error(exception), "asking the broker for its topics")
                if not isinstance(error, RetriableError):
                    raise error from exception
                self._note(error, "waiting", quiet=time.monotonic() - logged_s < BROKER_AWAY_LOG_S)
                if time.monotonic() - logged_s >= BROKER_AWAY_LOG_S:
                    logged_s = time.monotonic()
                self._stop.wait(POLL_S)
        else:
            return
        self._partitions = partition_counts(topics, self._prefix)
        check_topics(self._partitions, self._processor.inputs, self._processor.tables, self._changelog)
        self._admin = admin
        if self._processor.tables and self._tables is None:
            self._tables = TableReader(self._config, self._processor, self._partitions)
            self._tables.read_to_end(lambda: not self._stop.is_set())

    def _membership(self) -> None:
        """One life of the two clients: join the group, work, and close them however it ends."""
        if self._stop.is_set():
            return
        self._forget()
        self._transactions = Transactions(self._config, self._processor.name, self._stop.wait)
        self._transactions.start()  # before joining: whatever a predecessor of this name left open is settled now
        consumer = self._consumer = Consumer(consumer_properties(self._config, self._processor.name))
        try:
            consumer.subscribe(
                [self._config.kafka.topic(topic) for topic in self._processor.inputs],
                on_assign=self._on_assign,
                on_revoke=self._on_revoke,
                on_lost=self._on_lost,
            )
            self._work()
        except BaseException:
            self._abort_quietly()
            self._forget()
            raise
        finally:
            consumer.close()
            self._transactions.close()

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                if self._assigned and not self._restored:
                    self._restore()
                else:
                    self._round()
            except RetriableError as error:
                self._abort(error)
        self._set_state("stopping")
        try:
            self._commit()
        except RetriableError as error:
            self._note(error, "stopping without this commit; its input will be read again")
            self._abort_quietly()
        self._forget()  # closing the consumer revokes: nothing may be committed then

    # ---- the group -----------------------------------------------------------------------------------------------

    def _on_assign(self, consumer: Any, assigned: list[TopicPartition]) -> None:
        self._forget()
        self._count(rebalances=1)
        self._assigned = sorted((place.topic.removeprefix(self._prefix), place.partition) for place in assigned)
        # Nothing is fetched until the restore has found out where to start; the membership itself goes on.
        consumer.assign([])
        self._set_state("restoring" if assigned else "running")

    def _on_revoke(self, consumer: Any, _revoked: list[TopicPartition]) -> None:
        try:
            self._commit()
        except (RetriableError, FencedError) as error:
            self._note(error, "giving the partitions up without this commit")
            self._abort_quietly()
        self._forget()
        consumer.unassign()

    def _on_lost(self, consumer: Any, _lost: list[TopicPartition]) -> None:
        log.warning("%s: the group took the partitions away; dropping their state", self._processor.name)
        self._abort_quietly()
        self._forget()
        consumer.unassign()

    def _keep_membership(self) -> bool:
        """Serve the group while nothing is assigned to the consumer; false when the current restore has lost its sense."""
        assigned = self._assigned
        self._handle_events(split_events(self._consumer.consume(1, 0.0))[1])
        return self._assigned is assigned and not self._stop.is_set()

    # ---- restoring -----------------------------------------------------------------------------------------------

    def _restore(self) -> None:
        """Make the tasks of all assigned partitions; the order of the three questions is explained above."""
        self._set_state("restoring")
        partitions = sorted({partition for _, partition in self._assigned})
        inputs = [(topic, partition) for partition in partitions for topic in self._processor.inputs]
        known = self._partitions[self._changelog]
        if sorted(inputs) != self._assigned or partitions[-1] >= known:
            raise StartupError(
                f"{self._processor.name} was assigned {self._assigned} with {known} changelog partitions: "
                "partition counts have changed; stop the workers and make all counts equal"
            )
        committed = self._committed_offsets(inputs)
        if committed is None:
            return
        changelog = self._config.kafka.topic(self._changelog)
        ends = end_offsets(self._admin, [TopicPartition(changelog, p) for p in partitions])
        tasks = {p: self._processor.task(p, self._partitions) for p in partitions}
        counts = ChangelogReader(self._config, self._processor.name).restore(
            tasks, {p: ends[changelog, p] for p in partitions}, self._restoring
        )
        if counts is None:
            return
        positions = self._start_positions(inputs, committed, counts)
        if not self._keep_membership():
            return
        self._tasks, self._positions = tasks, positions
        self._at_end = dict.fromkeys(partitions, frozenset())
        self._count(restored_records=sum(counts.values()))
        self._consumer.assign(
            [TopicPartition(self._prefix + topic, p, offset) for (topic, p), offset in positions.items()]
        )
        self._restored = True
        self._set_state("running")
        log.info("%s: partitions %s restored from %d records", self._processor.name, partitions, sum(counts.values()))

    def _restoring(self, records: int, partitions_left: int) -> bool:
        self._status = replace(self._status, restore_records=records, restore_partitions_left=partitions_left)
        return self._keep_membership()

    def _committed_offsets(self, inputs: list[tuple[str, int]]) -> dict[tuple[str, int], int] | None:
        """The group's offsets once no transaction holds any of them open; None when the restore was overtaken."""
        asked = [TopicPartition(self._prefix + topic, partition) for topic, partition in inputs]
        deadline_s = time.monotonic() + 3 * self._engine.transaction_timeout / 1_000 + 60
        while self._keep_membership():
            try:
                # read_committed makes the coordinator answer "not stable yet" and librdkafka ask again until then.
                answer = self._consumer.committed(asked, timeout=1.0)
            except KafkaException as exception:
                error = kafka_error(exception)
                failure = reaction(error, "asking for committed offsets")
                if not isinstance(failure, RetriableError) or time.monotonic() > deadline_s:
                    raise failure from exception
                self._stop.wait(POLL_S)
            else:
                for place in answer:
                    if place.error:
                        raise reaction(place.error, f"asking for the committed offset of {place.topic}")
                return {(place.topic.removeprefix(self._prefix), place.partition): place.offset for place in answer}
        return None

    def _start_positions(
        self, inputs: list[tuple[str, int]], committed: dict[tuple[str, int], int], restored: dict[int, int]
    ) -> dict[tuple[str, int], int]:
        """Where to read on: the committed offset, or the log's beginning for an input that was never committed."""
        fresh = [place for place in inputs if committed[place] < 0]
        for _, partition in fresh:
            if restored[partition] and all(committed[topic, partition] < 0 for topic in self._processor.inputs):
                raise StartupError(
                    f"partition {partition} of {self._changelog} holds state but the consumer group has no offsets "
                    "(expired or deleted): reading from the beginning would count twice; set the group's offsets to "
                    f"where it stopped, or delete {self._changelog} and run `driftline topics create` to start anew"
                )
        if not fresh:
            return committed
        places = [TopicPartition(self._prefix + topic, partition) for topic, partition in fresh]
        starts = end_offsets(self._admin, places, OffsetSpec.earliest())
        return committed | {(topic, p): starts[self._prefix + topic, p] for topic, p in fresh}

    # ---- working -------------------------------------------------------------------------------------------------

    def _round(self) -> None:
        """Consume, process, and commit when it is time."""
        due_s = self._last_commit_s + self._engine.commit_interval_ms / 1_000
        wait_s = min(max(due_s - time.monotonic(), 0.0), POLL_S)
        records, events = split_events(self._consumer.consume(self._engine.batch_events, wait_s))
        if self._restored:
            self._process(records)
        # else a rebalance came with this batch: its records will be read again from the committed offsets.
        self._handle_events(events)
        if self._tables:
            self._tables.poll()
        if not self._tasks:
            return
        if time.monotonic() >= due_s or self._uncommitted >= self._engine.max_uncommitted_events:
            self._commit()
        self._apply_back_pressure()

    def _process(self, records: list[Any]) -> None:
        now = self._clock()
        for batch in record_batches(records, self._prefix):
            place = (batch.topic, batch.partition)
            self._tasks[batch.partition].process(batch, now)
            self._positions[place] = batch.offsets[-1] + 1
            self._at_end[batch.partition] -= {batch.topic}
            self._uncommitted += len(batch)
        if records:
            self._moved = True
            self._count(records=len(records))

    def _handle_events(self, events: list[Any]) -> None:
        for event in events:
            error = event.error()
            place = (str(event.topic()).removeprefix(self._prefix), int(event.partition() or 0))
            if error.code() == error._PARTITION_EOF:  # noqa: SLF001 - librdkafka's name for it
                offset = int(event.offset() or 0)
                # The end lies behind the last record by the transaction markers in between.
                if self._restored and offset >= self._positions.get(place, offset + 1):
                    self._positions[place] = offset
                    self._at_end[place[1]] |= {place[0]}
                continue
            failure = reaction(error, f"consuming {place[0]}")
            if not isinstance(failure, RetriableError):
                raise failure
            self._note(failure, "librdkafka tries again")

    def _apply_back_pressure(self) -> None:
        """Pause and resume as the tasks ask. librdkafka drops what it had fetched ahead, so this should be rare."""
        wanted = {
            (topic, partition)
            for partition, task in self._tasks.items()
            for topic in task.paused(self._at_end[partition])
        }
        if wanted == self._paused:
            return
        pause, resume = wanted - self._paused, self._paused - wanted
        for topic, partition in pause:
            self._at_end[partition] -= {topic}  # unknown while nothing is fetched; said again after the resume
        self._consumer.pause([TopicPartition(self._prefix + topic, partition) for topic, partition in pause])
        self._consumer.resume([TopicPartition(self._prefix + topic, partition) for topic, partition in resume])
        self._paused = wanted

    def _commit(self) -> None:
        """Write what the tasks hand over and the offsets in one transaction, if there is anything to write."""
        self._last_commit_s = time.monotonic()
        now = self._clock()
        flushes: dict[int, Flush] = {p: task.flush(now, self._at_end[p]) for p, task in self._tasks.items()}
        outputs = [record for flush in flushes.values() for record in flush.outputs]
        changes = [(self._changelog, p, key, value) for p, flush in flushes.items() for key, value in flush.changelog]
        if outputs or changes or self._moved:
            offsets = [TopicPartition(self._prefix + topic, p, at) for (topic, p), at in self._positions.items()]
            self._transactions.commit(changes, outputs, offsets, self._consumer.consumer_group_metadata())
            self._moved, self._uncommitted, self._failures = False, 0, 0
            self._count(
                commits=1,
                outputs=len(outputs),
                dead_letters=sum(record.topic == "dead-letters" for record in outputs),
                changelog_records=len(changes),
            )
            self._status = replace(self._status, last_commit_ms=now)
        self._publish()

    # ---- when things go wrong ------------------------------------------------------------------------------------

    def _abort(self, error: RetriableError) -> None:
        """Abort, drop all state and read it again; after too many failures in a row give up the clients as well."""
        self._failures += 1
        if self._failures > self._engine.max_retries:
            self._failures = 0
            raise error
        self._note(error, "aborting; state will be restored")
        self._transactions.abort()
        self._count(aborts=1)
        assigned = self._assigned
        self._forget()
        self._assigned = list(assigned)
        self._consumer.assign([])
        self._stop.wait(min(0.05 * 2**self._failures, 2.0))

    def _abort_quietly(self) -> None:
        """Abort where nothing more can be done about a failure: the transaction's timeout or a successor ends it."""
        try:
            self._transactions.abort()
        except (RetriableError, FencedError, StartupError) as error:
            log.info("%s: %s", self._processor.name, error)

    def _check_for_twin(self, error: FencedError) -> None:
        self._fenced_at.append(time.monotonic())
        if len(self._fenced_at) == FENCED_LIMIT and self._fenced_at[-1] - self._fenced_at[0] < FENCED_WITHIN_S:
            raise StartupError(
                f"fenced {FENCED_LIMIT} times within {FENCED_WITHIN_S:.0f} s: two workers share the name "
                f"{self._config.worker.name!r}; give each its own worker.name (if there is only one, its commits outlast "
                "engine.transaction_timeout: raise that)"
            ) from error

    # ---- telling -------------------------------------------------------------------------------------------------

    def _note(self, error: BaseException, reaction_taken: str, *, quiet: bool = False) -> None:
        text = f"{error or type(error).__name__}; {reaction_taken}"
        self._status = replace(self._status, last_error=text)
        if not quiet:
            log.warning("%s: %s", self._processor.name, text)

    def _count(self, **more: int) -> None:
        self._counters = replace(
            self._counters, **{name: getattr(self._counters, name) + n for name, n in more.items()}
        )

    def _set_state(self, state: State) -> None:
        self._status = replace(self._status, state=state, restore_records=0, restore_partitions_left=0)
        self._publish()

    def _publish(self) -> None:
        lag = {}
        for (topic, partition), at in self._positions.items():
            end = self._consumer.get_watermark_offsets(TopicPartition(self._prefix + topic, partition), cached=True)[1]
            if end >= 0:
                lag[f"{topic}-{partition}"] = 0 if topic in self._at_end[partition] else max(0, end - at)
        self._status = replace(
            self._status,
            partitions=tuple(sorted(self._tasks)),
            lag=lag,
            at_end=tuple(f"{topic}-{p}" for p, topics in self._at_end.items() for topic in sorted(topics)),
            paused=tuple(f"{topic}-{p}" for topic, p in sorted(self._paused)),
            counters=self._counters,
            tasks={p: dict(task.stats()) for p, task in self._tasks.items()},
        )
        if self._on_status:
            self._on_status(self._status)
