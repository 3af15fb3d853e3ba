"""Records that Kafka cannot take now wait on disk, and go in their order when it can."""

import logging
import sqlite3
from collections.abc import Callable
from time import monotonic

from pipeline.publishing.columns import Stream
from pipeline.publishing.delivery import Delivery, Flight
from pipeline.publishing.encoder import Encoder, Record
from pipeline.publishing.lane import Lane
from pipeline.publishing.outbox import QUEUE_FULL_POLL_S, Mark, SpoolCounts
from pipeline.publishing.partitions import Partitions
from pipeline.publishing.spool_file import ID_STEP, SpoolFile, Stored, is_error
from pipeline.publishing.spool_folder import SpoolFolder

logger = logging.getLogger("pipeline.publisher")

AWAY_AFTER_S = 1.0
"""Kafka is away when it has not answered for so long."""

_GATHERED_BYTES = 1 << 20  # so much may wait for the next write to the disk
_WRITE_BYTES = 8 << 20  # one transaction: a fork waits for its end
_IN_FLIGHT_BYTES = 32 << 20  # of a stream, where more is read from disk: half of what Kafka's client takes
_READ_RECORDS = 32
_RECORD_OVERHEAD_BYTES = 4_096  # at most: key and columns, and what a value leaves empty of its last page
_AFTER_FAULT_S = 1.0
_SCAN_EVERY_S = 10.0


