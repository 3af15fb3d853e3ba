"""One partition as a broker keeps it: records and markers, the last stable offset, compaction."""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.audit.rows import Record

Headers = list[tuple[str, bytes | None]] | None


@dataclass(eq=False)
class Span:
    """What one transaction wrote to one partition; its marker decides."""

    first: int
    state: str = "open"  # then: committed, aborted


@dataclass(slots=True, eq=False)
class Entry:
    """A record; without a span it was written outside any transaction."""

    record: Record
    span: Span | None
    written_s: float


@dataclass(eq=False)
class Partition:
    """A log. Markers take an offset and hold nothing; compaction leaves gaps; offsets never come twice."""

    topic: str
    number: int
    entries: list[Entry] = field(default_factory=list)
    end: int = 0
    open: list[Span] = field(default_factory=list)
    on_change: list[Callable[[], None]] = field(default_factory=list)

    @property
    def stable(self) -> int:
        """The last stable offset: readers of committed records get no further."""
        return min((span.first for span in self.open), default=self.end)

    def append(self, key: bytes | None, value: bytes | None, headers: Headers, span: Span | None, now_s: float) -> None:
        self.entries.append(Entry(Record(self.end, key, value, headers), span, now_s))
        self.end += 1
        self._changed()

    def begin(self) -> Span:
        """A transaction's first record is about to come."""
        span = Span(self.end)
        self.open.append(span)
        return span

    def mark(self, span: Span, *, committed: bool) -> None:
        """A transaction's marker."""
        span.state = "committed" if committed else "aborted"
        self.open.remove(span)
        self.end += 1
        self._changed()

    def committed(self) -> Iterator[Entry]:
        """What a reader of committed records sees of the whole log."""
        stable = self.stable
        for entry in self.entries:
            if entry.record.offset < stable and (entry.span is None or entry.span.state == "committed"):
                yield entry

    def read(self, position: int, most: int) -> tuple[list[Record], int]:
        """Committed records from a position on, and the position behind what was passed."""
        stable = self.stable
        records: list[Record] = []
        index = bisect_left(self.entries, position, key=lambda entry: entry.record.offset)
        while index < len(self.entries) and len(records) < most:
            entry = self.entries[index]
            if entry.record.offset >= stable:
                break
            if entry.span is None or entry.span.state == "committed":
                records.append(entry.record)
            index += 1
        at_end = index == len(self.entries) or self.entries[index].record.offset >= stable
        return records, max(position, stable) if at_end else self.entries[index].record.offset

    def compact(self, upto: int, now_s: float, keep_tombstones_s: float) -> None:
        """Drop what is superseded before an offset: of each key the last committed record stays."""
        upto = min(upto, self.stable)
        last = {
            entry.record.key: entry.record.offset
            for entry in self.entries
            if entry.record.offset < upto and (entry.span is None or entry.span.state == "committed")
        }

        def stays(entry: Entry) -> bool:
            record = entry.record
            if record.offset >= upto:
                return True
            if last.get(record.key) != record.offset:
                return False
            return record.value is not None or entry.written_s + keep_tombstones_s > now_s

        self.entries = [entry for entry in self.entries if stays(entry)]

    def _changed(self) -> None:
        for call in list(self.on_change):
            call()
