"""The bounded buffer between the serving threads and the sending thread."""

from collections.abc import Callable
from threading import Condition, RLock
from time import monotonic
from typing import Generic, TypeVar

Entry = TypeVar("Entry")


class RowBuffer(Generic[Entry]):
    """Rows wait here until the sending thread has handed them to Kafka's client; a full buffer refuses.

    A row counts against the bound from ``put`` until ``release``, so the rows in the sender's hands are bounded too.

    Args:
        capacity_rows: how many rows may be held.
        block_timeout_s: how long ``put`` waits for room; 0 refuses at once.
        rouse_rows: so many new rows rouse the sender before its time.
        rouse: called, under the lock, when the sender should come now; it must be quick.
    """

    def __init__(self, capacity_rows: int, block_timeout_s: float, rouse_rows: int, rouse: Callable[[], None]) -> None:
        self._capacity_rows = capacity_rows
        self._block_timeout_s = block_timeout_s
        self._rouse_rows = rouse_rows
        self._rouse = rouse
        self.reset()

    def reset(self) -> None:
        """Begin anew, empty: also with locks of its own, for a forked child whose parent may have held the old ones."""
        # Reentrant: a signal handler may log while the thread it interrupts is inside ``put``.
        self._lock = RLock()
        self._room = Condition(self._lock)
        self._entries: list[Entry] = []
        self._new_rows = 0
        self._dormant = True
        self._waiters = 0
        self._closed = False
        self.held_rows = 0
        self.accepted_rows = 0
        self.dropped_rows = 0

    def put(self, entry: Entry, rows: int = 1, deadline_s: float | None = None) -> bool:
        """Take in an entry, or drop and count it.

        Args:
            entry: what to send.
            rows: how many rows it stands for.
            deadline_s: when to stop waiting for room, on the monotonic clock; None is ``deadline_s()`` of this moment.

        Returns:
            Whether it was taken in.
        """
        with self._lock:
            if (self.held_rows + rows > self._capacity_rows or self._closed) and not self._wait_for_room(
                rows, deadline_s
            ):
                self.dropped_rows += rows
                return False
            self._entries.append(entry)
            self.held_rows += rows
            self.accepted_rows += rows
            self._new_rows += rows
            if self._dormant or self._new_rows >= self._rouse_rows:
                self._dormant = False
                self._new_rows = 0
                self._rouse()
        return True

    def deadline_s(self) -> float:
        """When a call that begins now has waited its full time, on the monotonic clock."""
        return monotonic() + self._block_timeout_s

    def _wait_for_room(self, rows: int, deadline_s: float | None) -> bool:
        deadline_s = self.deadline_s() if deadline_s is None else deadline_s
        self._waiters += 1
        try:
            while not self._closed and self.held_rows + rows > self._capacity_rows:
                left_s = deadline_s - monotonic()
                if left_s <= 0:
                    return False
                self._rouse()
                self._room.wait(left_s)
        finally:
            self._waiters -= 1
        return not self._closed

    def take(self) -> list[Entry]:
        """Hand over every entry that came since the last call; they stay held until ``release``."""
        with self._lock:
            entries, self._entries = self._entries, []
            self._new_rows = 0
            return entries

    def release(self, rows: int) -> None:
        """Give back the room of rows that have left.

        Args:
            rows: how many.
        """
        with self._lock:
            self.held_rows -= rows
            if self._waiters:
                self._room.notify_all()

    def take_back(self, rows: int) -> None:
        """Count rows that were released as held again, whatever the bound: they are in the sender's hands.

        Args:
            rows: how many.
        """
        with self._lock:
            self.held_rows += rows

    def rouse(self) -> None:
        """Rouse the sender now."""
        with self._lock:
            self._dormant = False
            self._rouse()

    def drop(self, rows: int) -> None:
        """Count held rows as dropped and give back their room.

        Args:
            rows: how many.
        """
        with self._lock:
            self.dropped_rows += rows
            self.release(rows)

    def doze(self) -> bool:
        """Ask to be roused by the next row.

        Returns:
            False when there are entries already: the sender must not sleep.
        """
        with self._lock:
            self._dormant = not self._entries
            return self._dormant

    def close(self) -> None:
        """Refuse everything from now on; who waits for room is refused too."""
        with self._lock:
            self._closed = True
            self._room.notify_all()
