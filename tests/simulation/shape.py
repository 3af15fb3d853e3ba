"""What one seed's run looks like: its configuration, its models, how many workers, which faults. All small."""

import random
from dataclasses import dataclass
from typing import Any

from pipeline.config import Config
from tests.audit.truth import Rules, Window
from tests.simulation.world import START_MS

PREFIX = "sim-"
SECOND = 1_000
DAY_MS = 86_400_000
WINDOWS = {"4s": (4_000, 4_000), "6s/3s": (6_000, 3_000), "10s": (10_000, 10_000)}
SIZES = (("4s",), ("10s",), ("6s/3s",), ("4s", "10s"))
DRIFT_ROWS = 3
"""Drift is computed from so few rows here that small windows have some."""


@dataclass(frozen=True)
class Model:
    name: str
    task: str
    versions: tuple[str, ...]
    features: bool
    segments: bool
    latency: bool


@dataclass(frozen=True)
class Shape:
    """One seed's run."""

    seed: int
    partitions: int
    partial_partitions: int
    workers: int
    sizes: tuple[str, ...]
    horizon_ms: int
    early_ms: int
    lateness_ms: int
    idle_ms: int
    session_ms: int
    transaction_ms: int
    commit_ms: int
    batch_events: int
    uncommitted: int
    predictions: int
    live_s: float
    history: bool
    """Whether the topics hold some minutes of events already when the first worker starts."""
    models: tuple[Model, ...]
    hosts: tuple[str, ...]
    memory_bytes: int | None
    """For open predictions, so little that they go to the cold tier and back all the time; None for plenty."""
    copies: bool
    """Whether the workers keep local copies of their state."""

    @property
    def pane_ms(self) -> int:
        return {("4s",): 4_000, ("10s",): 10_000, ("6s/3s",): 3_000, ("4s", "10s"): 2_000}[self.sizes]

    def counts(self) -> dict[str, int]:
        """Partitions by topic."""
        inputs = ("predictions", "labels", "resources", "joiner-changelog")
        partials = ("partials", "models", "monitor-changelog")
        others = ("window-metrics", "host-metrics", "alerts", "retrain-triggers", "dead-letters")
        return (
            dict.fromkeys(inputs, self.partitions)
            | dict.fromkeys(partials, self.partial_partitions)
            | dict.fromkeys(others, 2)
            | {"references": 1}
        )

    def rules(self) -> Rules:
        """What the auditor needs to know."""
        return Rules(
            windows=[Window(name, *WINDOWS[name]) for name in self.sizes],
            pane_ms=self.pane_ms,
            horizon_ms=self.horizon_ms,
            early_ms=min(self.early_ms, self.horizon_ms),
            lateness_ms=self.lateness_ms,
            future_ms=START_MS + DAY_MS,
            partitions=self.partitions,
            learn_rows=10,
            bins=4,
            max_categories=3,
        )

    def config(self, worker: str, state_dir: str) -> Config:
        """The configuration of a worker."""
        return Config(
            kafka={"topic_prefix": PREFIX, "partitions": self.partitions},
            windows={
                "sizes": self.sizes,
                "label_horizon": self.horizon_ms,
                "early_label_horizon": self.early_ms,
                "allowed_lateness": self.lateness_ms,
                "idle_timeout": self.idle_ms,
                "max_future": 10 * SECOND,
            },
            engine={
                "commit_interval_ms": self.commit_ms,
                "batch_events": self.batch_events,
                "max_uncommitted_events": self.uncommitted,
                "transaction_timeout": self.transaction_ms,
                "session_timeout": self.session_ms,
                "max_retries": 2,
            },
            reference={"learn_rows": 10, "bins": 4, "max_categories": 3},
            worker={"name": worker, "state_dir": state_dir},
            rules=_rules(self.sizes[0]),
        )


def _rules(window: str) -> list[dict[str, Any]]:
    return [
        {"name": "accuracy", "metric": "quality.accuracy", "below": 0.6, "window": window, "retrain": True,
         "retrain_cooldown": "8s"},
        {"name": "slow", "metric": "latency_ms.mean", "above": 5.0, "for": 2, "window": window},
        {"name": "worse", "metric": "quality.accuracy", "change_from_baseline": -0.1, "baseline_windows": 2,
         "window": window, "min_label_coverage": 0.2},
        {"name": "reference", "metric": "quality.accuracy", "change_from_reference": -0.3, "window": window},
        {"name": "hot", "metric": "host.cpu.usage_ratio", "above": 0.7, "resolve_after": 2, "window": window},
    ]  # fmt: skip


def draw_shape(seed: int) -> Shape:
    """The run that a seed stands for."""
    rng = random.Random(f"shape {seed}")
    tasks = ["binary", "multiclass", "regression", "multilabel", "ranking"]
    models = tuple(
        Model(
            name=f"model{number}",
            task=rng.choice(tasks),
            versions=("1", "2")[: rng.choice([1, 1, 2])],
            features=rng.random() < 0.7,
            segments=rng.random() < 0.4,
            latency=rng.random() < 0.6,
        )
        for number in range(rng.choice([1, 1, 2]))
    )
    return Shape(
        seed=seed,
        partitions=rng.choice([1, 2, 2, 3]),
        partial_partitions=rng.choice([1, 2]),
        workers=rng.choice([1, 2, 2, 3]),
        sizes=rng.choice(SIZES),
        horizon_ms=rng.choice([6, 10]) * SECOND,
        early_ms=rng.choice([2, 5]) * SECOND,
        lateness_ms=rng.choice([1, 2]) * SECOND,
        idle_ms=rng.choice([2, 3]) * SECOND,
        session_ms=rng.choice([3, 6, 12]) * SECOND,
        transaction_ms=rng.choice([4, 8]) * SECOND,
        commit_ms=rng.choice([300, 700, 1_500]),
        batch_events=rng.choice([4, 20, 500]),
        uncommitted=rng.choice([5, 30, 1_000]),
        predictions=rng.choice([20, 30, 40]),
        live_s=rng.choice([6.0, 12.0, 20.0]),
        history=rng.random() < 0.2,
        models=models,
        hosts=("h1", "h2")[: rng.choice([0, 1, 2])],
        memory_bytes=rng.choice([None, 0, 45_000, 60_000]),
        copies=rng.random() < 0.25,
    )
