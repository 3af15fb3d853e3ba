"""Partials: what the joiner tells the monitor. A record is one of four kinds, told apart by ``kind``.

- ``cells``: accumulators to merge, by (model version, task, segment, pane); a record that holds a part of a large cell
  says which joiner partition it is ``from``, and whether ``more`` follows;
- ``hosts``: readings to merge, by (host, pane);
- ``reference``: the profile that the ``bins`` accumulators which follow were folded against;
- ``progress``: how far a joiner partition has come; sent to every partition, in order with the rest.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import orjson

from pipeline.core.accumulate.counts import Counts
from pipeline.core.accumulate.hosts import Readings
from pipeline.core.events import Cells, Group, Json, OutputRecord, Task
from pipeline.core.families import FAMILIES, State
from pipeline.core.profile_parts import split_profile
from pipeline.core.reference import ReferenceProfile
from pipeline.core.watermark import NEVER
from pipeline.processors.pieces import PIECE_BYTES, pack, pack_states

TOPIC = "partials"
RECORD_BYTES = PIECE_BYTES
"""Cells are packed into records up to about this size."""

COUNTS = "counts"
FROM_WIRE = {COUNTS: Counts.from_wire, **{family.name: family.from_wire for family in FAMILIES}}
"""How to read each family's state."""

CellKey = tuple[Group, str, int]
"""Group, segment and pane start."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one joiner partition has come; None where nothing is known yet.

    Attributes:
        partition: the joiner's partition.
        partitions: how many there are.
        predictions_ms: no prediction in time comes before this.
        final_ms: nothing that comes can change what happened a label horizon before this.
        resources_ms: no resource reading in time comes before this.
        labels_ms: the time of the newest label read, about; nothing is decided by it.
    """

    partition: int
    partitions: int
    predictions_ms: int
    final_ms: int
    resources_ms: int
    labels_ms: int = NEVER


class Pending:
    """The accumulators folded since the last commit, by cell."""

    def __init__(self) -> None:
        self._cells: dict[CellKey, dict[str, State]] = {}
        self._hosts: dict[tuple[str, int], dict[str, Readings]] = {}

    def absorb(self, name: str, states: Mapping[int, State], cells: Cells) -> None:
        """Merge fresh states.

        Args:
            name: the family.
            states: cell index to its state.
            cells: what the indexes mean.
        """
        for cell, state in states.items():
            group = cells.groups[cells.group[cell]]
            self.merge((group, cells.segment[cell], int(cells.pane_start_ms[cell])), name, state)

    def merge(self, key: CellKey, name: str, state: State) -> None:
        """Merge one state into one cell."""
        families = self._cells.setdefault(key, {})
        if name in families:
            families[name].merge(state)
        else:
            families[name] = state

    def absorb_hosts(self, readings: Mapping[tuple[str, str, int], Readings]) -> None:
        """Merge readings by (host, metric, pane start)."""
        for (host, metric, start_ms), state in readings.items():
            metrics = self._hosts.setdefault((host, start_ms), {})
            if metric in metrics:
                metrics[metric].merge(state)
            else:
                metrics[metric] = state

    def take(self, partition: int) -> Iterator[OutputRecord]:
        """The partial records for all that was absorbed since the last call.

        Args:
            partition: the joiner's partition.
        """
        cells, self._cells = self._cells, {}
        hosts, self._hosts = self._hosts, {}
        by_model: dict[str, list[bytes]] = {}
        for (group, segment, start_ms), families in cells.items():
            states = {name: state for name, state in families.items() if not state.is_zero()}
            if not states:
                continue
            place = orjson.dumps([group.model_version, group.task.value, segment, start_ms])[:-1] + b","
            *pieces, last = pack_states(states)
            if not pieces:
                by_model.setdefault(group.model, []).append(place + last + b"]")
                continue
            # Whoever reads a part of a cell waits for the rest before a window is published.
            head = b'{"from":%d,"more":' % partition
            for more, piece in [*((b"true", piece) for piece in pieces), (b"false", last)]:
                value = head + more + b"," + _cells_head(group.model)[1:] + place + piece + b"]]}"
                yield OutputRecord(TOPIC, group.model.encode(), value)
        for model, encoded in by_model.items():
            yield from _pack_cells(model, _cells_head(model), encoded)
        by_host: dict[str, list[bytes]] = {}
        for (host, start_ms), metrics in hosts.items():
            place = b"[%d," % start_ms
            packed = pack((metric, state.to_wire()) for metric, state in metrics.items())
            by_host.setdefault(host, []).extend(place + piece + b"]" for piece in packed)
        for host, encoded in by_host.items():
            yield from _pack_cells(host, b'{"kind":"hosts","host":' + orjson.dumps(host) + b',"cells":[', encoded)


def _cells_head(model: str) -> bytes:
    return b'{"kind":"cells","model":' + orjson.dumps(model) + b',"cells":['


def _pack_cells(key: str, head: bytes, encoded: Iterable[bytes]) -> Iterator[OutputRecord]:
    part: list[bytes] = []
    size = 0
    for cell in encoded:
        if part and size + len(cell) > RECORD_BYTES:
            yield OutputRecord(TOPIC, key.encode(), head + b",".join(part) + b"]}")
            part, size = [], 0
        part.append(cell)
        size += len(cell) + 1
    if part:
        yield OutputRecord(TOPIC, key.encode(), head + b",".join(part) + b"]}")


def progress_records(progress: Progress, partials_partitions: int) -> Iterator[OutputRecord]:
    """The progress of a joiner partition, for every partition of the partials topic.

    Args:
        progress: how far it has come.
        partials_partitions: the partials topic's number of partitions.
    """
    value = orjson.dumps({"kind": "progress", **{name: getattr(progress, name) for name in Progress.__slots__}})
    for partition in range(partials_partitions):
        yield OutputRecord(TOPIC, str(progress.partition).encode(), value, partition=partition)


def announcement(group: Group, profile: ReferenceProfile) -> Iterator[OutputRecord]:
    """The profile that a model version's ``bins`` are folded against, a record a piece.

    Args:
        group: the model version; the profile may have been given for all versions.
        profile: the profile.
    """
    for piece in split_profile(profile):
        value = {"kind": "reference", "model": group.model, "model_version": group.model_version, "profile": piece}
        yield OutputRecord(TOPIC, group.model.encode(), orjson.dumps(value))


def read_cell(model: str, cell: Json) -> tuple[CellKey, dict[str, State]]:
    """One cell of a ``cells`` record.

    Args:
        model: the record's model.
        cell: ``[model version, task, segment, pane start, {family: state}]``.

    Returns:
        The cell's key and its states by family.
    """
    version, task, segment, start_ms, wire = cell
    states: dict[str, State] = {name: FROM_WIRE[name](state) for name, state in wire.items()}
    return (Group(model, version, Task(task)), segment, start_ms), states


def read_hosts(record: Json) -> Iterator[tuple[int, dict[str, Readings]]]:
    """The panes of a ``hosts`` record.

    Args:
        record: the decoded record.

    Returns:
        Pane start and readings by metric.
    """
    for start_ms, wire in record["cells"]:
        yield start_ms, {metric: Readings.from_wire(item) for metric, item in wire.items()}
