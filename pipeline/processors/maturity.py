"""The monitor's memory of how labels came in windows that are final, and what it says of those that are not.

Of each kind of window (model version, segment, size) the last few final ones by their starts are remembered. A window
is judged by those of them that began at most ``reach_ms`` before it: what is kept longer changes nothing, so when
exactly it is forgotten does not, either, and final windows say the same in every run.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import orjson

from pipeline.core.accumulate.confusion import Confusion
from pipeline.core.accumulate.counts import Counts
from pipeline.core.accumulate.delays import Delays
from pipeline.core.accumulate.past_labels import PastLabels
from pipeline.core.events import Group, Json, Task
from pipeline.core.family import State
from pipeline.core.metrics.corrected import report_corrected
from pipeline.core.metrics.intervals import normal_deviate
from pipeline.core.metrics.maturity import Age, MaturitySettings, class_shares, report_maturity
from pipeline.core.window import WindowSize, parse_window
from pipeline.processors.partials import COUNTS

KIND = "past"
"""The first element of the changelog's keys: ``past, model, version, task, segment, window, start``."""

Kind: TypeAlias = tuple[Group, str, WindowSize]
"""Model version, segment and size: windows whose labels come alike."""


class PastWindows:
    """The final windows that are remembered, of all kinds of one monitor partition.

    Args:
        settings: how many of a kind speak.
        sizes: the windows.
        horizon_ms: how long after its prediction a label may come.
    """

    def __init__(self, settings: MaturitySettings, sizes: Sequence[WindowSize], horizon_ms: int) -> None:
        self._settings = settings
        self._sizes = sizes
        self._horizon_ms = horizon_ms
        self._windows: dict[Kind, dict[int, PastLabels]] = {}
        self._sums: dict[Kind, tuple[int, PastLabels]] = {}  # with the first window that is in it
        self._ageing: list[tuple[int, int, Kind, int]] = []
        self._order = 0  # breaks ties in the heap, so that kinds are never compared
        self._changes: dict[bytes, bytes | None] = {}

    def reach_ms(self, size: WindowSize) -> int:
        """How long before a window another one may have begun that still speaks for it.

        Args:
            size: their size.
        """
        return 2 * (self._horizon_ms + self._settings.windows * size.size_ms)

    def before(self, kind: Kind, start_ms: int) -> PastLabels:
        """What past windows say of one that began later.

        Args:
            kind: its kind.
            start_ms: its start.

        Returns:
            Their sum; it must not be changed.
        """
        speaking = [past_ms for past_ms in self._windows.get(kind, ()) if past_ms >= start_ms - self.reach_ms(kind[2])]
        if not speaking:
            return PastLabels()
        first_ms = min(speaking)
        if kind not in self._sums or self._sums[kind][0] != first_ms:
            whole = PastLabels()
            for past_ms in speaking:
                whole.merge(self._windows[kind][past_ms])
            self._sums[kind] = first_ms, whole
        return self._sums[kind][1]

    def add(self, kind: Kind, start_ms: int, pane: Mapping[str, State]) -> None:
        """Remember a window that has become final.

        Args:
            kind: its kind.
            start_ms: its start, after those of all that are remembered.
            pane: its merged states.
        """
        counts, delays = pane[COUNTS], pane["delays"]
        assert isinstance(counts, Counts)  # noqa: S101 - the registry made them
        assert isinstance(delays, Delays)  # noqa: S101 - as above
        if counts["predictions"]:
            past = PastLabels.of_window(counts["predictions"], delays)
            self._keep(kind, start_ms, past)
            self._changes[_key(kind, start_ms)] = orjson.dumps(past.to_wire())
            self._forget_beyond(kind)

    def drop_old(self, final_ms: int) -> None:
        """Forget the windows that can speak for no other any more.

        Args:
            final_ms: the watermark by which windows become final.
        """
        while self._ageing and self._ageing[0][0] <= final_ms:
            _, _, kind, start_ms = heapq.heappop(self._ageing)
            if start_ms in self._windows.get(kind, ()):
                self._forget(kind, start_ms)

    def changelog(self) -> Iterator[tuple[bytes, bytes | None]]:
        """The entries for what changed since the last call."""
        changes, self._changes = self._changes, {}
        yield from changes.items()

    def restore(self, name: Sequence[Json], value: bytes | None) -> None:
        """Apply one changelog entry.

        Args:
            name: the rest of the entry's key.
            value: the entry's value.
        """
        model, version, task, segment, window, start_ms = name
        kind = (Group(model, version, Task(task)), segment, parse_window(window))
        if value is not None:
            self._windows.setdefault(kind, {})[start_ms] = PastLabels.from_wire(orjson.loads(value))
        elif start_ms in self._windows.get(kind, ()):
            del self._windows[kind][start_ms]

    def finish_restore(self) -> None:
        """Forget what is not configured any more; called once, before the first record."""
        restored, self._windows = self._windows, {}
        for kind, windows in restored.items():
            for start_ms, past in windows.items():
                self._keep(kind, start_ms, past)
            if windows and kind[2] not in self._sizes:
                for start_ms in list(windows):
                    self._forget(kind, start_ms)
            self._forget_beyond(kind)

    def _keep(self, kind: Kind, start_ms: int, past: PastLabels) -> None:
        self._windows.setdefault(kind, {})[start_ms] = past
        self._sums.pop(kind, None)
        self._order += 1
        old_ms = start_ms + self.reach_ms(kind[2]) + kind[2].size_ms + self._horizon_ms
        heapq.heappush(self._ageing, (old_ms, self._order, kind, start_ms))

    def _forget_beyond(self, kind: Kind) -> None:
        windows = self._windows.get(kind, {})
        for start_ms in sorted(windows)[: -self._settings.windows]:
            self._forget(kind, start_ms)

    def _forget(self, kind: Kind, start_ms: int) -> None:
        del self._windows[kind][start_ms]
        if not self._windows[kind]:
            del self._windows[kind]
        self._sums.pop(kind, None)
        self._changes[_key(kind, start_ms)] = None


def add_maturity(
    event: dict[str, Any], pane: Mapping[str, State], past: PastLabels, age: Age, settings: MaturitySettings
) -> None:
    """Say in an event how far its labels have come, and what those still to come would change.

    Args:
        event: the window's event; changed in place.
        pane: the window's merged states.
        past: what past windows of its kind say.
        age: when the window is looked at.
        settings: the floor below which nothing is corrected, and the confidence of intervals.
    """
    values, reasons = report_maturity(past, age)
    confusion = pane["confusion"]
    assert isinstance(confusion, Confusion)  # noqa: S101 - the registry made it
    task = Task[event["task"].upper()]
    z = normal_deviate(settings.interval_level)
    corrected, why = report_corrected(confusion, task, class_shares(past, age), settings.min_share, z)
    event |= values
    if corrected:
        event["quality"]["corrected"] = corrected
    event["reasons"] |= reasons | why


def _key(kind: Kind, start_ms: int) -> bytes:
    group, segment, size = kind
    return orjson.dumps([KIND, group.model, group.model_version, group.task.value, segment, str(size), start_ms])
