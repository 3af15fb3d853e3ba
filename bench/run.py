"""What one run of one thing showed."""

from dataclasses import dataclass

FLOOR = "floor"
JOB = "driftline"
KAFKA_STREAMS = "Kafka Streams"


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement of one thing.

    Attributes:
        what: a name for people; the same in each round.
        layout: ``single`` or ``columns``.
        events: predictions and labels taken in while the clock ran.
        wall_s: from the first commit to the last; of the floor, from the first record to the last.
        cpu_s: CPU time of all its processes and threads in that time.
        peak_rss_mb: the most resident memory since it started, its processes added up; 0 where not measured.
        windows: windows that were held against the truth.
        wrong_windows: of these missing or different.
    """

    what: str
    layout: str
    events: int
    wall_s: float
    cpu_s: float
    peak_rss_mb: float = 0.0
    windows: int = 0
    wrong_windows: int = 0

    @property
    def events_per_s(self) -> float:
        return self.events / self.wall_s

    @property
    def cpu_us(self) -> float:
        return self.cpu_s * 1e6 / self.events
