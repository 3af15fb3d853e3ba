"""The thread that takes rows from the buffer, has them encoded and sends them."""

import logging
from collections.abc import Iterable
from threading import Condition, Event, Lock, Thread, current_thread
from time import monotonic
from typing import TypedDict

from pipeline.publishing.buffer import RowBuffer
from pipeline.publishing.delivery import Delivery
from pipeline.publishing.encoder import Encoder, Entry
from pipeline.publishing.settings import PublisherSettings

logger = logging.getLogger("pipeline.publisher")

_IDLE_AFTER_S = 1.0  # so long after the last row the thread sleeps until it is roused
_IDLE_POLL_S = 1.0  # librdkafka's own events are served even then
_SHORTEST_PAUSE_S = 0.001
_HURRIED_PAUSE_S = 0.02
_METADATA_RETRY_S = 0.5
_METADATA_AGE_S = 60.0
_AFTER_FAULT_S = 1.0
_COMPLAINT_EVERY_S = 60.0
_ROUSING_RECORDS = 4  # so many records' worth of rows need not wait for ``linger_ms``
_JOIN_GRACE_S = 2.0


class PublisherStats(TypedDict):
    """What became of the rows so far; each is counted in exactly one of the first six.

    Attributes:
        queued: waiting to be sent.
        in_flight: sent, not answered yet.
        acknowledged: written by Kafka.
        failed: refused by Kafka, or unanswered when the publisher was closed.
        dropped: found the buffer full or the publisher closed, or was still queued when it was closed.
        rejected: could not be written as an event.
        sent: in_flight + acknowledged + failed.
        records: how many records carried the sent rows.
        last_error: the last error of Kafka or the connection; None while there was none.
        first_rejection: why the first rejected row was rejected; None while there was none.
    """

    queued: int
    in_flight: int
    acknowledged: int
    failed: int
    dropped: int
    rejected: int
    sent: int
    records: int
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

    def _begin(self) -> None:
        self._thread: Thread | None = None
        self._delivery: Delivery | None = None
        self._roused = Event()
        self._settled = Condition()
        self._flushes_asked = 0
        self._flushes_done = 0
        self._flush_marks: list[tuple[int, int]] = []  # (flush, the last record sent before it)
        self._deadline_s: float | None = None  # when a closing sender gives up
        self._all_settled = True
        self._active_s = 0.0
        self._partitions: dict[str, int] = {}
        self._partitions_asked_s: dict[str, float] = {}
        self._parked: dict[str, list[Entry]] = {}  # entries whose topic's partitions are not known yet
        self._rejected_lock = Lock()
        self._rejected_rows = 0
        self._first_rejection: str | None = None
        self._complained: dict[str, tuple[float, int]] = {}
        self._encoder = Encoder(self._settings.batch_rows, self._settings.record_bytes_max, self._reject)

    def after_fork_in_child(self) -> None:
        """Begin anew in a forked child: rows logged before the fork are the parent's to send."""
        if self._delivery is not None:
            self._delivery.abandon()
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
        delivery = self._delivery
        sent = delivery.sent_rows if delivery else 0
        acknowledged = delivery.acknowledged_rows if delivery else 0
        failed = delivery.failed_rows if delivery else 0
        return PublisherStats(
            queued=self.buffer.held_rows,
            in_flight=max(0, sent - acknowledged - failed),
            acknowledged=acknowledged,
            failed=failed,
            dropped=self.buffer.dropped_rows,
            rejected=self._rejected_rows,
            sent=sent,
            records=delivery.records if delivery else 0,
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
                if self._delivery is None:
                    self._delivery = Delivery(self._settings)
                self._pause(self._delivery)
                self._cycle(self._delivery)
                if self._is_over(self._delivery):
                    break
            except Exception:
                # Whatever it is, the serving process goes on and later rows get their chance.
                logger.exception("the publisher's thread met an unexpected error and goes on")
                if self._out_of_time():
                    break
                self._roused.wait(_AFTER_FAULT_S)
        self._all_settled = self._all_settled and self.buffer.held_rows == 0
        self.buffer.drop(self.buffer.held_rows)
        if self._delivery is not None:
            self._delivery.close()
        self._complain()
        with self._settled:
            self._flushes_done = self._flushes_asked
            self._settled.notify_all()

    def _is_over(self, delivery: Delivery) -> bool:
        if self._deadline_s is None:
            return False
        self._all_settled = self.buffer.held_rows == 0 and delivery.first_unanswered() is None
        return self._all_settled or self._out_of_time()

    def _out_of_time(self) -> bool:
        return self._deadline_s is not None and monotonic() >= self._deadline_s

    def _is_hurried(self) -> bool:
        return self._deadline_s is not None or self._flushes_asked > self._flushes_done

    def _pause(self, delivery: Delivery) -> None:
        """Wait for rows to gather, or for the first one after a quiet time, or for whoever cannot wait."""
        waiting_for_kafka = bool(self._parked) or delivery.first_unanswered() is not None
        quiet = monotonic() - self._active_s > _IDLE_AFTER_S
        if quiet and not waiting_for_kafka and not self._is_hurried() and self.buffer.doze():
            self._roused.wait(_IDLE_POLL_S)
        self._roused.clear()
        if not self._is_hurried():
            self._roused.wait(max(_SHORTEST_PAUSE_S, self._settings.linger_ms / 1_000))
        elif delivery.first_unanswered() is not None:
            delivery.poll(_HURRIED_PAUSE_S)
        elif self._parked:
            self._roused.wait(_HURRIED_PAUSE_S)

    def _cycle(self, delivery: Delivery) -> None:
        flush = self._flushes_asked  # before taking: what was logged before it was asked for is among the entries
        entries = self.buffer.take()
        if entries:
            self._active_s = monotonic()
            self._send(entries, delivery)
        self._learn_partitions(delivery)
        for topic in [topic for topic in self._parked if topic in self._partitions]:
            self._send(self._parked.pop(topic), delivery)
        delivery.poll(0)
        if flush > self._flushes_done and not self._parked:
            self._flush_marks.append((flush, delivery.last_number))
        self._settle_flushes(delivery)
        self._complain()

    def _send(self, entries: Iterable[Entry], delivery: Delivery) -> None:
        for record in self._encoder.records(entries, self._partitions, self._parked):
            if not delivery.send(record, self._out_of_time):
                return  # what is left is dropped, and counted, at the end
            self.buffer.release(record.rows)
            delivery.poll(0)

    def _reject(self, rows: int, why: str) -> None:
        self.count_rejected(rows, why)
        self.buffer.release(rows)

    def _learn_partitions(self, delivery: Delivery) -> None:
        now_s = monotonic()
        for topic in (*self._parked, *self._partitions):
            known = topic in self._partitions
            if known and self._active_s < now_s - _IDLE_AFTER_S:
                continue
            wait_s = _METADATA_AGE_S if known else _METADATA_RETRY_S
            if now_s < self._partitions_asked_s.get(topic, -wait_s) + wait_s:
                continue
            count = delivery.partition_count(topic)
            self._partitions_asked_s[topic] = monotonic()
            if count is not None:
                self._partitions[topic] = count

    def _settle_flushes(self, delivery: Delivery) -> None:
        first = delivery.first_unanswered()
        done = [flush for flush, number in self._flush_marks if first is None or first > number]
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

    def _complain_of(self, kind: str, count: int, text: str, *details: object) -> None:
        said_s, said = self._complained.get(kind, (-_COMPLAINT_EVERY_S, 0))
        now_s = monotonic()
        if count > said and now_s - said_s >= _COMPLAINT_EVERY_S:
            self._complained[kind] = (now_s, count)
            logger.warning(text, count, *details)
