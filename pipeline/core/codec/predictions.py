"""``predictions`` records to columns."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.core.codec import limits
from pipeline.core.codec.columns import Codes, JoinKeys, class_codes, joined, optional_floats
from pipeline.core.codec.features import FeatureCollector
from pipeline.core.codec.members import MemberLists
from pipeline.core.codec.names import hash_members, label_set, ranking
from pipeline.core.codec.parse import BatchLayout
from pipeline.core.codec.prediction_columns import TYPES, decode_columns, lengths_fit, optional_column, per_row, suit
from pipeline.core.codec.prediction_scan import LATENCY, MODEL, SCORE, TASK, TASKS, VERSION, scan_predictions
from pipeline.core.codec.records import RecordReader
from pipeline.core.codec.rows import prediction_event, segment_text
from pipeline.core.codec.scan import Scan
from pipeline.core.codec.scanned import class_scores, code_names, feature_columns, mixed_values, segment_values
from pipeline.core.codec.shapes import PredictionEvent
from pipeline.core.distinct import distinct_codes
from pipeline.core.errors import BadEventError
from pipeline.core.events import Decoded, Float64s, Group, Int32s, Int64s, Predictions, RecordBatch, Task

_CLASSES, _LABELS, _NUMBER, _ITEMS = range(4)
_CODING = {
    Task.BINARY: _CLASSES,
    Task.MULTICLASS: _CLASSES,
    Task.MULTILABEL: _LABELS,
    Task.REGRESSION: _NUMBER,
    Task.RANKING: _ITEMS,
}
_EVENT_DECODER = msgspec.json.Decoder(PredictionEvent)

GroupKey = tuple[str, str, str, type]

PREDICTION_LAYOUT = BatchLayout(
    fields=PredictionEvent.__struct_fields__,
    maps={
        "features": limits.MAX_FEATURES,
        "segments": limits.MAX_SEGMENTS,
        "scores": limits.MAX_SCORES,
    },
    array="prediction_id",
)
"""How predictions lie in a columnar record."""


def decode_predictions(batch: RecordBatch) -> Decoded:
    """Decode the records of one partition of ``predictions``.

    Args:
        batch: the records.

    Returns:
        ``Predictions`` with the good rows in log order, and a dead letter for each bad row or record.
    """
    sink = _PredictionSink()
    dead = RecordReader(batch, sink).read()
    return Decoded(sink.finish(), dead)


def _group_of(key: GroupKey) -> Group:
    model, version, task_name, kind = key
    task = TASKS[task_name]
    if kind not in TYPES[task]:
        raise BadEventError("wrong_type", "the prediction does not suit the task")
    return Group(model, version, task)


def _segment_set(texts: tuple[str | None, ...]) -> tuple[str, ...]:
    return tuple(sorted(text for text in texts if text is not None))


def _segment_texts(name: str, values: Iterable[object]) -> list[str | None]:
    return [None if value is None else f"{name}={segment_text(value)}" for value in values]


def _distinct(group: Int64s) -> list[int]:
    """The distinct groups, rising; mostly there is one, and a comparison is far cheaper than a sort."""
    first = int(group[0])
    return [first] if bool((group == first).all()) else np.unique(group).tolist()


class _PredictionSink:
    """Collects predictions; see ``records.Sink``."""

    event = "prediction.v1"
    layout = PREDICTION_LAYOUT
    read = staticmethod(_EVENT_DECODER.decode)
    check = staticmethod(prediction_event)

    def __init__(self) -> None:
        self._groups: Codes[GroupKey, Group] = Codes(_group_of)
        self._classes = class_codes()
        self._members = MemberLists(self._classes)
        self._segment_sets: Codes[tuple[str | None, ...], tuple[str, ...]] = Codes(_segment_set)
        self._segment_sets.code(())
        self._features = FeatureCollector()
        self._size = 0
        self._keys = JoinKeys()
        self._offset: list[Int64s] = []
        self._row: list[Int32s] = []
        self._timestamp_ms: list[Int64s] = []
        self._group: list[Int64s] = []
        self._value: list[Int64s] = []
        self._score: list[Float64s] = []
        self._latency_ms: list[Float64s] = []
        self._segment_set: list[Int64s] = []

    scan = staticmethod(scan_predictions)

    def add_scanned(self, scan: Scan, first: int, last: int, offsets: Sequence[int]) -> None:
        """Append the rows of good records."""
        rows, offset, row = scan.rows(first, last, offsets)
        models, versions, tasks = (code_names(scan, column) for column in (MODEL, VERSION, TASK))
        codes = scan.cells.codes[:, rows].astype(np.int64)
        distinct, where = distinct_codes((codes[MODEL] * len(versions) + codes[VERSION]) * len(tasks) + codes[TASK])
        keys: list[GroupKey] = []
        for code in distinct.tolist():
            task = tasks[code % len(tasks)]
            model, version = divmod(code // len(tasks), len(versions))
            keys.append((models[model], versions[version], task, next(iter(TYPES[TASKS[task]]))))
        groups = self._groups.encode(keys)
        group = groups[where]
        is_class = np.array([TASKS[key[2]].is_classes for key in keys])[where]
        value = mixed_values(scan, rows, is_class, self._classes)
        if scan.cells.score_count[0]:
            is_multiclass = np.array([TASKS[key[2]] is Task.MULTICLASS for key in keys])[where]
            scored = class_scores(scan, rows, is_multiclass, self._classes)
            self._members.add_lists(scored.row + self._size, scored.lists)
        self._add_scanned_features(scan, rows, group, _distinct(group))
        self._keys.add_spans(scan.buffer, scan.cells.ids[rows])
        self._extend(
            offset=offset,
            row=row,
            timestamp_ms=scan.cells.times[rows],
            group=group,
            value=value,
            score=scan.cells.reals[SCORE, rows].view(np.float64),
            latency_ms=scan.cells.reals[LATENCY, rows].view(np.float64),
            segment_set=segment_values(scan, rows, self._segment_sets),
        )

    def _add_scanned_features(self, scan: Scan, rows: slice, group: Int64s, groups: Sequence[int]) -> None:
        carries = scan.cells.carries[rows].astype(bool)
        if len(groups) == 1 and carries.all():
            every = np.arange(self._size, self._size + len(group), dtype=np.int32)
            self._features.add_scanned(groups[0], every, feature_columns(scan, rows))
            return
        for code in groups:
            own = np.flatnonzero(carries & (group == code))
            if len(own):
                columns = feature_columns(scan, own + rows.start)
                self._features.add_scanned(code, (own + self._size).astype(np.int32), columns)

    def add_events(self, events: Sequence[PredictionEvent], offsets: Sequence[int], rows: Sequence[int]) -> list[int]:
        """Append rows, or name those whose prediction the types alone cannot judge."""
        if not events:
            return []
        keys = [(event.model, event.model_version, event.task, event.prediction.__class__) for event in events]
        try:
            group = self._groups.encode(keys)
        except BadEventError:
            return [index for index, key in enumerate(keys) if key[3] not in TYPES[TASKS[key[2]]]]
        used = _distinct(group)
        value = self._values(group, used, [event.prediction for event in events])
        segments = [event.segments for event in events]
        if any(segments):
            texts = [
                tuple(f"{k}={segment_text(v)}" for k, v in (one or {}).items() if v is not None) for one in segments
            ]
            segment_set = self._segment_sets.encode(texts)
        else:
            segment_set = np.zeros(len(events), np.int64)
        is_multiclass = np.array([one.task is Task.MULTICLASS for one in self._groups.names])[group]
        self._add_scores(is_multiclass, [event.scores for event in events])
        features = [event.features for event in events]
        if any(features):
            self._add_features(group, used, features)
        self._keys.add([event.prediction_id for event in events])
        self._extend(
            offset=np.array(offsets, np.int64),
            row=np.array(rows, np.int32),
            timestamp_ms=np.array([event.timestamp_ms for event in events], np.int64),
            group=group,
            value=value,
            score=optional_floats([event.score for event in events]),
            latency_ms=optional_floats([event.latency_ms for event in events]),
            segment_set=segment_set,
        )
        return []

    def add_columns(self, value: bytes, offset: int) -> bool:
        """Append a columnar record whose columns are all plain."""
        columns = decode_columns(value)
        n = columns.n
        if not lengths_fit(columns, n):
            return False
        try:
            predictions = per_row(columns.prediction, n)
            if not suit(TASKS[columns.task], predictions):
                return False
            values = self._coded(_CODING[TASKS[columns.task]], predictions, np.arange(n))
        except (BadEventError, TypeError, OverflowError):
            return False
        # Which type stands for the task's own: the values have just been found to suit it.
        kind = next(iter(TYPES[TASKS[columns.task]]))
        if isinstance(columns.model, str) and isinstance(columns.model_version, str):
            code = self._groups.code((columns.model, columns.model_version, columns.task, kind))
            group = np.full(n, code, np.int64)
        else:
            versions = zip(per_row(columns.model, n), per_row(columns.model_version, n), strict=True)
            group = self._groups.encode([(model, version, columns.task, kind) for model, version in versions])
        if columns.scores and TASKS[columns.task] is Task.MULTICLASS:
            named = [[(name, one) for one in per_row(column, n)] for name, column in columns.scores.items()]
            self._add_scores(np.ones(n, bool), [dict(of_row) for of_row in zip(*named, strict=True)])
        if columns.features:
            self._add_feature_columns(group, {name: per_row(one, n) for name, one in columns.features.items()})
        self._keys.add(columns.prediction_id)
        self._extend(
            offset=np.full(n, offset, np.int64),
            row=np.arange(n, dtype=np.int32),
            timestamp_ms=np.array(per_row(columns.timestamp_ms, n), np.int64),
            group=group,
            value=values,
            score=optional_column(columns.score, n),
            latency_ms=optional_column(columns.latency_ms, n),
            segment_set=self._segment_column(columns.segments, n),
        )
        return True

    def finish(self) -> Predictions:
        """The columns of everything that was added."""
        groups = self._groups.names
        models = list(dict.fromkeys(group.model for group in groups))
        place = {model: index for index, model in enumerate(models)}
        group = joined(self._group, np.int32)
        model = np.array([place[one.model] for one in groups], np.int32)[group]
        return Predictions(
            offset=joined(self._offset, np.int64),
            row=joined(self._row, np.int32),
            key=self._keys.hashed(model, models),
            timestamp_ms=joined(self._timestamp_ms, np.int64),
            group=group,
            value=joined(self._value, np.int64),
            score=joined(self._score, np.float64),
            latency_ms=joined(self._latency_ms, np.float64),
            segment_set=joined(self._segment_set, np.int32),
            groups=groups,
            classes=self._classes.names,
            segment_sets=self._segment_sets.names,
            features=self._features.tables(),
            members=self._members.finish(),
        )

    def _extend(
        self,
        *,
        offset: Int64s,
        row: Int32s,
        timestamp_ms: Int64s,
        group: Int64s,
        value: Int64s,
        score: Float64s,
        latency_ms: Float64s,
        segment_set: Int64s,
    ) -> None:
        self._size += len(offset)
        self._offset.append(offset)
        self._row.append(row)
        self._timestamp_ms.append(timestamp_ms)
        self._group.append(group)
        self._value.append(value)
        self._score.append(score)
        self._latency_ms.append(latency_ms)
        self._segment_set.append(segment_set)

    def _values(self, group: Int64s, groups: Sequence[int], predictions: list[Any]) -> Int64s:
        names = self._groups.names
        codings = {code: _CODING[names[code].task] for code in groups}
        used = set(codings.values())
        if len(used) == 1:
            return self._coded(used.pop(), predictions, np.arange(len(predictions)))
        value = np.empty(len(predictions), np.int64)
        for coding in used:
            rows = np.flatnonzero(np.isin(group, [code for code in groups if codings[code] == coding]))
            value[rows] = self._coded(coding, [predictions[row] for row in rows], rows)
        return value

    def _coded(self, coding: int, predictions: list[Any], rows: Int64s) -> Int64s:
        if coding == _CLASSES:
            return self._classes.encode(predictions)
        if coding == _NUMBER:
            return np.array(predictions, np.float64).view(np.int64)
        canonical = list(map(label_set if coding == _LABELS else ranking, predictions))
        add = self._members.add_sets if coding == _LABELS else self._members.add_rankings
        add(rows + self._size, canonical)
        return hash_members(canonical)

    def _add_scores(
        self, is_multiclass: NDArray[np.bool_], scores: Sequence[Mapping[str, float | None] | None]
    ) -> None:
        rows = np.flatnonzero(is_multiclass)
        if len(rows) and any(scores):
            self._members.add_scores(rows + self._size, [scores[row] for row in rows.tolist()])

    def _segment_column(self, segments: dict[str, Any] | None, n: int) -> Int64s:
        if not segments:
            return np.zeros(n, np.int64)
        texts = [
            _segment_texts(name, column if isinstance(column, list) else (column,)) for name, column in segments.items()
        ]
        if not any(isinstance(column, list) for column in segments.values()):
            return np.full(n, self._segment_sets.code(tuple(one[0] for one in texts)), np.int64)
        shared = [one if len(one) == n else one * n for one in texts]
        return self._segment_sets.encode(list(zip(*shared, strict=True)))

    def _add_features(self, group: Int64s, groups: Sequence[int], features: list[Any]) -> None:
        if len(groups) == 1 and all(features):
            rows = np.arange(self._size, self._size + len(features), dtype=np.int32)
            self._features.add_rows(groups[0], rows, features)
            return
        carrying = np.array([bool(one) for one in features])
        for code in groups:
            rows = np.flatnonzero(carrying & (group == code)).astype(np.int32)
            if len(rows):
                self._features.add_rows(code, rows + np.int32(self._size), [features[row] for row in rows])

    def _add_feature_columns(self, group: Int64s, columns: dict[str, list[Any]]) -> None:
        codes = _distinct(group)
        for code in codes:
            rows = np.flatnonzero(group == code).astype(np.int32)
            own = columns
            if len(codes) > 1:
                own = {name: [column[row] for row in rows] for name, column in columns.items()}
            self._features.add_columns(code, rows + np.int32(self._size), own)
