"""The monitor's memory of one (model version, segment): its panes, and which of its windows were published when."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from pipeline.core.accumulate.counts import Counts
from pipeline.core.events import Group, Json
from pipeline.core.families import FAMILIES, State
from pipeline.core.window import WindowSize
from pipeline.processors.partials import COUNTS, FROM_WIRE

Pane = dict[str, State]
ZERO = {COUNTS: Counts, **{family.name: family.zero for family in FAMILIES}}
"""How to make each family's empty state."""


@dataclass(slots=True)
class PublishedWindow:
    """One window of one track.

    Attributes:
        revision: the number of its last publication; -1 before the first.
        events: predictions and labels that were in it when it was last published.
    """

    revision: int = -1
    events: int = 0


@dataclass(slots=True)
class Track:
    """One (model version, segment).

    Attributes:
        group: the model version.
        segment: the segment, ``""`` for everything.
        panes: pane start to the states by family.
        windows: the windows that are not final yet, by (size, start).
    """

    group: Group
    segment: str
    panes: dict[int, Pane] = field(default_factory=dict)
    windows: dict[tuple[WindowSize, int], PublishedWindow] = field(default_factory=dict)

    def merge_pane(self, start_ms: int, states: Mapping[str, State]) -> None:
        """Add states to a pane.

        Args:
            start_ms: the pane's start.
            states: by family; they may be kept, and must not be used again.
        """
        pane = self.panes.setdefault(start_ms, {})
        for name, state in states.items():
            if name in pane:
                pane[name].merge(state)
            else:
                pane[name] = state

    def merged(self, start_ms: int, size_ms: int, pane_ms: int, names: Collection[str] = ZERO.keys()) -> Pane:
        """A window's states: its panes' merged, families that nothing was counted in empty.

        Args:
            start_ms: the window's start.
            size_ms: its length.
            pane_ms: a pane's length.
            names: the families that are wanted.
        """
        whole: Pane = {name: ZERO[name]() for name in names}
        for pane in self._panes_of(start_ms, size_ms, pane_ms):
            for name, state in pane.items():
                if name in whole:
                    whole[name].merge(state)
        return whole

    def labelled(self, start_ms: int, size_ms: int, pane_ms: int) -> int:
        """How many labelled rows a window holds.

        Args:
            start_ms: the window's start.
            size_ms: its length.
            pane_ms: a pane's length.
        """
        counts = (pane.get(COUNTS) for pane in self._panes_of(start_ms, size_ms, pane_ms))
        return sum(one["labelled"] for one in counts if isinstance(one, Counts))

    def events(self, start_ms: int, size_ms: int, pane_ms: int) -> tuple[int, int]:
        """How much a window holds.

        Args:
            start_ms: the window's start.
            size_ms: its length.
            pane_ms: a pane's length.

        Returns:
            Predictions and labels counted so far, which only ever grows; and predictions alone.
        """
        events = predictions = 0
        for pane in self._panes_of(start_ms, size_ms, pane_ms):
            counts = pane.get(COUNTS)
            if isinstance(counts, Counts):
                predictions += counts["predictions"]
                events += counts["predictions"] + counts["labels"] + counts["duplicates"] + counts["unmatched_labels"]
        return events, predictions

    def _panes_of(self, start_ms: int, size_ms: int, pane_ms: int) -> Iterator[Pane]:
        for pane_start_ms in range(start_ms, start_ms + size_ms, pane_ms):
            pane = self.panes.get(pane_start_ms)
            if pane is not None:
                yield pane


def pane_from_json(value: Json) -> Pane:
    """Some of a pane's states.

    Args:
        value: family to its state on the wire.
    """
    return {name: FROM_WIRE[name](wire) for name, wire in value.items()}
