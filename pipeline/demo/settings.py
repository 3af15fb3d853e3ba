"""The demo's plan and configuration: an ordinary ``driftline.toml`` with windows short enough to watch."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.config import Config, load_config

NAME = "digits"
VERSION = "1"
TASK = "multiclass"
"""The monitored model, as its events name it."""

DRIFT_RULE = "input-drift"
ACCURACY_RULE = "accuracy-drop"
HOST_RULE = "host-busy"

RATE_PER_S = 120.0
"""Images a second: enough rows in a 5-second window for drift to stand out of chance, little enough for one core."""

DEFAULT_DURATION_S = 90.0
MIN_DURATION_S = 45.0
"""Shorter than this, the reference, a healthy stretch and two drifted windows do not all fit."""

WINDOW = "5s"
FILE_NAME = "driftline.toml"

_SHIFT_SHARE = 0.45
_ENDING_S = 4.0

_TEMPLATE = """\
# Written by `driftline demo`; every key is explained in the README.
[kafka]
bootstrap_servers = "{bootstrap_servers}"
partitions = 2

[windows]
sizes = ["{window}"]
label_horizon = "30s"
allowed_lateness = "1s"
idle_timeout = "2s"

[engine]
commit_interval_ms = 250

# The reference is learnt from the first rows of one of the two partitions: about eight seconds of traffic.
# Few rows make noisy distances, hence few bins and thresholds above the usual.
[reference]
learn_rows = 500
bins = 8
psi_threshold = 0.3
js_threshold = 0.2

[worker]
name = "demo"
web_port = {web_port}
state_dir = ""

[host_agent]
interval = "1s"

[[rules]]
name = "{drift_rule}"
model = "digits"
metric = "drift_summary.drifted_share"
window = "{window}"
above = 0.3
for = 2
min_predictions = 200

[[rules]]
name = "{accuracy_rule}"
model = "digits"
metric = "quality.accuracy"
window = "{window}"
below = 0.85
min_labelled = 200
severity = "critical"
retrain = true

[[rules]]
name = "{host_rule}"
metric = "host.cpu.usage_ratio"
window = "{window}"
above = 0.98
for = 3
severity = "info"
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """When what happens, in seconds from the first image.

    Attributes:
        shift_after_s: the inputs shift.
        traffic_s: the traffic ends.
    """

    shift_after_s: float
    traffic_s: float


def make_plan(duration_s: float) -> Plan:
    """Divide the given time.

    Args:
        duration_s: everything after setup: traffic, clean stop, summary; at least ``MIN_DURATION_S``.

    Returns:
        The plan; a little is kept for stopping and checking.
    """
    traffic_s = duration_s - _ENDING_S
    return Plan(shift_after_s=traffic_s * _SHIFT_SHARE, traffic_s=traffic_s)


def write_config(directory: Path, bootstrap_servers: str, web_port: int) -> Config:
    """Write the configuration file that every process of the demo reads.

    Args:
        directory: where to put ``driftline.toml``.
        bootstrap_servers: the local broker.
        web_port: the worker's web endpoint.

    Returns:
        The configuration as loaded back from the file.

    Raises:
        ConfigError: the environment overrides a key with a wrong value.
    """
    path = directory / FILE_NAME
    text = _TEMPLATE.format(
        bootstrap_servers=bootstrap_servers,
        web_port=web_port,
        window=WINDOW,
        drift_rule=DRIFT_RULE,
        accuracy_rule=ACCURACY_RULE,
        host_rule=HOST_RULE,
    )
    path.write_text(text, encoding="utf-8")
    return load_config(path)
