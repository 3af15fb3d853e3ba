"""What a monitor partition remembers, and its changelog. Keys are JSON arrays whose first element is the kind.

===================================================  ==========================================================
changelog key                                        value
===================================================  ==========================================================
pane, model, version, task, segment, start, side,    states of the pane by family; deleted when no window needs it.
piece                                                What labels change and what only predictions change are two sides
window, model, version, task, segment, window,       ``[revision, events]`` of the last publication; deleted when
start                                                the window is final
host, host, start, piece                             the pane's readings by metric; deleted when closed
progress, partition                                  the last progress of a joiner partition
reference, model, version, part                      a piece of the profile of a model version
model, model, version                                what the last ``model.v1`` event of a version says it scored
part, partition                                      there while only a part of a joiner partition's last cell has come
past, model, version, task, segment, window, start   how labels came in a final window; see ``maturity``
rule, … and triggered, …                             see ``alerting``
objective, …, ageing, …, calibration, …, errors, …   see ``objectives``, ``ageing``, ``calibrations``, ``past_errors``
===================================================  ==========================================================
"""

import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import orjson

from pipeline.core.accumulate.hosts import Readings
from pipeline.core.events import NO_SEGMENT, Group, Json, Task
from pipeline.core.families import FAMILIES, State
from pipeline.core.profile_parts import ProfileParts
from pipeline.core.reference import ReferenceProfile
from pipeline.core.watermark import NEVER
from pipeline.core.window import WindowSize, parse_window
from pipeline.processors.ageing import Ageing
from pipeline.processors.alerting import Alerting
from pipeline.processors.calibrations import Calibrations
from pipeline.processors.hosts import HostPanes
from pipeline.processors.maturity import PastWindows
from pipeline.processors.monitor_config import MonitorSettings
from pipeline.processors.objectives import Objectives
from pipeline.processors.partials import Progress
from pipeline.processors.past_errors import PastErrors
from pipeline.processors.pieces import PieceLog, pack_states
from pipeline.processors.tracks import PublishedWindow, Track, pane_from_json

ROW_SIDE, LABEL_SIDE = "rows", "labels"
_OF_ROWS = {family.name for family in FAMILIES if family.fold_predictions and not family.fold_labels}
# Labels trickle into thousands of panes for days: they must not rewrite what the predictions' features left there.

TrackKey = tuple[Group, str]
WindowKey = tuple[TrackKey, WindowSize, int]


