"""The transactional shell: consume, process, produce and commit, exactly once, for any processor.

A round is: consume a micro-batch, hand it to the partition tasks, and when the commit interval has passed, write their
outputs, their state changes and the input offsets in one transaction. While Kafka takes a transaction the rounds go on,
but the next one begins only when it has ended. State lives in memory and is a function of the changelog; whatever goes
wrong, the answer is to drop it and read it again.

``ProcessorRunner`` reads top to bottom: starting, the group, working, what happens when things go wrong. Why a zombie
can do no harm and a restore misses nothing stands in ``pipeline.engine.restore``.
"""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from confluent_kafka import TopicPartition

from pipeline.config import Config
from pipeline.core.dead_letters import DeadLetterGuard
from pipeline.core.errors import FencedError, RetriableError
from pipeline.core.events import Flush
from pipeline.engine.batches import BatchSize, has_failed, record_batches, split_events
from pipeline.engine.commits import Commit, Commits
from pipeline.engine.failpoints import reach
from pipeline.engine.inputs import Inputs
from pipeline.engine.kafka import admin_properties, consumer_properties, log, reaction
from pipeline.engine.outside import REAL, Outside, leave_quietly, now_ms
from pipeline.engine.progress import RestoreProgress
from pipeline.engine.restore import Restorer
from pipeline.engine.schedule import Schedule
from pipeline.engine.startup import check_topics, wait_for_topics
from pipeline.engine.state_cache import StateCache
from pipeline.engine.status import RunnerStatus, StatusBoard, places
from pipeline.engine.tables import TableReader
from pipeline.engine.transaction import Transactions
from pipeline.engine.twins import TwinCheck
from pipeline.processors.processor import PartitionTask, Processor

POLL_S = 0.1  # the longest wait in one round: how soon a stop is noticed
UNDER_WAY_POLL_S = 0.01  # the same while a commit is due that must wait for the one under way
REJOIN_PAUSE_S = 1.0
# How long the ends that were seen are believed. A worker that stood still has not seen what came meanwhile: taking such
# a topic for quiet would let the clock close windows over records that lie there unread.
END_HOLDS_S = 1.0