class SpooledOutbox:
    """To Kafka while it answers, else to a file, and from there to Kafka before anything newer of the same stream.

    A record is written to disk when Kafka has not answered for ``AWAY_AFTER_S``, when its client's queue is full, or
    when older ones of its stream are still on disk. It is deleted after Kafka's answer: a crash between the two repeats
    it. When the file is full, or the disk, records wait in memory, so that the buffer fills and the newest rows are
    dropped there; nothing that is on disk ever makes room. An empty file is removed, and then those that dead
    publishers left are taken over, one at a time.

    Args:
        delivery: Kafka's client.
        folder: where the files lie.
        max_bytes: how much the file may take.
        partitions: how many partitions the topics have.
        encoder: places records anew whose topic has other partitions than when they were made.
        release: told how many rows the buffer need not hold any more; a negative number takes them back.
    """

    def __init__(
        self,
        delivery: Delivery,
        folder: SpoolFolder,
        max_bytes: int,
        partitions: Partitions,
        encoder: Encoder,
        release: Callable[[int], None],
    ) -> None:
        self._delivery = delivery
        self._folder = folder
        self._max_bytes = max_bytes
        self._partitions = partitions
        self._encoder = encoder
        self._release = release
        self._lanes: dict[Stream, Lane] = {}
        self._file: SpoolFile | None = None
        self._answered: set[int] = set()  # ids of records that need not be on disk any more
        self._next_id = 0
        self._has_returned = False  # something pending was on its way already
        self._returned_below_id = 0  # what was written after it came back has ids below this
        self._disk_from_s = 0.0  # after a fault of the disk: when to try again
        self._scan_from_s = 0.0
        self._spooled_rows = 0
        self._replayed_rows = 0
        self._adopted_rows = 0
        self._lost_rows = 0
        self.trouble: str | None = None

    @property
    def counts(self) -> SpoolCounts:
        """What the disk has done."""
        file = self._file
        used = file.size_bytes if file else 0
        return SpoolCounts(self._spooled_rows, self._replayed_rows, self._adopted_rows, self._lost_rows, used)

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits here, in memory or on disk."""
        return self._file is None and not self._has_pending()

    def send(self, record: Record, give_up: Callable[[], bool]) -> bool:
        """Take a record over; waits while Kafka is away and the disk is full."""
        lane = self._lane(record.stream)
        lane.pending.append(record)
        lane.pending_bytes += len(record.value)
        self._forward(lane)
        while lane.pending_bytes > _GATHERED_BYTES:
            self._write()
            if lane.pending_bytes <= _GATHERED_BYTES:
                break
            if give_up():
                return False
            self._delivery.poll(QUEUE_FULL_POLL_S)
            self.tend()
        return True

    def tend(self) -> None:
        """Take in answers, replay, write what waits, delete what is answered."""
        self._take_answers()
        waiting = [lane.stream.topic for lane in self._lanes.values() if lane.unsent or lane.pending]
        self._partitions.learn(waiting, refresh=False)
        for lane in self._lanes.values():
            self._replay(lane)
            self._forward(lane)
        self._write()
        self._tidy()

    def mark(self) -> Mark | None:
        """What has been taken over so far; None while some of it waits in memory."""
        if self._has_pending():
            return None
        return Mark(self._delivery.last_number, self._next_id)

    def is_settled(self, mark: Mark) -> bool:
        """Whether everything before the mark has been answered by Kafka."""
        first = self._delivery.first_unanswered()
        if (first is not None and first <= mark.number) or self._has_pending():
            return False
        if self._file is None:
            return True
        try:
            oldest = self._file.first_id()
        except sqlite3.Error as error:
            self._fail(error)
            return False
        return oldest is None or oldest >= max(mark.spool_id, self._returned_below_id)

    def close(self) -> None:
        """Write what is not answered to disk, end the connection, and leave the file to the next publisher."""
        self._disk_from_s = 0.0
        self._take_answers()
        self._write(also_on_their_way=True)
        self._delivery.close()
        self._take_answers()
        self._write(also_on_their_way=True)
        self._scan_from_s = float("inf")
        self._tidy()
        if self._file is not None:
            try:
                self._file.close()
            except sqlite3.Error as error:
                self._fail(error)

    def abandon(self) -> None:
        """Let go of connection and file in a forked child: they are the parent's."""
        self._delivery.abandon()
        if self._file is not None:
            self._file.abandon()

    def _lane(self, stream: Stream) -> Lane:
        if stream not in self._lanes:
            self._lanes[stream] = Lane(stream)
        return self._lanes[stream]

    def _take_answers(self) -> None:
        returned: list[Flight] = []
        for flight in self._delivery.take_answers():
            lane = self._lane(flight.stream)
            lane.flying_bytes -= flight.size_bytes
            if flight.came_back:
                lane.hold_s = monotonic() + _AFTER_FAULT_S
            if flight.is_misplaced:
                self._partitions.forget(flight.stream.topic)
            if flight.spool_id is None:
                if flight.came_back:
                    returned.append(flight)
            elif flight.spool_id not in lane.flying:  # its file had to be set aside
                self._lost_rows += flight.rows if flight.came_back else 0
            else:
                lane.flying.discard(flight.spool_id)
                self._settle_spooled(lane, flight, flight.spool_id)
        for flight in reversed(returned):
            self._put_back(flight)

    def _settle_spooled(self, lane: Lane, flight: Flight, spool_id: int) -> None:
        if flight.came_back:
            lane.cursor = min(lane.cursor, spool_id - 1)
            lane.unsent += 1
            self._spooled_rows += flight.rows
        else:
            self._answered.add(spool_id)
            self._replayed_rows += flight.rows if flight.is_replayed else 0

    def _put_back(self, flight: Flight) -> None:
        if flight.record is not None:
            lane = self._lane(flight.stream)
            lane.pending.appendleft(flight.record)
            lane.pending_bytes += flight.size_bytes
            self._release(-flight.rows)
            self._has_returned = True

    def _forward(self, lane: Lane) -> None:
        """Send what is in memory, if nothing older is on disk and Kafka answers."""
        if not lane.pending or lane.unsent or self._delivery.waiting_s() > AWAY_AFTER_S or monotonic() < lane.hold_s:
            return
        count = self._partitions.known.get(lane.stream.topic)
        while lane.pending and count is not None:
            record = lane.pending[0]
            if record.place.partitions != count:
                self._place_first(lane, count)
                continue
            if not self._delivery.offer(record):
                return
            lane.pending.popleft()
            lane.pending_bytes -= len(record.value)
            lane.flying_bytes += len(record.value)
            self._release(record.rows)

    def _place_first(self, lane: Lane, count: int) -> None:
        record = lane.pending.popleft()
        placed = self._placed_anew(record, count)
        lane.pending.extendleft(reversed(placed))
        lane.pending_bytes += sum(len(new.value) for new in placed) - len(record.value)
        self._release(record.rows - sum(new.rows for new in placed))  # those that had to be rejected

    def _replay(self, lane: Lane) -> None:
        """Send what is on disk, as far as it may be on its way at once."""
        now_s = monotonic()
        count = self._partitions.known.get(lane.stream.topic)
        if self._file is None or count is None or now_s < max(lane.hold_s, self._disk_from_s):
            return
        try:
            while lane.unsent and lane.flying_bytes < _IN_FLIGHT_BYTES:
                found = self._file.read(lane.stream, lane.cursor, _READ_RECORDS)
                if not found or not self._send_stored(lane, self._file, found, count):
                    return
        except sqlite3.Error as error:
            self._fail(error)

    def _send_stored(self, lane: Lane, file: SpoolFile, found: list[Stored], count: int) -> bool:
        """Whether all of them are on their way, or were placed anew and must be read again."""
        unsent = [stored for stored in found if stored.id not in lane.flying and stored.id not in self._answered]
        misplaced = [stored for stored in unsent if stored.record.place.partitions != count]
        if misplaced:
            self._place_anew(lane, file, misplaced, count)
            return True
        for spool_id, record in unsent:
            if lane.flying_bytes >= _IN_FLIGHT_BYTES or not self._delivery.offer(record, spool_id):
                return False
            lane.cursor = spool_id
            lane.flying.add(spool_id)
            lane.flying_bytes += len(record.value)
            lane.unsent -= 1
            self._spooled_rows -= record.rows
        lane.cursor = found[-1].id
        return True

    def _place_anew(self, lane: Lane, file: SpoolFile, misplaced: list[Stored], count: int) -> None:
        changes = {stored.id: self._placed_anew(stored.record, count) for stored in misplaced}
        file.replace(changes)
        for spool_id, record in misplaced:
            lane.unsent += len(changes[spool_id]) - 1
            # Fewer than there were when some had to be rejected, or all were lost.
            self._spooled_rows += sum(new.rows for new in changes[spool_id]) - record.rows

    def _placed_anew(self, record: Record, count: int) -> list[Record]:
        try:
            return self._encoder.placed_anew(record, count)
        except Exception:
            # Whatever the disk made of it, what stands behind it must go on.
            logger.exception("a record of %d rows in the spool cannot be read and is lost", record.rows)
            self._lost_rows += record.rows
            return []

    def _write(self, *, also_on_their_way: bool = False) -> None:
        """Write to disk what waits in memory; before it what is on its way, if Kafka does not answer."""
        unanswered = self._delivery.first_unanswered() is not None
        away = (also_on_their_way and unanswered) or self._delivery.waiting_s() > AWAY_AFTER_S
        if monotonic() < self._disk_from_s or not (away or self._has_pending()):
            return
        try:
            while self._write_some():
                pass
        except sqlite3.Error as error:
            self._fail(error)

    def _write_some(self) -> bool:
        """Write what fits into one transaction; whether there is more."""
        flights = [flight for flight in self._delivery.flights() if flight.record is not None]
        pending = [record for lane in self._lanes.values() for record in lane.pending]
        waiting = [flight.record for flight in flights if flight.record is not None] + pending
        if not waiting:
            return False
        self._file = self._file or self._folder.make()
        chosen = self._fitting(waiting, self._max_bytes - self._file.size_bytes)
        self._file.append([Stored(self._next_id + at * ID_STEP, record) for at, record in enumerate(chosen)])
        for flight in flights[: len(chosen)]:
            flight.record, flight.spool_id = None, self._new_id()
            self._lane(flight.stream).flying.add(flight.spool_id)
        for record in chosen[len(flights) :]:
            lane = self._lane(record.stream)
            lane.pending.popleft()
            lane.pending_bytes -= len(record.value)
            lane.unsent += 1
            self._new_id()
            self._spooled_rows += record.rows
            self._release(record.rows)
        if not self._has_pending():
            self._returned_below_id = self._next_id if self._has_returned else self._returned_below_id
            self._has_returned = False
        used = f"{self._file.size_bytes} of {self._max_bytes} bytes"
        self.trouble = None if chosen else f"the spool is full: {used}"
        return 0 < len(chosen) < len(waiting)

    @staticmethod
    def _fitting(records: list[Record], room_bytes: int) -> list[Record]:
        """The first of the records: as many as there is room for, and as one transaction should have."""
        total = 0
        for at, record in enumerate(records):
            total += len(record.value) + _RECORD_OVERHEAD_BYTES
            if total > room_bytes or (at > 0 and total > _WRITE_BYTES):
                return records[:at]
        return records

    def _new_id(self) -> int:
        self._next_id += ID_STEP
        return self._next_id - ID_STEP

    def _has_pending(self) -> bool:
        return any(lane.pending for lane in self._lanes.values())

    def _tidy(self) -> None:
        """Delete what is answered: with the last of it the file, which makes room for that of a dead publisher."""
        now_s = monotonic()
        try:
            if self._file is None:
                if now_s >= self._scan_from_s and not self._has_pending():
                    self._scan_from_s = now_s + _SCAN_EVERY_S
                    self._adopt(self._folder.take_over())
            elif not any(lane.unsent or lane.flying for lane in self._lanes.values()):
                # Needs no room on a full disk, as deleting from it would.
                self._answered.clear()
                self.trouble = self.trouble if self._has_pending() else None
                file, self._file = self._file, None
                file.remove()
            elif self._answered and now_s >= self._disk_from_s:
                self._file.delete(self._answered)
                self._answered.clear()
        except sqlite3.Error as error:
            self._fail(error)

    def _adopt(self, file: SpoolFile | None) -> None:
        if file is None:
            return
        self._scan_from_s = 0.0  # there may be more
        self._file = file
        self._next_id = max(self._next_id, ((file.last_id() or 0) // ID_STEP + 1) * ID_STEP)
        found = file.held()
        for stream, held in found.items():
            lane = self._lane(stream)
            lane.cursor = -1
            lane.unsent = held.records
            self._spooled_rows += held.rows
            self._adopted_rows += held.rows
        rows = sum(held.rows for held in found.values())
        if rows:
            logger.info("took over %d rows that another publisher left in %s", rows, file.path)

    def _fail(self, error: sqlite3.Error) -> None:
        """Try again later; a file that cannot be read is lost, with what was in it alone."""
        self._disk_from_s = monotonic() + _AFTER_FAULT_S
        self.trouble = f"the spool is not usable: {error}"
        if self._file is None or not is_error(error, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return
        file, self._file = self._file, None
        logger.error("the spool cannot be read and is set aside: %s (%s)", file.set_aside(), error)
        self._lost_rows += self._spooled_rows
        self._spooled_rows = 0
        self._answered.clear()
        for lane in self._lanes.values():
            lane.unsent = 0
            lane.flying.clear()