class MonitorState:
    """The state of one partition: a function of its changelog."""

    def __init__(self, settings: MonitorSettings) -> None:
        self._settings = settings
        self.tracks: dict[TrackKey, Track] = {}
        self._segments: dict[Group, dict[str, Track]] = {}
        self.alerting = Alerting(settings.rules)
        self.objectives = Objectives(settings.objectives, settings.pane_ms, settings.horizon_ms, settings.longest_ms)
        self.ageing = Ageing(settings.tracked, settings.sizes)
        self.calibrations = Calibrations(settings.quality, settings.sizes)
        self.past_errors = PastErrors(settings.quality, settings.sizes)
        self.hosts = HostPanes(settings.sizes, settings.pane_ms)
        self.past = PastWindows(settings.maturity, settings.sizes, settings.horizon_ms)
        self._parts: dict[str, Objectives | Ageing | Calibrations | HostPanes | PastWindows | PastErrors] = {
            "objective": self.objectives, "ageing": self.ageing, "calibration": self.calibrations, "host": self.hosts,
            "past": self.past, "errors": self.past_errors,
        }  # fmt: skip
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
        self._changed_panes: set[tuple[TrackKey, int, str]] = set()
        self._log = PieceLog()
        self._parted: set[int] = set()
        self._least_ms = dict.fromkeys(("predictions_ms", "final_ms", "resources_ms", "labels_ms"), NEVER)

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
        states, track = self.past_errors.wanted(key[0], states), self._track(key)
        if start_ms not in track.panes:
            self._expect_old_pane(key, start_ms)
        self.objectives.count(*key, start_ms, states)
        track.merge_pane(start_ms, states)
        self._changed_panes.update((key, start_ms, _side(name)) for name in states)
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
        self._note_progress(progress)
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
        """Take in a ``model.v1`` event; of it is kept what was measured: the rest may hold anything at any size."""
        name = (event["model"], event["model_version"])
        metrics = event.get("metrics") or {}
        self._models[name] = {"quality": metrics.get("test") or {}, "train": metrics.get("train") or {}}
        self._changes[orjson.dumps(["model", *name])] = orjson.dumps(self._models[name])

    def set_part(self, partition: int, *, more: bool) -> None:
        """Note that a part of a cell was merged; nothing is published before the rest has come.

        Args:
            partition: the joiner partition it is from.
            more: whether more of it follows.
        """
        if more:
            self._parted.add(partition)
        else:
            self._parted.discard(partition)
        self._changes[orjson.dumps(["part", partition])] = b"1" if more else None

    # --- asking --------------------------------------------------------------------------------------------------

    @property
    def labels_ms(self) -> int:
        """Up to when labels have been read, about."""
        return self._least_ms["labels_ms"]

    def reference(self, group: Group) -> ReferenceProfile | None:
        """The profile of a model version."""
        return self._references.get((group.model, group.model_version))

    def segments(self, group: Group) -> Collection[Track]:
        """The segments of a model version that have panes, without the one that holds everything."""
        return self._segments.get(group, {}).values()

    def reference_metrics(self, group: Group) -> Json:
        """What a version scored on its test data, by section: ``{"quality": {metric: value}}``."""
        return self._models.get((group.model, group.model_version), {})

    def measured(self, group: Group) -> Mapping[str, Mapping[str, Json]]:
        """What a version scored before it was served: ``train`` and ``test``, each metric to value."""
        model = self.reference_metrics(group)
        return {"train": model.get("train", {}), "test": model.get("quality", {})}

    def stats(self) -> Mapping[str, float]:
        """The size of the state."""
        return {
            "tracks": len(self.tracks),
            "panes": sum(len(track.panes) for track in self.tracks.values()),
            "open_windows": sum(len(track.windows) for track in self.tracks.values()),
            "objective_tallies": self.objectives.size(),
            "limited_host_panes": self.hosts.limited,
        }

    def _note_progress(self, progress: Progress) -> None:
        """Move the watermarks over all joiner partitions; they are before every event until each has spoken."""
        self._progress[progress.partition] = progress
        known = self._progress.values()
        if len(known) >= progress.partitions:
            self._least_ms = {name: min(getattr(one, name) for one in known) for name in self._least_ms}

    def due(self) -> Iterator[tuple[TrackKey, WindowSize, int, bool]]:
        """The windows to publish now, earliest first: just closed, matured, or final (then True)."""
        if self._parted:
            return
        closed_ms, final_ms = self._least_ms["predictions_ms"], self._least_ms["final_ms"]
        due: dict[WindowKey, bool] = {}
        while self._closing and self._closing[0][0] <= closed_ms:
            due[heapq.heappop(self._closing)[2]] = False
        # What is not published yet comes up through the heap; what has not matured, with its next labels.
        due |= {key: False for key in self._touched if self._published_before(key) and self._matured(key)}
        self._touched = set()
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
        return self.hosts.due(self._least_ms["resources_ms"])

    def drop_old(self) -> None:
        """Forget panes whose windows are all final."""
        final_ms = self._least_ms["final_ms"]
        if self._parted:
            return  # their windows have not been published for the last time
        while self._old_panes and self._old_panes[0][0] <= final_ms:
            _, _, key, start_ms = heapq.heappop(self._old_panes)
            for side in (LABEL_SIDE, ROW_SIDE):
                self._changed_panes.discard((key, start_ms, side))
                self._changes |= self._log.drop(_pane_name(key, start_ms, side))
            track = self.tracks[key]
            del track.panes[start_ms]
            if not track.panes:
                self._forget_track(key)
        self.past.drop_old(final_ms)
        self.objectives.drop_old(final_ms)
        self.hosts.drop_old(self._least_ms["resources_ms"])

    # --- changelog -----------------------------------------------------------------------------------------------

    def changelog(self) -> Iterator[tuple[bytes, bytes | None]]:
        """The entries for what changed since the last call."""
        for key, start_ms, side in self._changed_panes:
            pane = self.tracks[key].panes[start_ms]
            states = {name: state for name, state in pane.items() if _side(name) == side}
            yield from self._log.write(_pane_name(key, start_ms, side), pack_states(states))
        yield from self._changes.items()
        yield from self.alerting.changelog()
        for part in self._parts.values():
            yield from part.changelog()
        self._changed_panes, self._changes = set(), {}

    def restore(self, entries: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Apply changelog entries in log order.

        Args:
            entries: key and value; a None value deletes the key.
        """
        for key, value in entries:
            kind, *name = orjson.loads(key)
            if kind in self._parts:
                self._parts[kind].restore(name, value)
            elif kind == "pane":
                self._log.restore((kind, *name[:-1]), name[-1], value)
            elif kind == "window":
                self._restore_window(name, value)
            elif kind == "part":
                self.set_part(name[0], more=value is not None)
            elif value is not None:
                self._restore_fact(kind, name, orjson.loads(value))

    def finish_restore(self) -> None:
        """Rebuild what follows from the panes; called once, before the first record."""
        self._changes = {}
        self.hosts.finish_restore(self._least_ms["resources_ms"])
        self.past.finish_restore()
        for (_, model, version, task, segment, start_ms, _), pieces in self._log.take_restored():
            track = self._track((Group(model, version, Task(task)), segment))
            for piece in pieces:
                track.merge_pane(start_ms, pane_from_json(orjson.loads(piece)))
        for key, track in list(self.tracks.items()):
            if not track.panes:
                self._forget_track(key)
                continue
            for start_ms in track.panes:
                self._expect_old_pane(key, start_ms)
                for size, window_ms in self._windows_over(start_ms):
                    if (size, window_ms) not in track.windows:
                        track.windows[size, window_ms] = PublishedWindow()
            for (size, window_ms), window in list(track.windows.items()):
                self._open_window(key, size, window_ms, window)
                self._touched.add((key, size, window_ms))

    def _restore_window(self, name: Sequence[Json], value: bytes | None) -> None:
        model, version, task, segment, window, start_ms = name
        track = self._track((Group(model, version, Task(task)), segment))
        size = parse_window(window)
        if value is None or size not in self._settings.sizes:  # a size that is not configured any more
            track.windows.pop((size, start_ms), None)
        else:
            track.windows[size, start_ms] = PublishedWindow(*orjson.loads(value))

    def _track(self, key: TrackKey) -> Track:
        track = self.tracks.get(key)
        if track is None:
            track = self.tracks[key] = Track(*key)
            group, segment = key
            if segment != NO_SEGMENT:
                self._segments.setdefault(group, {})[segment] = track
        return track

    def _forget_track(self, key: TrackKey) -> None:
        del self.tracks[key]
        group, segment = key
        if segment != NO_SEGMENT:
            del self._segments[group][segment]
            if not self._segments[group]:
                del self._segments[group]

    def _restore_fact(self, kind: str, name: Sequence[Json], value: Json) -> None:
        if kind == "progress":
            self._note_progress(Progress(*value))
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
        final_ms = self._least_ms["final_ms"]
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

    def _window_name(self, key: TrackKey, size: WindowSize, start_ms: int) -> bytes:
        return orjson.dumps(["window", *_track_name(key), str(size), start_ms])


def _side(family: str) -> str:
    return ROW_SIDE if family in _OF_ROWS else LABEL_SIDE


def _pane_name(key: TrackKey, start_ms: int, side: str) -> tuple[Json, ...]:
    return ("pane", *_track_name(key), start_ms, side)


def _track_name(key: TrackKey) -> list[Json]:
    group, segment = key
    return [group.model, group.model_version, group.task.value, segment]
