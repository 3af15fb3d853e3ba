"""Which errors to expect of each version of a regression, learned from its first labelled rows.

As with what scores mean (see ``calibrations``): the rows of a version's first final windows, of the shortest size and
without a segment, are added until there are enough of them. What they say holds for windows that end later, so that a
final window's estimates are the same in every replay.

The changelog has ``errors, model, version`` with the rows, and from the moment when they were enough with that.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from pipeline.core.accumulate.binned_errors import BinnedErrors
from pipeline.core.accumulate.key_counts import KeyCounts
from pipeline.core.events import NO_SEGMENT, Group, Json, Task
from pipeline.core.family import State
from pipeline.core.metrics.expected_errors import ExpectedErrors, learn_errors, report_expected_errors
from pipeline.core.metrics.settings import QualitySettings
from pipeline.core.window import WindowSize
from pipeline.processors.calibrations import Version
from pipeline.processors.maturity import Kind
from pipeline.processors.window_events import add_report

FAMILY = "binned_errors"


class PastErrors:
    """The expected errors of one monitor partition.

    Args:
        quality: how many rows are enough.
        sizes: the windows.
    """

    def __init__(self, quality: QualitySettings, sizes: Sequence[WindowSize]) -> None:
        self._quality = quality
        self._size = min(sizes)
        self._rows: dict[Version, BinnedErrors] = {}
        self._learned: dict[Version, tuple[ExpectedErrors, int]] = {}
        self._changes: dict[Version, Json] = {}

    def get(self, group: Group, end_ms: int) -> ExpectedErrors | None:
        """Which errors to expect; None where too few labelled rows are known.

        Args:
            group: the model version.
            end_ms: the end of the window whose predictions they are.
        """
        learned, since_ms = self._learned.get((group.model, group.model_version), (None, end_ms))
        return learned if end_ms > since_ms else None

    def wanted(self, group: Group, states: Mapping[str, State]) -> Mapping[str, State]:
        """The states without the rows that nothing can be learned from any more: many panes wait for their labels.

        Args:
            group: the model version.
            states: by family.
        """
        if (group.model, group.model_version) not in self._learned:
            return states
        return {name: state for name, state in states.items() if name != FAMILY}

    def add(self, group: Group, size: WindowSize, start_ms: int, rows: BinnedErrors) -> None:
        """Count a window without a segment that has become final.

        Args:
            group: the model version.
            size: the window's size.
            start_ms: its start.
            rows: its labelled rows.
        """
        version = (group.model, group.model_version)
        # Of windows that overlap, some that do not: no row may count twice.
        counts = size == self._size and size.is_disjoint(start_ms)
        if not counts or version in self._learned or rows.is_zero():
            return
        known = self._rows.setdefault(version, BinnedErrors())
        known.merge(rows)
        self._changes[version] = value = {"rows": known.to_wire()}
        if int(known.counts.sum()) >= self._quality.calibration_rows:
            value["since_ms"] = start_ms + size.size_ms
            self._settle(version, value["since_ms"])

    def changelog(self) -> Iterator[tuple[bytes, bytes | None]]:
        """The entries for what changed since the last call."""
        changes, self._changes = self._changes, {}
        for version, value in changes.items():
            yield orjson.dumps(["errors", *version]), orjson.dumps(value)

    def restore(self, name: Sequence[Json], value: bytes | None) -> None:
        """Apply one changelog entry.

        Args:
            name: the entry's key without its kind.
            value: the rows so far, or all of them and when they were enough.
        """
        version, wire = (name[0], name[1]), orjson.loads(value or b"{}")
        self._rows.pop(version, None)
        if wire:
            self._rows[version] = BinnedErrors.from_wire(wire["rows"])
        if "since_ms" in wire:
            self._settle(version, wire["since_ms"])

    def _settle(self, version: Version, since_ms: int) -> None:
        self._learned[version] = learn_errors(self._rows.pop(version)), since_ms


def add_expected_errors(
    event: dict[str, Any], pane: Mapping[str, State], past: PastErrors, kind: Kind, start_ms: int
) -> None:
    """Say in an event which errors are expected of a regression; a final window then teaches what to expect later.

    Args:
        event: the window's event; changed in place.
        pane: the window's merged states.
        past: what to expect.
        kind: the window's model version, segment and size.
        start_ms: its start.
    """
    group, segment, size = kind
    predicted, rows = pane["predicted_values"], pane[FAMILY]
    assert isinstance(predicted, KeyCounts)  # noqa: S101 - the registry made both
    assert isinstance(rows, BinnedErrors)  # noqa: S101 - as above
    if group.task is not Task.REGRESSION:
        return
    add_report(event, report_expected_errors(predicted, past.get(group, start_ms + size.size_ms), event))
    if event["final"] and segment == NO_SEGMENT:
        past.add(group, size, start_ms, rows)
