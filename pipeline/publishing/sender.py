"""The thread that takes rows from the buffer, has them encoded and sends them."""

import logging
from collections.abc import Iterable
from threading import Condition, Event, Lock, Thread, current_thread
from time import monotonic
from typing import TypedDict

from pipeline.publishing.buffer import RowBuffer
from pipeline.publishing.delivery import Delivery
from pipeline.publishing.encoder import Encoder, Entry
from pipeline.publishing.outbox import DirectOutbox, Mark, Outbox, SpoolCounts
from pipeline.publishing.partitions import Partitions
from pipeline.publishing.settings import PublisherSettings
from pipeline.publishing.spool_folder import SpoolFolder
from pipeline.publishing.spooled_outbox import AWAY_AFTER_S, SpooledOutbox

logger = logging.getLogger("pipeline.publisher")

_IDLE_AFTER_S = 1.0  # so long after the last row the thread sleeps until it is roused
_IDLE_POLL_S = 1.0  # librdkafka's own events are served even then
_SHORTEST_PAUSE_S = 0.001
_HURRIED_PAUSE_S = 0.02
_BACKLOG_PAUSE_S = 0.1
_AFTER_FAULT_S = 1.0
_COMPLAINT_EVERY_S = 60.0
_ROUSING_RECORDS = 4  # so many records' worth of rows need not wait for ``linger_ms``
_JOIN_GRACE_S = 2.0


class PublisherStats(TypedDict):
    """What became of the rows so far; each is counted in exactly one of the first seven.

    Attributes:
        queued: waiting in memory to be sent.
        spooled: waiting on disk to be sent; after ``close``, by the next publisher.
        in_flight: sent, not answered yet.
        acknowledged: written by Kafka.
        failed: refused by Kafka, unanswered when a publisher without ``spool_dir`` was closed, or lost on disk.
        dropped: found the buffer full or the publisher closed, or was still queued when it was closed.
        rejected: could not be written as an event.
        sent: in_flight + acknowledged + failed.
        records: how many records carried the sent rows.
        replayed: rows that went to Kafka from the disk and were answered.
        adopted: rows found in the spools of dead publishers; they count as if they had been logged here.
        spool_bytes: what this publisher's spool takes on disk.
        last_error: the last error of Kafka or the connection; None while there was none.
        first_rejection: why the first rejected row was rejected; None while there was none.
    """

    queued: int
    spooled: int
    in_flight: int
    acknowledged: int
    failed: int
    dropped: int
    rejected: int
    sent: int
    records: int
    replayed: int
    adopted: int
    spool_bytes: int
    last_error: str | None
    first_rejection: str | None


