"""The monitor: merges partials, publishes windows as they close, mature and become final, and judges them by the rules.

One task owns partition p of ``partials`` and ``models``. Windows close by the watermark, which is the minimum over
all joiner partitions; a window is published again when enough labels came, and a last time when it is final.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

import orjson

from pipeline.config import Config
from pipeline.core.accumulate.class_scores import ClassScores
from pipeline.core.accumulate.confidences import Confidences
from pipeline.core.accumulate.hosts import Readings
from pipeline.core.accumulate.predicted_scores import PredictedScores
from pipeline.core.accumulate.scores import Scores
from pipeline.core.codec import decode_models, encode_dead_letter
from pipeline.core.errors import DriftlineError
from pipeline.core.events import NO_SEGMENT, DeadLetter, Flush, Group, Json, OutputRecord, RecordBatch, Task
from pipeline.core.families import Context, State
from pipeline.core.metrics.class_estimates import report_class_estimates
from pipeline.core.metrics.estimates import report_estimates
from pipeline.core.metrics.generalisation import report_generalisation
from pipeline.core.metrics.maturity import Age
from pipeline.core.metrics.worst_segments import SECTION as WORST_SEGMENTS
from pipeline.core.window import WindowSize
from pipeline.processors.maturity import Kind, add_maturity
from pipeline.processors.monitor_config import MonitorSettings, monitor_settings
from pipeline.processors.monitor_state import MonitorState
from pipeline.processors.partials import CellKey, Progress, read_cell, read_hosts
from pipeline.processors.past_errors import add_expected_errors
from pipeline.processors.ranking import worst_segments
from pipeline.processors.tracks import Pane, PublishedWindow, Track
from pipeline.processors.window_events import add_report, encode_event, host_event, window_event

PARTIALS, MODELS = "partials", "models"

ReadCell = tuple[Json, CellKey, Mapping[str, State]]
"""A cell as it came, and what it holds."""


class Monitor:
    """The processor; makes one task a partition."""

    name = "monitor"
    inputs: tuple[str, ...] = (PARTIALS, MODELS)
    tables: tuple[str, ...] = ()

    def __init__(self, settings: MonitorSettings) -> None:
        self._settings = settings

    def task(self, partition: int, partitions: Mapping[str, int]) -> "MonitorTask":  # noqa: ARG002 - the protocol's
        """Make the empty state machine of a partition."""
        return MonitorTask(self._settings)

    def on_table(self, topic: str, key: bytes, value: bytes | None) -> None:
        """The monitor reads no tables."""
        raise DriftlineError(f"the monitor reads no table, and was handed {topic}: {key!r} {value!r}")


def make_monitor(config: Config) -> Monitor:
    """The monitor of a configuration."""
    return Monitor(monitor_settings(config))


class MonitorTask:
    """The state machine of one partition."""

    def __init__(self, settings: MonitorSettings) -> None:
        self._settings = settings
        self._state = MonitorState(settings)
        self._dead: list[DeadLetter] = []
        self._rows = 0  # read since the last flush: cells of partials, and other records
        self._ready = False

    def restore(self, entries: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Apply changelog entries in log order."""
        self._state.restore(entries)

    def process(self, batch: RecordBatch, now_ms: int) -> None:  # noqa: ARG002 - the protocol's signature
        """Take in partials or model events."""
        self._begin()
        if batch.topic == MODELS:
            models, dead = decode_models(batch)
            self._dead.extend(dead)
            self._rows += len(batch.offsets)
            for _, model in models:
                self._state.set_model(model)
            return
        for offset, value in zip(batch.offsets, batch.values, strict=True):
            self._partial(batch, offset, value)

    def flush(self, now_ms: int, at_end: frozenset[str]) -> Flush:  # noqa: ARG002 - partials carry their own progress
        """Publish the windows that are due; hand over alerts, triggers and state changes."""
        self._begin()
        outputs = list(self._publish_due(now_ms))
        outputs += self._publish_hosts(now_ms)
        self._state.drop_old()
        outputs += [
            OutputRecord("dead-letters", None, encode_dead_letter(letter), schema="dead_letter.v1")
            for letter in self._dead
        ]
        self._dead, rows, self._rows = [], self._rows, 0
        return Flush(outputs, list(self._state.changelog()), rows)

    def paused(self, at_end: frozenset[str]) -> frozenset[str]:  # noqa: ARG002 - the protocol's signature
        """Nothing: a partial is small, and one flush takes them all."""
        return frozenset()

    def stats(self) -> Mapping[str, float]:
        """The size of the state."""
        return self._state.stats()

    def _begin(self) -> None:
        if not self._ready:
            self._state.finish_restore()
            self._ready = True

    # --- partials ------------------------------------------------------------------------------------------------

    def _partial(self, batch: RecordBatch, offset: int, value: bytes | None) -> None:
        self._rows += 1
        try:
            take_in = self._read(batch, offset, value)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
            # Only the joiner writes here: a foreign record must not stop the monitor, nor vanish.
            detail = "not a partial of the joiner"
            self._dead.append(DeadLetter(PARTIALS, batch.partition, offset, None, "not_json", detail, value or b""))
        else:
            take_in()

    def _read(self, batch: RecordBatch, offset: int, value: bytes | None) -> Callable[[], None]:
        """Read a record whole before anything of it is taken in."""
        record = orjson.loads(value or b"")
        kind = record["kind"]
        if kind == "cells":
            cells = [(cell, *read_cell(record["model"], cell)) for cell in record["cells"]]
            part = (int(record["from"]), bool(record["more"])) if "from" in record else None
            return partial(self._merge_cells, batch, offset, record, cells, part)
        if kind == "hosts":
            host, panes = str(record["host"]), list(read_hosts(record))
            return partial(self._merge_hosts, host, panes)
        if kind == "reference":
            # A piece of a profile is taken in by being read: what is none is refused and changes nothing.
            self._state.set_reference(str(record["model"]), str(record["model_version"]), record["profile"])
            return lambda: None
        if kind == "progress":
            return partial(
                self._state.set_progress,
                Progress(**{name: int(record[name]) for name in Progress.__slots__ if name in record}),
            )
        raise ValueError(f"an unknown kind of partial: {kind}")

    def _merge_cells(
        self, batch: RecordBatch, offset: int, record: Json, cells: Sequence[ReadCell], part: tuple[int, bool] | None
    ) -> None:
        self._rows += max(0, len(cells) - 1)
        for cell, (group, segment, start_ms), states in cells:
            if not self._state.merge_cell((group, segment), start_ms, states):
                value = orjson.dumps({**record, "cells": [cell]})
                detail = "counts for windows that are final already; only a topic that fell silent can cause this"
                letter = DeadLetter(PARTIALS, batch.partition, offset, None, "window_final", detail, value)
                self._dead.append(letter)
        if part is not None:
            self._state.set_part(part[0], more=part[1])

    def _merge_hosts(self, host: str, panes: Sequence[tuple[int, Mapping[str, Readings]]]) -> None:
        for start_ms, readings in panes:
            self._state.merge_host(host, start_ms, readings)

    # --- windows -------------------------------------------------------------------------------------------------

    def _publish_due(self, now_ms: int) -> Iterator[OutputRecord]:
        state = self._state
        for key, size, start_ms, final in state.due():
            track = state.tracks[key]
            window = track.windows[size, start_ms]
            window.revision += 1
            window.events, _ = track.events(start_ms, size.size_ms, self._settings.pane_ms)
            yield from self._publish(track, size, start_ms, window, final=final, now_ms=now_ms)
            state.published(key, size, start_ms, final=final)

    def _publish(
        self, track: Track, size: WindowSize, start_ms: int, window: PublishedWindow, *,
        final: bool, now_ms: int,
    ) -> Iterator[OutputRecord]:  # fmt: skip
        group, settings = track.group, self._settings
        context = Context(
            model=group.model,
            model_version=group.model_version,
            task=group.task,
            segment=track.segment,
            window_size_ms=size.size_ms,
            final=final,
            reference=self._state.reference(group),
            psi_threshold=settings.psi_threshold,
            js_threshold=settings.js_threshold,
            quality=settings.quality,
        )
        merged = track.merged(start_ms, size.size_ms, settings.pane_ms)
        event = window_event(context, merged, size, start_ms, revision=window.revision, now_ms=now_ms)
        if group.model_version:
            self._estimate(event, merged, track, size, start_ms)
            add_expected_errors(event, merged, self._state.past_errors, (group, track.segment, size), start_ms)
            self._mature(event, merged, (group, track.segment, size), start_ms)
        if group.model_version and track.segment == NO_SEGMENT:
            self._compare(event, context, group, size, start_ms)
        for report in self._state.objectives.report(group, track.segment, start_ms + size.size_ms, merged):
            add_report(event, report)
        names = (group.model, group.model_version, track.segment, str(size), str(start_ms))
        record_key = "|".join(names).encode()
        yield OutputRecord("window-metrics", record_key, encode_event(event), schema="window_metrics.v1")
        references = self._state.reference_metrics(group)
        everything = self._state.tracks.get((group, NO_SEGMENT), track)

        def evidence() -> Json:
            return everything.merged(start_ms, size.size_ms, settings.pane_ms)["offsets"].to_wire()

        yield from self._state.alerting.evaluate(event, evidence, references, now_ms)

    def _estimate(self, event: dict[str, Json], merged: Pane, track: Track, size: WindowSize, start_ms: int) -> None:
        """Add what quality is expected without labels; a window that is final then teaches what later scores mean."""
        group, calibrations = track.group, self._state.calibrations
        known = calibrations.get(group, start_ms + size.size_ms)
        if group.task is Task.BINARY:
            scores, predicted = merged["scores"], merged["predicted_scores"]
            assert isinstance(scores, Scores)  # noqa: S101 - the registry made both
            assert isinstance(predicted, PredictedScores)  # noqa: S101 - as above
            add_report(event, report_estimates(predicted, known, (*scores.classes, *scores.predicted), event))
        elif group.task is Task.MULTICLASS:
            of_classes, confidences = merged["class_scores"], merged["confidences"]
            assert isinstance(of_classes, ClassScores)  # noqa: S101 - the registry made both
            assert isinstance(confidences, Confidences)  # noqa: S101 - as above
            scores = of_classes.sureness
            add_report(event, report_class_estimates(confidences, known, event))
        else:
            return
        if event["final"] and track.segment == NO_SEGMENT:
            calibrations.add(group, size, start_ms, scores)

    def _mature(self, event: dict[str, Json], merged: Pane, kind: Kind, start_ms: int) -> None:
        """Add how far the labels have come; a window that is final then says it of others."""
        state, size, final = self._state, kind[2], event["final"]
        age = Age(state.labels_ms - start_ms - size.size_ms, size.size_ms, final)
        add_maturity(event, merged, state.past.before(kind, start_ms), age, self._settings.maturity)
        if final:
            state.past.add(kind, start_ms, merged)

    def _compare(self, event: dict[str, Json], context: Context, group: Group, size: WindowSize, start_ms: int) -> None:
        """Add what is said of everything: how it compares with training and past, and segments with each other."""
        measured, tracked = self._state.measured(group), self._settings.tracked
        if event["final"]:
            kind = (group, str(size))
            self._state.ageing.add(kind, start_ms, event["quality"], event["counts"]["labelled"])
            add_report(event, self._state.ageing.report(kind, self._settings.quality.interval_level))
        add_report(event, report_generalisation(tracked, event["quality"], measured))
        window = (start_ms, size.size_ms, self._settings.pane_ms)
        segments, ranking = self._state.segments(group), self._settings.ranking
        worst, reasons = worst_segments(ranking, context, event["quality"], segments, window)
        event[WORST_SEGMENTS] = worst
        event["reasons"] |= reasons

    def _publish_hosts(self, now_ms: int) -> Iterator[OutputRecord]:
        for host, size, start_ms, metrics in self._state.due_hosts():
            event = host_event(host, size, start_ms, metrics)
            yield OutputRecord("host-metrics", host.encode(), orjson.dumps(event), schema="host_metrics.v1")
            yield from self._state.alerting.evaluate(event, dict, {}, now_ms)
