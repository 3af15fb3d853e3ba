"""What a deployment needs: partitions, workers, memory, disk and traffic, from what events were measured to cost."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Literal

from pipeline.core.durations import format_duration
from pipeline.core.estimate import CHANGELOG_BYTES, Estimate, estimate_state, format_size

Layout = Literal["single", "columns"]

WORKER_BYTES = 450 << 20
"""Of a worker beside the join store: itself, and what its clients fetch ahead."""

PLANNED_LOAD = 0.5
"""Share of a core that a worker is planned for: after an outage, or when a neighbour dies, the rest is needed."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What one layout was measured to cost, see ``python -m bench.cost_model``.

    Attributes:
        prediction_us: CPU µs a prediction without features and segments.
        feature_us: each feature adds so much.
        segment_us: each segment.
        feature_segment_us: each feature for each segment.
        label_us: CPU µs a label.
        label_segment_us: each segment adds so much.
        kafka_us: what else an event takes, Kafka's client first of all: ``make profile`` without decoding, joining,
            folding and outputs.
        prediction_bytes: of a prediction in its topic, compressed, without features.
        feature_bytes: each feature adds so much.
        label_bytes: of a label.
    """

    prediction_us: float
    feature_us: float
    segment_us: float
    feature_segment_us: float
    label_us: float
    label_segment_us: float
    kafka_us: float
    prediction_bytes: float
    feature_bytes: float
    label_bytes: float

    def pair_us(self, features: int, segments: int) -> float:
        """CPU µs of a prediction and its label.

        Args:
            features: of each prediction.
            segments: of each prediction.
        """
        return (
            self.prediction_us
            + features * self.feature_us
            + segments * (self.segment_us + features * self.feature_segment_us)
            + self.label_us
            + segments * self.label_segment_us
            + 2 * self.kafka_us
        )

    def pair_bytes(self, features: int) -> float:
        """Bytes of a prediction and its label in their topics.

        Args:
            features: of each prediction.
        """
        return self.prediction_bytes + features * self.feature_bytes + self.label_bytes


# From a run of each command on a busy machine: rather too much than too little.
COSTS: dict[Layout, Costs] = {
    "single": Costs(1.71, 0.085, 0.39, 0.022, 1.59, 0.20, 1.69, 37.0, 4.8, 28.0),
    "columns": Costs(0.58, 0.051, 0.24, 0.027, 0.68, 0.18, 0.55, 33.0, 2.9, 25.0),
}


@dataclass(frozen=True, slots=True)
class Demand:
    """What is to be watched.

    Attributes:
        rate_per_s: predictions a second, each with a label.
        horizon_ms: the label horizon.
        features: of each prediction.
        segments: of each prediction.
        layout: how the events come: one a record, or many in columns, as ``Publisher`` sends them.
    """

    rate_per_s: float
    horizon_ms: int
    features: int
    segments: int
    layout: Layout


@dataclass(frozen=True, slots=True)
class Plan:
    """What the demand needs.

    Attributes:
        pair_us: CPU µs of a prediction and its label.
        cores: CPU cores of all workers, on average.
        workers: how many.
        partitions: of each topic.
        state: what the joiner's state takes, of all workers together.
        topic_bytes_per_s: into ``predictions`` and ``labels``, compressed.
        changelog_bytes_per_s: into the joiner's changelog.
    """

    pair_us: float
    cores: float
    workers: int
    partitions: int
    state: Estimate
    topic_bytes_per_s: float
    changelog_bytes_per_s: float


def make_plan(demand: Demand, memory_mb: int) -> Plan:
    """Work out what a demand needs.

    Args:
        demand: what is to be watched.
        memory_mb: what a worker may use for open predictions, ``joiner.memory_mb``.

    Returns:
        The plan.
    """
    costs = COSTS[demand.layout]
    pair_us = costs.pair_us(demand.features, demand.segments)
    cores = demand.rate_per_s * pair_us / 1e6
    horizon_rows = estimate_state(demand.rate_per_s, demand.horizon_ms, 1, 1 << 62, memory_mb << 20)
    full = horizon_rows.memory_full_after_ms is not None
    for_memory = ceil(horizon_rows.memory_needed_bytes / (memory_mb << 20)) if full else 1
    workers = max(1, ceil(cores / PLANNED_LOAD), for_memory)
    # Twice as many as workers, to spread the work otherwise later: a running system gets no partitions more.
    partitions = max(4, 2 * workers)
    state = estimate_state(demand.rate_per_s, demand.horizon_ms, partitions, 1 << 62, memory_mb * workers << 20)
    return Plan(
        pair_us=pair_us,
        cores=cores,
        workers=workers,
        partitions=partitions,
        state=state,
        topic_bytes_per_s=demand.rate_per_s * costs.pair_bytes(demand.features),
        changelog_bytes_per_s=demand.rate_per_s * CHANGELOG_BYTES,
    )


def plan_lines(demand: Demand, memory_mb: int) -> Iterator[str]:
    """The plan for people.

    Args:
        demand: what is to be watched.
        memory_mb: as for ``make_plan``.

    Yields:
        Lines.
    """
    plan = make_plan(demand, memory_mb)
    state = plan.state
    worker_disk = (state.cold_bytes + state.copy_bytes) // plan.workers
    yield (
        f"{demand.rate_per_s:,.0f} predictions/s and as many labels within {format_duration(demand.horizon_ms)},"
        f" {demand.features} features, {demand.segments} segments, {_LAYOUTS[demand.layout]}"
    )
    yield f"  CPU            {plan.pair_us:.1f} µs a prediction with its label: {plan.cores:,.2f} cores on average"
    yield f"  workers        {plan.workers:,} processes, planned for {PLANNED_LOAD:.0%} of a core at most"
    yield f"  partitions     {plan.partitions:,} (kafka.partitions, before the topics are made)"
    memory = format_size((memory_mb << 20) + WORKER_BYTES)
    yield f"  memory         {memory} a worker, {memory_mb:,} MiB of it joiner.memory_mb"
    yield f"  worker disk    {format_size(worker_disk)} a worker in worker.state_dir"
    yield f"  open rows      {state.open_rows:,} predictions, {state.open_rows - state.hot_rows:,} of them on disk"
    yield f"  Kafka, in      {format_size(plan.topic_bytes_per_s)}/s of predictions and labels,"
    yield f"                 {format_size(plan.changelog_bytes_per_s)}/s of joiner-changelog"
    yield f"  Kafka, disk    {format_size(state.changelog_bytes)} of joiner-changelog, and a day of events"
    yield f"                 {format_size(plan.topic_bytes_per_s * 86_400)}; times the replication factor"
    yield "CPU as measured by `make profile` and `python -m bench.cost_model` (docs/performance.md); measure your own."


_LAYOUTS: dict[Layout, str] = {"single": "one event a record", "columns": "records of 1,000 in columns"}