class Sender:
    """Owns the buffer, the connection, and the thread between them.

    The thread starts with the first row and makes the connection itself: a process that forks its workers before
    anything is logged has neither. One that forks later is seen to by ``after_fork_in_child``.

    Args:
        settings: how to buffer, batch and send.
    """

    def __init__(self, settings: PublisherSettings) -> None:
        self._settings = settings
        self.buffer: RowBuffer[Entry] = RowBuffer(
            settings.buffer_rows,
            settings.block_timeout_s if settings.on_overflow == "block" else 0.0,
            # A quarter of the buffer leaves time to send it before the rest is full.
            max(1, min(_ROUSING_RECORDS * settings.batch_rows, settings.buffer_rows // 4)),
            self._rouse,
        )
        self._begin()
        if settings.spool_dir and SpoolFolder(settings.spool_dir, settings.topic_prefix).has_files():
            self.buffer.rouse()  # a dead publisher's rows need not wait for the first of this one

    def _begin(self) -> None:
        self._thread: Thread | None = None
        self._delivery: Delivery | None = None
        self._outbox: Outbox | None = None
        self._roused = Event()
        self._settled = Condition()
        self._flushes_asked = 0
        self._flushes_done = 0
        self._flush_marks: list[tuple[int, Mark]] = []  # (flush, what was sent before it)
        self._deadline_s: float | None = None  # when a closing sender gives up
        self._all_settled = True
        self._active_s = 0.0
        self._parked: dict[str, list[Entry]] = {}  # entries whose topic's partitions are not known yet
        self._unreached: set[str] = set()  # topics that are taken to have one partition until Kafka is there
        self._rejected_lock = Lock()
        self._rejected_rows = 0
        self._first_rejection: str | None = None
        self._complained: dict[str, tuple[float, int]] = {}
        self._encoder = Encoder(self._settings.batch_rows, self._settings.record_bytes_max, self._reject)

    def after_fork_in_child(self) -> None:
        """Begin anew in a forked child: rows logged before the fork are the parent's to send."""
        if self._outbox is not None:
            self._outbox.abandon()
        self.buffer.reset()
        self._begin()

    @property
    def is_closing(self) -> bool:
        """Whether it was told to end."""
        return self._deadline_s is not None

    @property
    def is_running(self) -> bool:
        """Whether its thread lives."""
        return self._thread is not None and self._thread.is_alive()

    def stats(self) -> PublisherStats:
        """The counts at this moment."""
        delivery, outbox = self._delivery, self._outbox
        spool = outbox.counts if outbox else SpoolCounts()
        sent = delivery.sent_rows if delivery else 0
        acknowledged = delivery.acknowledged_rows if delivery else 0
        refused = delivery.failed_rows if delivery else 0
        return PublisherStats(
            queued=self.buffer.held_rows,
            spooled=spool.spooled_rows,
            in_flight=max(0, sent - acknowledged - refused),
            acknowledged=acknowledged,
            failed=refused + spool.lost_rows,
            dropped=self.buffer.dropped_rows,
            rejected=self._rejected_rows,
            sent=sent,
            records=delivery.records if delivery else 0,
            replayed=spool.replayed_rows,
            adopted=spool.adopted_rows,
            spool_bytes=spool.spool_bytes,
            last_error=delivery.last_error if delivery else None,
            first_rejection=self._first_rejection,
        )

    def count_rejected(self, rows: int, why: str) -> None:
        """Count rows that cannot be written as events.

        Args:
            rows: how many.
            why: for a person.
        """
        with self._rejected_lock:
            self._rejected_rows += rows
            self._first_rejection = self._first_rejection or why

    def flush(self, timeout_s: float) -> bool:
        """Send what is buffered now, and wait until Kafka has answered.

        Args:
            timeout_s: the longest wait.

        Returns:
            Whether every row logged before the call is settled: neither queued nor in flight.
        """
        with self._settled:
            if not self.is_running:
                return self.buffer.held_rows == 0
            self._flushes_asked += 1
            flush = self._flushes_asked
            self._roused.set()
            return self._settled.wait_for(lambda: self._flushes_done >= flush, timeout_s)

    def close(self, timeout_s: float) -> bool:
        """Flush, then end the thread and the connection; what is not answered by then is given up and counted.

        Args:
            timeout_s: how long to wait for Kafka.

        Returns:
            Whether every row was settled in time.
        """
        self.close_soon(timeout_s)
        thread = self._thread
        if thread is not None and thread is not current_thread():
            thread.join(timeout_s + _JOIN_GRACE_S)
            return self._all_settled and not thread.is_alive()
        return self._all_settled

    def close_soon(self, timeout_s: float) -> None:
        """Refuse further rows and let the thread end by itself, without waiting for it.

        Args:
            timeout_s: when it gives up; a later call can only bring this forward.
        """
        self.buffer.close()
        deadline_s = monotonic() + timeout_s
        self._deadline_s = deadline_s if self._deadline_s is None else min(self._deadline_s, deadline_s)
        self._roused.set()

    def _rouse(self) -> None:
        # Called under the buffer's lock: only one caller finds no thread.
        if self._thread is None:
            self._all_settled = False
            self._thread = Thread(target=self._run, name="driftline-publisher", daemon=True)
            self._thread.start()
        if not self._roused.is_set():
            self._roused.set()

    # From here on: the sender's own thread.

    def _run(self) -> None:
        while True:
            try:
                if self._delivery is None or self._outbox is None:
                    self._connect()
                    continue
                self._pause(self._delivery, self._outbox)
                self._cycle(self._delivery, self._outbox)
                if self._is_over(self._delivery, self._outbox):
                    break
            except Exception:
                # Whatever it is, the serving process goes on and later rows get their chance.
                logger.exception("the publisher's thread met an unexpected error and goes on")
                if self._out_of_time():
                    break
                self._roused.wait(_AFTER_FAULT_S)
        if self._outbox is not None:
            self._finish(self._outbox)
        self._all_settled = self._all_settled and self.buffer.held_rows == 0
        self.buffer.drop(self.buffer.held_rows)
        self._complain()
        with self._settled:
            self._flushes_done = self._flushes_asked
            self._settled.notify_all()

    def _connect(self) -> None:
        delivery = Delivery(self._settings)
        self._partitions = Partitions(delivery.partition_count, self._roused.set)
        if self._settings.spool_dir is None:
            self._outbox = DirectOutbox(delivery, self.buffer.release)
        else:
            self._outbox = SpooledOutbox(
                delivery,
                SpoolFolder(self._settings.spool_dir, self._settings.topic_prefix),
                self._settings.spool_max_bytes,
                self._partitions,
                Encoder(self._settings.batch_rows, self._settings.record_bytes_max, self.count_rejected),
                self.buffer.release,
            )
        self._delivery = delivery
        self._outbox.tend()  # a dead publisher's rows go first

    def _finish(self, outbox: Outbox) -> None:
        """At the end of its time, put what is left on disk, or give it up."""
        try:
            if self._settings.spool_dir is not None:
                self._unreached.update(topic for topic in self._parked if topic not in self._partitions.known)
                self._send(self.buffer.take(), outbox)
                self._unpark(outbox)
            outbox.close()
        except Exception:
            logger.exception("the publisher's thread met an unexpected error at its end")
            self._all_settled = False

    def _is_over(self, delivery: Delivery, outbox: Outbox) -> bool:
        if self._deadline_s is None:
            return False
        self._all_settled = self.buffer.held_rows == 0 and delivery.first_unanswered() is None and outbox.is_empty
        return self._all_settled or self._out_of_time()

    def _out_of_time(self) -> bool:
        return self._deadline_s is not None and monotonic() >= self._deadline_s

    def _is_hurried(self) -> bool:
        return self._deadline_s is not None or self._flushes_asked > self._flushes_done

    def _pause(self, delivery: Delivery, outbox: Outbox) -> None:
        """Wait for rows to gather, or for the first one after a quiet time, or for whoever cannot wait."""
        unanswered = delivery.first_unanswered() is not None
        waiting_for_kafka = bool(self._parked) or unanswered or not outbox.is_empty
        quiet = monotonic() - self._active_s > _IDLE_AFTER_S
        if quiet and not waiting_for_kafka and not self._is_hurried() and self.buffer.doze():
            self._roused.wait(_IDLE_POLL_S)
        self._roused.clear()
        if not self._is_hurried():
            self._roused.wait(self._linger_s(outbox, unanswered=unanswered))
        elif unanswered:
            delivery.poll(_HURRIED_PAUSE_S)
        elif waiting_for_kafka:
            self._roused.wait(_HURRIED_PAUSE_S)

    def _linger_s(self, outbox: Outbox, *, unanswered: bool) -> float:
        longest_s = self._settings.linger_ms / 1_000
        if not outbox.is_empty:
            longest_s = min(longest_s, _BACKLOG_PAUSE_S)
        elif self._settings.spool_dir and (unanswered or self._parked):
            longest_s = min(longest_s, AWAY_AFTER_S)  # to see that Kafka is away
        return max(_SHORTEST_PAUSE_S, longest_s)

    def _cycle(self, delivery: Delivery, outbox: Outbox) -> None:
        flush = self._flushes_asked  # before taking: what was logged before it was asked for is among the entries
        entries = self.buffer.take()
        if entries:
            self._active_s = monotonic()
            self._send(entries, outbox)
        self._learn_partitions()
        self._unpark(outbox)
        delivery.poll(0)
        outbox.tend()
        self._mark_flush(flush, outbox)
        self._settle_flushes(outbox)
        self._complain()

    def _send(self, entries: Iterable[Entry], outbox: Outbox) -> None:
        partitions = {**dict.fromkeys(self._unreached, 1), **self._partitions.known}
        for record in self._encoder.records(entries, partitions, self._parked):
            if not outbox.send(record, self._out_of_time):
                return  # what is left is dropped, and counted, at the end
            if self._delivery is not None:
                self._delivery.poll(0)

    def _reject(self, rows: int, why: str) -> None:
        self.count_rejected(rows, why)
        self.buffer.release(rows)

    def _learn_partitions(self) -> None:
        recently_active = monotonic() - self._active_s <= _IDLE_AFTER_S
        self._partitions.learn(self._parked, refresh=recently_active)
        self._unreached.difference_update(self._partitions.known)
        if self._settings.spool_dir is not None:
            # On disk they wait as they are, and are placed when Kafka is there.
            filling = 2 * self.buffer.held_rows > self._settings.buffer_rows
            away = (topic for topic in self._parked if filling or self._partitions.unknown_s(topic) > AWAY_AFTER_S)
            self._unreached.update(topic for topic in away if topic not in self._partitions.known)

    def _unpark(self, outbox: Outbox) -> None:
        for topic in [topic for topic in self._parked if topic in self._partitions.known or topic in self._unreached]:
            self._send(self._parked.pop(topic), outbox)

    def _mark_flush(self, flush: int, outbox: Outbox) -> None:
        marked = self._flush_marks[-1][0] if self._flush_marks else self._flushes_done
        mark = outbox.mark() if flush > marked and not self._parked else None
        if mark is not None:
            self._flush_marks.append((flush, mark))

    def _settle_flushes(self, outbox: Outbox) -> None:
        done = [flush for flush, mark in self._flush_marks if outbox.is_settled(mark)]
        if done:
            with self._settled:
                self._flushes_done = max(done)
                self._settled.notify_all()
            self._flush_marks = [mark for mark in self._flush_marks if mark[0] > self._flushes_done]

    def _complain(self) -> None:
        """Log what goes wrong, each kind at most once a minute, and never in the serving thread."""
        stats = self.stats()
        error, rejection = stats["last_error"], stats["first_rejection"]
        waiting = sum(len(entries) for entries in self._parked.values())
        self._complain_of("dropped", stats["dropped"], "%d rows dropped: the buffer was full or the publisher closed")
        self._complain_of("rejected", stats["rejected"], "%d rows rejected; the first: %s", rejection)
        self._complain_of("failed", stats["failed"], "%d rows failed; the last error: %s", error)
        if error is not None:
            self._complain_of("waiting", waiting, "%d entries wait for Kafka: %s", error)
            self._complain_of("spooled", stats["spooled"], "%d rows wait on disk for Kafka: %s", error)
        trouble = self._outbox.trouble if self._outbox else None
        self._complain_of("trouble", 0 if trouble is None else stats["queued"], "%d rows wait in memory: %s", trouble)

    def _complain_of(self, kind: str, count: int, text: str, *details: object) -> None:
        said_s, said = self._complained.get(kind, (-_COMPLAINT_EVERY_S, 0))
        now_s = monotonic()
        if count > said and now_s - said_s >= _COMPLAINT_EVERY_S:
            self._complained[kind] = (now_s, count)
            logger.warning(text, count, *details)
