"""Tumbling and hopping windows, and the panes they are merged from."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import gcd, lcm

from pipeline.core.durations import format_duration, parse_duration_ms

MAX_PANES_PER_WINDOW = 10_000


@dataclass(frozen=True, slots=True, order=True)
class WindowSize:
    """A window's length and how far apart windows start; equal for tumbling windows.

    Attributes:
        size_ms: the length, in milliseconds.
        slide_ms: the distance between starts, in milliseconds; at most ``size_ms``, which it need not divide.
    """

    size_ms: int
    slide_ms: int

    def __str__(self) -> str:
        size = format_duration(self.size_ms)
        return size if self.size_ms == self.slide_ms else f"{size}/{format_duration(self.slide_ms)}"

    def starts_covering(self, timestamp_ms: int) -> Iterator[int]:
        """The starts of all windows that contain a moment, earliest first.

        ::

            size 3, slide 1      |--0--|          timestamp 2 lies in the
                                   |--1--|        windows that start at
                                     |--2--|      0, 1 and 2
        """
        last = timestamp_ms - timestamp_ms % self.slide_ms
        first = last - (self.size_ms - 1 - (timestamp_ms - last)) // self.slide_ms * self.slide_ms
        return iter(range(first, last + 1, self.slide_ms))

    def is_disjoint(self, start_ms: int) -> bool:
        """Whether a window is one of those of which no two overlap.

        Args:
            start_ms: its start.
        """
        return start_ms % lcm(self.size_ms, self.slide_ms) == 0

    def last_end_ms(self, timestamp_ms: int) -> int:
        """When the last window that contains a moment ends.

        Args:
            timestamp_ms: the moment, epoch milliseconds.
        """
        return timestamp_ms - timestamp_ms % self.slide_ms + self.size_ms


def parse_window(text: str) -> WindowSize:
    """Read a window as people write it: ``1m`` (tumbling) or ``1h/5m`` (size/slide).

    Args:
        text: one duration, or two with a slash between them.

    Returns:
        The window size.

    Raises:
        ValueError: not a window, or the slide is longer than the size.
    """
    size_text, slash, slide_text = text.partition("/")
    size_ms = parse_duration_ms(size_text)
    slide_ms = parse_duration_ms(slide_text) if slash else size_ms
    if not 0 < slide_ms <= size_ms:
        raise ValueError(f"window {text!r}: the slide must be at least 1ms and at most the size")
    if size_ms // gcd(size_ms, slide_ms) > MAX_PANES_PER_WINDOW:
        raise ValueError(
            f"window {text!r} needs more than {MAX_PANES_PER_WINDOW} panes; choose a slide that divides the size"
        )
    return WindowSize(size_ms, slide_ms)


def pane_ms(sizes: Iterable[WindowSize]) -> int:
    """The pane length that all windows are merged from: the gcd of every size and slide.

    Args:
        sizes: the windows in use, at least one.

    Returns:
        The pane length in milliseconds.

    Raises:
        ValueError: a window would be merged from too many panes.
    """
    every = sorted(sizes)
    pane = gcd(*(length for size in every for length in (size.size_ms, size.slide_ms)))
    if every[-1].size_ms // pane > MAX_PANES_PER_WINDOW:
        names = ", ".join(map(str, reversed(every)))
        raise ValueError(
            f"windows {names} share only panes of {format_duration(pane)}, more than {MAX_PANES_PER_WINDOW} in the "
            "longest; choose sizes and slides that divide one another"
        )
    return pane
