"""What every round is run with: short windows and sessions, so that much goes wrong in little time."""

from pathlib import Path

from pipeline.config import Config
from tests.audit.truth import Rules, Window

PARTITIONS = 4
COMMIT_MS = 200
SESSION_S = 3.0
LEARN_ROWS = 200
HORIZON_MS, EARLY_MS, LATENESS_MS, PANE_MS = 8_000, 4_000, 1_000, 2_000
WINDOWS = (Window("2s", 2_000, 2_000), Window("4s/2s", 4_000, 2_000))

SETTINGS = {
    "DRIFTLINE_WINDOWS__SIZES": '["2s", "4s/2s"]',
    "DRIFTLINE_WINDOWS__LABEL_HORIZON": f"{HORIZON_MS}ms",
    "DRIFTLINE_WINDOWS__EARLY_LABEL_HORIZON": f"{EARLY_MS}ms",
    "DRIFTLINE_WINDOWS__ALLOWED_LATENESS": f"{LATENESS_MS}ms",
    # A topic that is quiet because of a fault must not count as idle: what then comes would be late by the clock, and
    # the log alone would not say what is right. Rows far ahead in time end each round instead.
    "DRIFTLINE_WINDOWS__IDLE_TIMEOUT": "1h",
    "DRIFTLINE_ENGINE__COMMIT_INTERVAL_MS": str(COMMIT_MS),
    "DRIFTLINE_ENGINE__SESSION_TIMEOUT": f"{SESSION_S:.0f}s",
    "DRIFTLINE_ENGINE__TRANSACTION_TIMEOUT": "5s",
    "DRIFTLINE_ENGINE__DEAD_LETTER_LIMIT": "1.0",  # a flood of broken rows is what one of the faults is
    "DRIFTLINE_REFERENCE__LEARN_ROWS": str(LEARN_ROWS),
    "DRIFTLINE_WORKER__WEB_PORT": "0",
    "DRIFTLINE_WORKER__ROLES": '["joiner", "monitor"]',
}
"""The environment of a worker, besides where Kafka is and its name."""

RULES = """
[[rules]]
name = "accuracy"
metric = "quality.accuracy"
window = "2s"
below = 0.5
for = 2
retrain = true
retrain_cooldown = "10s"

[[rules]]
name = "busy"
metric = "host.cpu.usage_ratio"
window = "2s"
above = 0.4
"""
"""The configuration file of the workers: what they do with coin tosses for labels fires and resolves all the time."""


def make_config(bootstrap_servers: str, prefix: str) -> Config:
    """What the suite itself needs to know of the configuration: where Kafka is and how its topics are called."""
    return Config(kafka={"bootstrap_servers": bootstrap_servers, "topic_prefix": prefix, "partitions": PARTITIONS})


def rules(future_ms: int) -> Rules:
    """The same for the auditor."""
    return Rules(
        windows=WINDOWS,
        pane_ms=PANE_MS,
        horizon_ms=HORIZON_MS,
        early_ms=EARLY_MS,
        lateness_ms=LATENESS_MS,
        future_ms=future_ms,
        partitions=PARTITIONS,
        learn_rows=LEARN_ROWS,
    )


PROJECT = Path(__file__).parents[2]