class ProcessorRunner:
    """Runs one processor until it is stopped.

    Args:
        processor: what to run.
        config: the configuration; ``worker.name`` must be this worker's alone.
        clock: the wall clock handed to the processor, epoch milliseconds.
        on_status: called from the runner's thread with each new status.
        outside: Kafka's clients, waiting and a clock for durations.
    """

    def __init__(
        self,
        processor: Processor,
        config: Config,
        *,
        clock: Callable[[], int] = now_ms,
        on_status: Callable[[RunnerStatus], None] | None = None,
        outside: Outside = REAL,
    ) -> None:
        self._processor, self._config, self._clock, self._outside = processor, config, clock, outside
        self._engine, self._prefix = config.engine, config.kafka.topic_prefix
        self._changelog = f"{processor.name}-changelog"
        self._batch_size = BatchSize(config.engine.batch_events)
        self._stop = threading.Event()
        self._board = StatusBoard(processor.name, on_status)
        self._guard = DeadLetterGuard(self._engine.dead_letter_limit, self._engine.dead_letter_span)
        self._twins = TwinCheck(config.worker.name)
        self._failures = 0  # transactions aborted in a row
        self._published_s = 0.0
        self._tables: TableReader | None = None
        self._cache: StateCache | None = None  # of the changelogs of the tasks
        self._forget()

    def _forget(self) -> None:
        """The state of a runner without partitions."""
        if self._cache:
            self._cache.close()
        self._cache = None
        self._tasks: dict[int, PartitionTask] = {}
        self._assigned: list[tuple[str, int]] = []  # input topic (its name in the contract) and partition
        self._inputs: Inputs | None = None  # there once tasks and positions stand for what is assigned
        self._uncommitted = 0  # records processed since the last commit
        now_s = self._last_round_s = self._last_sign_s = self._outside.monotonic_s()
        self._schedule = Schedule(self._engine.commit_interval_ms / 1_000, now_s)

    def run(self) -> None:
        """Run until ``stop``; blocks. Waits for a broker that is away, for ever.

        Raises:
            StartupError: the cluster or the configuration cannot serve; the message names the mend.
            LimitError: too many dead letters.
            Exception: whatever the processor raised; what was not committed is aborted and will be read again.
        """
        try:
            while not self._stop.is_set():
                try:
                    if self._prepare():
                        self._membership()
                except FencedError as error:
                    self._board.note(error, "rejoining")
                    self._twins.fenced(self._outside.monotonic_s(), error)
                except RetriableError as error:
                    self._board.note(error, "starting again with new clients")
                else:
                    continue
                self._board.count(rejoins=1)
                self._board.enter("starting")
                self._wait(REJOIN_PAUSE_S)
        except BaseException as error:
            self._board.note(error, "stopping for good")
            self._board.enter("failed")
            raise
        finally:
            if self._tables:
                self._tables.close()
        self._board.enter("stopped")

    def stop(self) -> None:
        """Ask the runner to commit what is open and end; returns at once, from any thread."""
        self._stop.set()

    def status(self) -> RunnerStatus:
        """The latest snapshot, from any thread."""
        return self._board.now

    def silent_s(self) -> float:
        """How long its thread, or the transaction under way, has given no sign of life; from any thread."""
        return self._outside.monotonic_s() - self._last_sign_s

    def _wait(self, seconds: float) -> bool:
        """Sleep; true when the runner is asked to stop meanwhile."""
        return self._outside.wait(self._stop, seconds)

    # ---- starting ------------------------------------------------------------------------------------------------

    def _prepare(self) -> bool:
        """Wait for the broker, check the topics, read the tables to their end; false when stopped meanwhile."""
        outside = self._outside
        admin = outside.admin(admin_properties(self._config))
        note = partial(self._board.note, reaction_taken="waiting")
        counts = wait_for_topics(admin, self._prefix, self._wait, note, outside.monotonic_s)
        if counts is None:
            return False
        check_topics(counts, self._processor.inputs, self._processor.tables, self._changelog)
        self._restorer = Restorer(self._config, self._processor, admin, counts, self._wait, outside, self._clock)
        if self._processor.tables and self._tables is None:
            self._tables = TableReader(self._config, self._processor, counts, outside)
            self._tables.read_to_end(lambda: not self._stop.is_set())
        return not self._stop.is_set()

    def _membership(self) -> None:
        """One life of the two clients: join the group, work, and close them however it ends."""
        self._forget()
        name = self._processor.name
        transactions = Transactions(self._config, name, self._wait, self._outside)
        self._commits = Commits(name, transactions, self._outside, self._committed)
        transactions.start()  # before joining: whatever a predecessor of this name left open is settled now
        properties = consumer_properties(self._config, name)
        consumer = self._consumer = self._outside.consumer(properties)
        try:
            consumer.subscribe(
                [self._prefix + topic for topic in self._processor.inputs],
                on_assign=self._on_assign,
                on_revoke=self._on_revoke,
                on_lost=self._on_lost,
            )
            self._work()
            member_id = consumer.memberid()
        except BaseException:
            self._commits.abort_quietly(self._patience_s())
            self._forget()
            raise
        finally:
            consumer.close()
            transactions.close()
        leave_quietly(self._outside, self._config, name, member_id)

    def _work(self) -> None:
        while not self._stop.is_set():
            if self._commits.is_given_up:
                raise RetriableError("the transactional producer was given up")
            try:
                if self._assigned and not self._inputs:
                    self._restore()
                else:
                    self._round()
            except RetriableError as error:
                self._abort(error)
        self._board.enter("stopping")
        until_s = self._patience_s()
        if fault := self._commit_in_time(until_s):
            self._board.note(fault, "stopping without this commit; its input will be read again")
            self._commits.abort_quietly(until_s)
        elif self._cache:
            self._cache.catch_up()
        self._forget()  # closing the consumer revokes: nothing may be committed then

    # ---- the group (librdkafka calls back from within consume, in this thread) -----------------------------------

    def _on_assign(self, consumer: Any, assigned: list[TopicPartition]) -> None:
        self._forget()
        self._board.count(rebalances=1)
        self._assigned = sorted((place.topic.removeprefix(self._prefix), place.partition) for place in assigned)
        # Taken once an assignment: state of this generation must never be committed as that of another one. (Asked
        # later, librdkafka may tell of no generation at all after a session timeout: an empty group accepts that.)
        self._group = consumer.consumer_group_metadata()
        # Nothing is fetched until the restore has found out where to start; the membership itself goes on.
        consumer.assign([])
        self._board.enter("restoring" if assigned else "running")

    def _on_revoke(self, consumer: Any, _revoked: list[TopicPartition]) -> None:
        until_s = self._patience_s()
        if fault := self._commit_in_time(until_s, "in_revoke"):
            self._board.note(fault, "giving the partitions up without this commit")
            self._commits.abort_quietly(until_s)
        self._forget()
        consumer.unassign()

    def _on_lost(self, consumer: Any, _lost: list[TopicPartition]) -> None:
        log.warning("%s: the group took the partitions away; dropping their state", self._processor.name)
        reach("in_lost")
        self._commits.abort_quietly(self._patience_s())
        self._forget()
        consumer.unassign()

    def _restore(self) -> None:
        """Make the tasks of all assigned partitions and start fetching; serves the group meanwhile."""
        self._board.enter("restoring")
        assigned = self._assigned

        def keep_going(progress: RestoreProgress) -> bool:
            self._board.update(restore=progress)
            self._last_round_s = self._last_sign_s = self._outside.monotonic_s()
            self._handle_events(split_events(self._consumer.consume(1, 0.0))[1])
            return self._assigned is assigned and not self._stop.is_set()

        restored = self._restorer.restore(self._consumer, assigned, keep_going)
        if restored is None:
            return  # overtaken by another assignment, or by a stop
        self._tasks, self._cache = restored.tasks, restored.cache
        self._inputs = Inputs(self._consumer, self._prefix, restored.positions)
        self._inputs.begin()
        self._board.count(restored_records=restored.records)
        self._board.enter("running")
        self._publish()
        log.info("%s: restored %s from %d records", self._processor.name, sorted(self._tasks), restored.records)

    # ---- working -------------------------------------------------------------------------------------------------

    def _round(self) -> None:
        """Consume, process, and commit when it is time."""
        records, events = self._gather()
        reach("after_consume")
        if self._inputs:
            self._process(self._inputs, records)
            reach("after_process")
        # else a rebalance came with this batch: its records will be read again from the committed offsets.
        self._handle_events(events)
        if self._tables:
            self._tables.poll()
        if not self._tasks:
            return
        full = self._commit_when_due(self._schedule.due_s if records else self._schedule.soonest_s)
        if self._inputs:  # with too much uncommitted nothing is read, but the group is served
            self._inputs.apply_back_pressure(self._tasks, everything=full)

    def _gather(self) -> tuple[list[Any], list[Any]]:
        """Consume until a batch is full or a commit is due: a small batch costs almost as much as a large one."""
        records: list[Any] = []
        events: list[Any] = []
        assigned, wanted = self._assigned, self._batch_size.records
        while True:
            if self._inputs and not self._is_awake():
                self._inputs.doubt_ends()
            now_s = self._last_round_s = self._outside.monotonic_s()
            self._last_sign_s = self._commits.since_s or now_s
            left_s = (self._schedule.due_s if records else self._schedule.soonest_s) - now_s
            wait_s = min(max(left_s, 0.0), POLL_S) if self._tasks else POLL_S
            if self._commits.is_under_way:
                wait_s = max(wait_s, UNDER_WAY_POLL_S)
            more, said = split_events(self._consumer.consume(wanted - len(records), wait_s))
            records += more
            events += said
            if self._commits.has_ended:
                self._commits.settle()
                self._publish()
            is_due = left_s <= wait_s or len(records) >= wanted
            if is_due or not self._inputs or self._assigned is not assigned or self._stop.is_set() or has_failed(said):
                return records, events

    def _commit_when_due(self, due_s: float) -> bool:
        """Commit, if it is time and none is under way; tells whether too much waits for the one that is."""
        full = self._uncommitted >= self._engine.max_uncommitted_events
        if not full and self._outside.monotonic_s() < due_s:
            return False
        if self._commits.is_under_way:
            if self._outside.monotonic_s() - self._published_s > POLL_S:
                self._publish()  # whoever watches must see that this one takes long
            return full
        self._commit()
        return False

    def _process(self, inputs: Inputs, records: list[Any]) -> None:
        now = self._clock()
        batches = record_batches(records, self._prefix)
        self._batch_size.learn(batches)
        for batch in batches:
            self._tasks[batch.partition].process(batch, now)
            inputs.take(batch)
        self._uncommitted += len(records)
        self._board.count(records=len(records))

    def _handle_events(self, events: list[Any]) -> None:
        for event in events:
            error = event.error()
            place = (str(event.topic()).removeprefix(self._prefix), int(event.partition() or 0))
            if error.code() == error._PARTITION_EOF:  # noqa: SLF001 - librdkafka's name for it
                if self._inputs:
                    self._inputs.end(place, int(event.offset() or 0))
                continue
            failure = reaction(error, f"consuming {place[0]}")
            if not isinstance(failure, RetriableError):
                raise failure
            self._board.note(failure, "librdkafka tries again")

    def _is_awake(self) -> bool:
        return self._outside.monotonic_s() - self._last_round_s <= END_HOLDS_S

    def _commit(self) -> None:
        """Have what the tasks hand over and the offsets written in one transaction, if there is anything to write."""
        self._commits.settle()
        self._schedule.last_s = self._outside.monotonic_s()
        if not self._inputs:
            return
        now = self._clock()
        ends = self._inputs.at_end if self._is_awake() else dict.fromkeys(self._tasks, frozenset[str]())
        flushes: dict[int, Flush] = {p: task.flush(now, ends[p]) for p, task in self._tasks.items()}
        outputs = [record for flush in flushes.values() for record in flush.outputs]
        dead = sum(record.topic == "dead-letters" for record in outputs)
        self._guard.take(now, sum(flush.rows for flush in flushes.values()), dead)
        changes = [(self._changelog, p, key, value) for p, flush in flushes.items() for key, value in flush.changelog]
        if outputs or changes or self._uncommitted:
            counts = {"outputs": len(outputs), "dead_letters": dead, "changelog_records": len(changes)}
            inputs = self._inputs
            self._commits.begin(
                Commit(changes, outputs, inputs.offsets(), now, dict(inputs.positions), counts), self._group
            )
            self._uncommitted = 0
            self._schedule.took_s = self._outside.monotonic_s() - self._schedule.last_s
        self._publish()

    def _commit_in_time(self, until_s: float, failpoint: str = "") -> RetriableError | FencedError | None:
        """Commit what is open before the partitions are given up; tells what was in the way."""
        try:
            if failpoint:
                reach(failpoint)
            if self._commits.settle(until_s):
                self._commit()
            if self._commits.settle(until_s):
                return None
            return RetriableError(f"no commit within engine.revoke_timeout, {self._engine.revoke_timeout} ms")
        except (RetriableError, FencedError) as error:
            return error

    def _committed(self, commit: Commit) -> None:
        if self._inputs:
            self._inputs.committed = dict(commit.positions)
        if self._inputs and self._outside.monotonic_s() - self._schedule.last_s > END_HOLDS_S:
            self._inputs.doubt_ends()  # Kafka may have been away: the rounds meanwhile have seen nothing
        self._failures = 0
        self._board.count(commits=1, **commit.counts)
        self._board.update(last_commit_ms=commit.at_ms)

    def _publish(self) -> None:
        self._published_s = self._outside.monotonic_s()
        inputs = self._inputs or Inputs(self._consumer, self._prefix, {})
        self._board.publish(
            partitions=tuple(sorted(self._tasks)),
            **places(self._consumer, self._prefix, inputs.committed, inputs.committed_ends()),
            paused=tuple(f"{topic}-{p}" for topic, p in sorted(inputs.paused)),
            tasks={p: dict(task.stats()) for p, task in self._tasks.items()},
        )

    # ---- when things go wrong ------------------------------------------------------------------------------------

    def _abort(self, error: RetriableError) -> None:
        """Abort, drop all state and read it again; after too many failures in a row give up the clients as well."""
        self._failures += 1
        if self._failures > self._engine.max_retries:
            self._failures = 0
            raise error
        self._board.note(error, "aborting; state will be restored")
        reach("before_abort")
        self._commits.abort()
        self._board.count(aborts=1)
        assigned = self._assigned
        self._forget()
        self._assigned = list(assigned)
        self._consumer.assign([])
        self._wait(min(0.05 * 2**self._failures, 2.0))

    def _patience_s(self) -> float:
        """Until when others of the group may be kept waiting for what this worker still has to write."""
        return self._outside.monotonic_s() + self._engine.revoke_timeout / 1_000
