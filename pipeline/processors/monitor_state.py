"""What a monitor partition remembers, and its changelog. Keys are JSON arrays whose first element is the kind.

===================================================  ==========================================================
changelog key                                        value
===================================================  ==========================================================
pane, model, version, task, segment, start           the pane's states by family; deleted when no window needs it
window, model, version, task, segment, window,       ``[revision, events]`` of the last publication; deleted when
start                                                the window is final
host, host, start                                    the pane's readings by metric; deleted when closed
progress, partition                                  the last progress of a joiner partition
reference, model, version, part                      a piece of the profile of a model version
model, model, version                                the last ``model.v1`` event of a version
rule, … and triggered, …                             see ``alerting``
===================================================  ==========================================================
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence

import orjson

from pipeline.core.accumulate.hosts import Readings
from pipeline.core.events import Group, Json, Task
from pipeline.core.families import State
from pipeline.core.profile_parts import ProfileParts
from pipeline.core.reference import ReferenceProfile
from pipeline.core.watermark import NEVER
from pipeline.core.window import WindowSize, parse_window
from pipeline.processors.alerting import Alerting
from pipeline.processors.hosts import HostPanes
from pipeline.processors.monitor_config import MonitorSettings
from pipeline.processors.partials import Progress
from pipeline.processors.tracks import PublishedWindow, Track, pane_from_json, pane_to_json

TrackKey = tuple[Group, str]
WindowKey = tuple[TrackKey, WindowSize, int]


class MonitorState:
    """The state of one partition: a function of its changelog."""

    def __init__(self, settings: MonitorSettings) -> None:
        self._settings = settings
        self.tracks: dict[TrackKey, Track] = {}
        self.alerting = Alerting(settings.rules)
        self.hosts = HostPanes(settings.sizes, settings.pane_ms)
        self._progress: dict[int, Progress] = {}
        self._references: dict[tuple[str, str], ReferenceProfile] = {}
        self._profiles = ProfileParts()
        self._models: dict[tuple[str, str], Json] = {}
        # Windows by the moment at which they close, and at which they become final.
        self._closing: list[tuple[int, int, WindowKey]] = []
        self._ending: list[tuple[int, int, WindowKey]] = []
        self._order = 0  # breaks ties in the heaps, so that keys are never compared
        self._touched: set[WindowKey] = set()
        self._old_panes: list[tuple[int, int, TrackKey, int]] = []
        self._changes: dict[bytes, bytes | None] = {}
        self._changed_panes: set[tuple[TrackKey, int]] = set()

    # --- taking in -----------------------------------------------------------------------------------------------

    def merge_cell(self, key: TrackKey, start_ms: int, states: Mapping[str, State]) -> bool:
        """Merge states into a pane.

        Args:
            key: the track.
            start_ms: the pane's start.
            states: by family.

        Returns:
            False when every window that the pane belongs to is final: nothing was merged.
        """
        open_windows = list(self._windows_over(start_ms))
        if not open_windows:
            return False
        track = self.tracks.get(key)
        if track is None:
            track = self.tracks[key] = Track(*key)
        if start_ms not in track.panes:
            self._expect_old_pane(key, start_ms)
        track.merge_pane(start_ms, states)
        self._changed_panes.add((key, start_ms))
        for size, window_ms in open_windows:
            if (size, window_ms) not in track.windows:
                self._open_window(key, size, window_ms, PublishedWindow())
            self._touched.add((key, size, window_ms))
        return True

    def merge_host(self, host: str, start_ms: int, readings: Mapping[str, Readings]) -> None:
        """Merge a host's readings into a pane."""
        self.hosts.merge(host, start_ms, readings)

    def set_progress(self, progress: Progress) -> None:
        """Take in how far a joiner partition has come."""
        self._progress[progress.partition] = progress
        value = [getattr(progress, name) for name in Progress.__slots__]
        self._changes[orjson.dumps(["progress", progress.partition])] = orjson.dumps(value)

    def set_reference(self, model: str, model_version: str, piece: Json) -> None:
        """Take in a piece of the profile that a version's bins are folded against from now on.

        Args:
            model: the model.
            model_version: its version.
            piece: see ``profile_parts``.

        Raises:
            ValueError: not a piece of a profile; KeyError and TypeError mean the same.
        """
        profile = self._profiles.add(model, model_version, piece)
        if profile is not None:
            self._references[model, model_version] = profile
        self._changes[orjson.dumps(["reference", model, model_version, piece["part"]])] = orjson.dumps(piece)

    def set_model(self, event: Json) -> None:
        """Take in a ``model.v1`` event."""
        name = (event["model"], event["model_version"])
        self._models[name] = event
        self._changes[orjson.dumps(["model", *name])] = orjson.dumps(event)

    # --- asking --------------------------------------------------------------------------------------------------

    def reference(self, group: Group) -> ReferenceProfile | None:
        """The profile of a model version."""
        return self._references.get((group.model, group.model_version))

    def reference_metrics(self, group: Group) -> Json:
        """What a version scored on its test data, by section: ``{"quality": {metric: value}}``."""
        model = self._models.get((group.model, group.model_version), {})
        return {"quality": (model.get("metrics") or {}).get("test") or {}}

    def stats(self) -> Mapping[str, float]:
        """The size of the state."""
        return {
            "tracks": len(self.tracks),
            "panes": sum(len(track.panes) for track in self.tracks.values()),
            "open_windows": sum(len(track.windows) for track in self.tracks.values()),
        }

    def _least(self, name: str) -> int:
        """A watermark over all joiner partitions; before every event until each of them has spoken."""
        known = self._progress.values()
        if not known or len(known) < next(iter(known)).partitions:
            return NEVER
        return int(min(getattr(progress, name) for progress in known))

    def due(self) -> Iterator[tuple[TrackKey, WindowSize, int, bool]]:
        """The windows to publish now, earliest first: just closed, matured, or final (then True)."""
        closed_ms, final_ms = self._least("predictions_ms"), self._least("final_ms")
        due: dict[WindowKey, bool] = {}
        while self._closing and self._closing[0][0] <= closed_ms:
            due[heapq.heappop(self._closing)[2]] = False
        waiting = set()
        for key in self._touched:
            if self._published_before(key):
                if self._matured(key):
                    due[key] = False
                else:
                    waiting.add(key)
        # What is not published yet comes up through the heap; what has not matured is looked at again.
        self._touched = waiting
        while self._ending and self._ending[0][0] <= final_ms:
            due[heapq.heappop(self._ending)[2]] = True
        for track_key, size, start_ms in sorted(due, key=lambda key: (key[2] + key[1].size_ms, key[2])):
            if (size, start_ms) in self.tracks[track_key].windows:
                yield track_key, size, start_ms, due[track_key, size, start_ms]

    def published(self, key: TrackKey, size: WindowSize, start_ms: int, *, final: bool) -> None:
        """Remember that a window was published; a final one is done with.

        Args:
            key: the track.
            size: the window's size.
            start_ms: its start.
            final: whether it was final.
        """
        window = self.tracks[key].windows[size, start_ms]
        value = None if final else orjson.dumps([window.revision, window.events])
        self._changes[self._window_name(key, size, start_ms)] = value
        if final:
            del self.tracks[key].windows[size, start_ms]
            self._touched.discard((key, size, start_ms))

    def due_hosts(self) -> Iterator[tuple[str, WindowSize, int, dict[str, Json]]]:
        """The host windows that have closed: host, size, start, metrics."""
        return self.hosts.due(self._least("resources_ms"))

    def drop_old(self) -> None:
        """Forget panes whose windows are all final."""
        final_ms = self._least("final_ms")
        while self._old_panes and self._old_panes[0][0] <= final_ms:
            _, _, key, start_ms = heapq.heappop(self._old_panes)
            self._changed_panes.discard((key, start_ms))
            self._changes[self._pane_name(key, start_ms)] = None
            track = self.tracks[key]
            del track.panes[start_ms]
            if not track.panes:
                del self.tracks[key]
        self.hosts.drop_old(self._least("resources_ms"))

    # --- changelog -----------------------------------------------------------------------------------------------

    def changelog(self) -> Iterator[tuple[bytes, bytes | None]]:
        """The entries for what changed since the last call."""
        for key, start_ms in self._changed_panes:
            pane = self.tracks[key].panes[start_ms]
            yield self._pane_name(key, start_ms), orjson.dumps(pane_to_json(pane))
        yield from self._changes.items()
        yield from self.hosts.changelog()
        yield from self.alerting.changelog()
        self._changed_panes, self._changes = set(), {}

    def restore(self, entries: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Apply changelog entries in log order.

        Args:
            entries: key and value; a None value deletes the key.
        """
        for key, value in entries:
            kind, *name = orjson.loads(key)
            if kind == "host":
                self.hosts.restore(name, value)
            elif kind in ("pane", "window"):
                self._restore_window(kind, name, value)
            elif value is not None:
                self._restore_fact(kind, name, orjson.loads(value))

    def finish_restore(self) -> None:
        """Rebuild what follows from the panes; called once, before the first record."""
        self.hosts.finish_restore(self._least("resources_ms"))
        for key, track in list(self.tracks.items()):
            if not track.panes:
                del self.tracks[key]
                continue
            for start_ms in track.panes:
                self._expect_old_pane(key, start_ms)
                for size, window_ms in self._windows_over(start_ms):
                    if (size, window_ms) not in track.windows:
                        track.windows[size, window_ms] = PublishedWindow()
            for (size, window_ms), window in list(track.windows.items()):
                self._open_window(key, size, window_ms, window)
                self._touched.add((key, size, window_ms))

    def _restore_window(self, kind: str, name: Sequence[Json], value: bytes | None) -> None:
        model, version, task, segment, *rest = name
        key = (Group(model, version, Task(task)), segment)
        track = self.tracks.setdefault(key, Track(*key))
        if kind == "pane":
            if value is None:
                track.panes.pop(rest[0], None)
            else:
                track.panes[rest[0]] = pane_from_json(orjson.loads(value))
            return
        size = parse_window(rest[0])
        if value is None or size not in self._settings.sizes:  # a size that is not configured any more
            track.windows.pop((size, rest[1]), None)
        else:
            track.windows[size, rest[1]] = PublishedWindow(*orjson.loads(value))

    def _restore_fact(self, kind: str, name: Sequence[Json], value: Json) -> None:
        if kind == "progress":
            self._progress[name[0]] = Progress(*value)
        elif kind == "reference":
            profile = self._profiles.add(name[0], name[1], value)
            if profile is not None:
                self._references[name[0], name[1]] = profile
        elif kind == "model":
            self._models[name[0], name[1]] = value
        else:
            self.alerting.restore(kind, name, value)

    # --- windows -------------------------------------------------------------------------------------------------

    def _windows_over(self, pane_start_ms: int) -> Iterator[tuple[WindowSize, int]]:
        """The windows that hold a pane and are not final."""
        final_ms = self._least("final_ms")
        for size in self._settings.sizes:
            for start_ms in size.starts_covering(pane_start_ms):
                if start_ms + size.size_ms + self._settings.horizon_ms > final_ms:
                    yield size, start_ms

    def _open_window(self, key: TrackKey, size: WindowSize, start_ms: int, window: PublishedWindow) -> None:
        self.tracks[key].windows[size, start_ms] = window
        end_ms = start_ms + size.size_ms
        name = (key, size, start_ms)
        self._order += 1
        if window.revision < 0:
            heapq.heappush(self._closing, (end_ms, self._order, name))
        heapq.heappush(self._ending, (end_ms + self._settings.horizon_ms, self._order, name))

    def _expect_old_pane(self, key: TrackKey, start_ms: int) -> None:
        self._order += 1
        old_ms = start_ms + self._settings.longest_ms + self._settings.horizon_ms
        heapq.heappush(self._old_panes, (old_ms, self._order, key, start_ms))

    def _published_before(self, key: WindowKey) -> bool:
        window = self.tracks[key[0]].windows.get((key[1], key[2]))
        return window is not None and window.revision >= 0

    def _matured(self, key: WindowKey) -> bool:
        track_key, size, start_ms = key
        track = self.tracks[track_key]
        events, predictions = track.events(start_ms, size.size_ms, self._settings.pane_ms)
        step = max(1.0, self._settings.revision_step * predictions)
        return events - track.windows[size, start_ms].events >= step

    def _pane_name(self, key: TrackKey, start_ms: int) -> bytes:
        return orjson.dumps(["pane", *_track_name(key), start_ms])

    def _window_name(self, key: TrackKey, size: WindowSize, start_ms: int) -> bytes:
        return orjson.dumps(["window", *_track_name(key), str(size), start_ms])


def _track_name(key: TrackKey) -> list[Json]:
    group, segment = key
    return [group.model, group.model_version, group.task.value, segment]
