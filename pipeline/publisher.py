"""Publish predictions and labels from a serving process: ``log_*`` costs microseconds and never fails the caller."""

import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import time_ns
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from pipeline.core.kernels.murmur2 import partitions_of
from pipeline.kafka_clients import cluster_of
from pipeline.publishing import lifecycle
from pipeline.publishing.columns import (
    LABELS,
    MODELS,
    PREDICTIONS,
    RESOURCES,
    Columns,
    Group,
    Stream,
    taken_fields,
    taken_keys,
)
from pipeline.publishing.ids import new_id, new_ids
from pipeline.publishing.sender import PublisherStats, Sender
from pipeline.publishing.settings import OnOverflow, PublisherSettings

if TYPE_CHECKING:
    from pipeline.config import Config  # a serving process need not load what reads configuration files

__all__ = ["Publisher", "PublisherStats"]

_COPIED: frozenset[Any] = frozenset({dict, list, np.ndarray})
_CLOSE_WHEN_FORGOTTEN_S = 60.0


class Publisher:
    """Sends events to Kafka from beside a model, without ever being in its way.

    ``log_*`` puts rows into a bounded buffer and returns; a thread of the publisher's own gathers them into columnar
    records, one a partition, and sends them: idempotent, acknowledged by every in-sync replica, lz4. Rows that find the
    buffer full are dropped and counted, or their caller waits for a bounded time (``on_overflow``).

    ``log_*`` raises nothing for a Kafka that is away, nor for what is in a row: a row that cannot be written as an
    event is counted in ``stats["rejected"]``, and the first reason is kept and logged. Only a call with a missing or
    unknown argument raises TypeError. Whether values keep to the contract beyond that is checked by the workers, which
    put bad rows into ``dead-letters``. Values are copied: what the caller changes later changes nothing.

    Safe to use from many threads. A forked child (a gunicorn worker with ``preload``) gets a buffer, thread, connection
    and spool of its own; rows logged before the fork are sent by the parent alone. Nothing connects before the first
    row or spool found. ``close``, a ``with`` block or the end of the process flush, each for a bounded time.

    With ``spool_dir``, rows that Kafka has not taken within about a second go to disk, and from there to Kafka in order
    and before newer ones. A crash then loses rows of about the last second; one just after Kafka's answer sends rows
    twice, and workers count an id once. The next publisher of the same folder and ``topic_prefix`` takes over what is
    left; each cluster needs its own folder. When ``spool_max_bytes`` or the disk is full, the buffer fills next.

    Args:
        bootstrap_servers: where Kafka is, ``host:port`` with commas between; None takes it from ``config``, else
            ``localhost:9092``.
        config: librdkafka properties (``{"security.protocol": "SASL_SSL", ...}``), or Driftline's whole configuration,
            which also knows ``bootstrap_servers`` and ``topic_prefix``. Never shown in logs or in ``repr``.
        topic_prefix: goes before every topic's name; None takes it from ``config``, else none.
        on_overflow: ``"drop_newest"`` drops and counts rows that find the buffer full, ``"block"`` lets their caller
            wait up to ``block_timeout_s`` first.
        block_timeout_s: the longest that one ``log_*`` call waits.
        buffer_rows: rows that may wait to be sent.
        linger_ms: how long rows are gathered before they are sent.
        batch_rows: rows of one record at most.
        spool_dir: a folder on a local disk, made if need be; None lets rows wait in memory alone.
        spool_max_bytes: how much disk this publisher may take there.

    Raises:
        ConfigError: an option or property is wrong; all faults are listed.
    """

    def __init__(
        self,
        bootstrap_servers: str | None = None,
        *,
        config: "Mapping[str, Any] | Config | None" = None,
        topic_prefix: str | None = None,
        on_overflow: OnOverflow = "drop_newest",
        block_timeout_s: float = 0.1,
        buffer_rows: int = 100_000,
        linger_ms: float = 100.0,
        batch_rows: int = 1_000,
        spool_dir: str | Path | None = None,
        spool_max_bytes: int = 1 << 30,
    ) -> None:
        cluster = cluster_of(bootstrap_servers, topic_prefix, config)
        self._settings = PublisherSettings(
            bootstrap_servers=cluster.bootstrap_servers,
            topic_prefix=cluster.topic_prefix,
            on_overflow=on_overflow,
            block_timeout_s=block_timeout_s,
            buffer_rows=buffer_rows,
            linger_ms=linger_ms,
            batch_rows=batch_rows,
            spool_dir=None if spool_dir is None else Path(spool_dir),
            spool_max_bytes=spool_max_bytes,
            properties=cluster.properties,
        )
        # Compiled here, not while the first rows wait, and not by many forked workers at once.
        partitions_of(("warm",), 1)
        self._sender = Sender(self._settings)
        self._buffer = self._sender.buffer
        lifecycle.enrol(self._sender)
        # Forgotten without close, it still sends what it has, and its thread ends.
        self._forgotten = weakref.finalize(self, self._sender.close_soon, _CLOSE_WHEN_FORGOTTEN_S)
        self._forgotten.atexit = False

    def __repr__(self) -> str:
        settings = self._settings
        return f"Publisher({settings.bootstrap_servers!r}, topic_prefix={settings.topic_prefix!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def log_prediction(
        self,
        *,
        model: str,
        model_version: str,
        task: str,
        prediction: Any,
        prediction_id: str | None = None,
        timestamp_ms: int | None = None,
        score: float | None = None,
        scores: Mapping[str, float] | None = None,
        features: Mapping[str, float | str | bool | None] | None = None,
        embedding: Any = None,
        segments: Mapping[str, str | int | bool | None] | None = None,
        latency_ms: float | None = None,
        principal: str | None = None,
        input_digest: str | None = None,
    ) -> str:
        """Log one prediction.

        Args:
            model: the model's name, 1 to 128 characters.
            model_version: its version, 1 to 64 characters.
            task: ``binary``, ``multiclass``, ``multilabel``, ``regression`` or ``ranking``.
            prediction: a class (text, integer or boolean), a number, a list of classes, or of items, best first.
            prediction_id: names the prediction for its label, 1 to 128 characters; None makes a unique one.
            timestamp_ms: when it was made, epoch milliseconds; None is now.
            score: the probability of the positive class, 0 to 1.
            scores: class to probability.
            features: the model's inputs, at most 512.
            embedding: at most 4,096 numbers: a list or an array.
            segments: what quality is to be split by, at most 8.
            latency_ms: how long the model took.
            principal: who asked.
            input_digest: a hash of the raw input.

        Returns:
            The prediction's id, also when the row was dropped.
        """
        if prediction_id is None:
            prediction_id = new_id()
        if timestamp_ms is None:
            timestamp_ms = time_ns() // 1_000_000
        if features is not None:
            features = _copied(features)
        if scores is not None:
            scores = _copied(scores)
        if embedding is not None:
            embedding = _copied(embedding)
        if segments is not None:
            segments = _copied(segments)
        self._buffer.put(
            (
                (PREDICTIONS, model, model_version, task),
                prediction_id,
                timestamp_ms,
                _copied(prediction),
                score,
                scores,
                features,
                embedding,
                segments,
                latency_ms,
                principal,
                input_digest,
            )
        )
        return prediction_id

    def log_label(self, *, model: str, prediction_id: str, label: Any, timestamp_ms: int | None = None) -> None:
        """Log what turned out to be true of a prediction; a label with a later time corrects an earlier one.

        Args:
            model: the model's name; the label serves every version's prediction of this id.
            prediction_id: the prediction's id.
            label: as the prediction; for a ranking {item: gain}.
            timestamp_ms: when it became known, epoch milliseconds; None is now.
        """
        if timestamp_ms is None:
            timestamp_ms = time_ns() // 1_000_000
        self._buffer.put(((LABELS, model), prediction_id, timestamp_ms, _copied(label)))

    def log_predictions(
        self,
        *,
        model: str,
        model_version: str,
        task: str,
        prediction: Any,
        prediction_id: Sequence[str] | None = None,
        timestamp_ms: Any = None,
        score: Any = None,
        scores: Any = None,
        features: Mapping[str, Any] | None = None,
        embedding: Any = None,
        segments: Mapping[str, Any] | None = None,
        latency_ms: Any = None,
        principal: Any = None,
        input_digest: Any = None,
    ) -> list[str]:
        """Log n predictions of one model version, by column: far cheaper than n calls.

        A column is an array, list, or series of n values; where a field is the same for all rows, the value itself.

        Args:
            model: as in ``log_prediction``, one for all rows; so are ``model_version`` and ``task``.
            model_version: the version.
            task: the task.
            prediction: n predictions.
            prediction_id: n ids; None makes unique ones.
            timestamp_ms: column; None is now.
            score: column.
            scores: {class: column}, or n dicts.
            features: {name: column}.
            embedding: array of shape (n, d), or n lists.
            segments: {name: column}.
            latency_ms: column.
            principal: column.
            input_digest: column.

        Returns:
            The n ids; an empty list when ``prediction`` is no column.
        """
        fields = {
            "timestamp_ms": time_ns() // 1_000_000 if timestamp_ms is None else timestamp_ms,
            "prediction": prediction,
            "score": score,
            "scores": scores,
            "features": features,
            "embedding": embedding,
            "segments": segments,
            "latency_ms": latency_ms,
            "principal": principal,
            "input_digest": input_digest,
        }
        return self._log_columns((PREDICTIONS, model, model_version, task), prediction_id, prediction, fields)

    def log_labels(self, *, model: str, prediction_id: Sequence[str], label: Any, timestamp_ms: Any = None) -> None:
        """Log n labels of one model, by column.

        Args:
            model: as in ``log_label``.
            prediction_id: n ids.
            label: n labels, or one for all rows.
            timestamp_ms: n times, or one; None is now.
        """
        fields = {"timestamp_ms": time_ns() // 1_000_000 if timestamp_ms is None else timestamp_ms, "label": label}
        self._log_columns((LABELS, model), prediction_id, prediction_id, fields)

    def log_resource(
        self,
        *,
        host: str,
        metrics: Mapping[str, float],
        timestamp_ms: int | None = None,
        model: str | None = None,
        model_version: str | None = None,
    ) -> None:
        """Log readings of a host.

        Args:
            host: its name, 1 to 128 characters.
            metrics: name to number, e.g. ``cpu.usage_ratio``.
            timestamp_ms: when they were read, epoch milliseconds; None is now.
            model: the model that runs there.
            model_version: its version.
        """
        event = {"metrics": metrics, "model": model, "model_version": model_version}
        self._log_event(RESOURCES, host, timestamp_ms, event)

    def log_model(
        self,
        *,
        model: str,
        model_version: str,
        task: str,
        stage: str,
        timestamp_ms: int | None = None,
        positive_label: str | int | bool | None = None,
        git_commit: str | None = None,
        config: Mapping[str, Any] | None = None,
        dependencies: Mapping[str, str] | None = None,
        parameters: Mapping[str, int] | None = None,
        metrics: Mapping[str, Mapping[str, float]] | None = None,
        reference: Any = None,
    ) -> None:
        """Log that a version of a model entered a stage.

        Args:
            model: the model's name.
            model_version: its version.
            task: as in ``log_prediction``.
            stage: ``champion``, ``challenger``, ``shadow`` or ``retired``.
            timestamp_ms: when, epoch milliseconds; None is now.
            positive_label: binary: the class that ``score`` is the probability of.
            git_commit: what it was built from.
            config: how it was trained.
            dependencies: package to version.
            parameters: ``{"count": ..., "bytes": ...}``.
            metrics: ``{"train": {...}, "test": {...}}``.
            reference: what drift is to be measured against.
        """
        event = {
            "model_version": model_version,
            "task": task,
            "stage": stage,
            "positive_label": positive_label,
            "git_commit": git_commit,
            "config": config,
            "dependencies": dependencies,
            "parameters": parameters,
            "metrics": metrics,
            "reference": reference,
        }
        self._log_event(MODELS, model, timestamp_ms, event)

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Send what is buffered, and wait until Kafka has answered.

        Args:
            timeout_s: the longest wait.

        Returns:
            Whether every row logged before the call is settled; ``stats`` says how.
        """
        return self._sender.flush(timeout_s)

    def close(self, timeout_s: float = 10.0) -> bool:
        """Flush, then end thread and connection; what Kafka has not answered by then is on disk, or counted as lost.

        Args:
            timeout_s: how long to wait for Kafka.

        Returns:
            Whether every row was settled in time. Rows logged afterwards are dropped and counted.
        """
        lifecycle.discharge(self._sender)
        self._forgotten.detach()
        return self._sender.close(timeout_s)

    @property
    def stats(self) -> PublisherStats:
        """What became of the rows logged so far: a snapshot."""
        return self._sender.stats()

    def _log_event(self, stream: Stream, key: str, timestamp_ms: int | None, event: Mapping[str, Any]) -> None:
        if timestamp_ms is None:
            timestamp_ms = time_ns() // 1_000_000
        given = {name: _copied(value) for name, value in event.items() if value is not None}
        whole = {stream.row_fields[0]: key, "timestamp_ms": timestamp_ms, **given}
        self._buffer.put(((stream,), key, whole))

    def _log_columns(self, group: Group, ids: Any, counted: Any, fields: Mapping[str, Any]) -> list[str]:
        rows = 1
        keys: list[Any] = []
        try:
            rows = len(counted)
            keys = new_ids(rows) if ids is None else taken_keys(ids, rows)
            columns = Columns(group, keys, taken_fields(fields, rows))
        except Exception as error:  # noqa: BLE001 - values of any type come in here, and the serving path must go on
            self._sender.count_rejected(rows, str(error))
            return keys
        # In slices, so that a batch of any size can pass through the buffer while its caller waits.
        step = max(1, min(rows, self._settings.buffer_rows // 4))
        deadline_s = self._buffer.deadline_s()
        for start in range(0, rows, step):
            part = columns if step == rows else columns.part(start, min(start + step, rows))
            self._buffer.put(part, len(part), deadline_s)
        return keys


def _copied(value: Any) -> Any:
    return value.copy() if value.__class__ in _COPIED else value
