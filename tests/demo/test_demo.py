"""The demo's main path, from the broker's start to the summary: nothing in it is scripted, so neither is this."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from pipeline.core.errors import ConfigError
from pipeline.demo.main import run_demo
from pipeline.demo.settings import MIN_DURATION_S

SETUP_TIMEOUT_S = 120


@pytest.mark.timeout(MIN_DURATION_S + SETUP_TIMEOUT_S + 30)
def test_the_demo_keeps_its_promises(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipeline.cli", "demo", "--duration", f"{MIN_DURATION_S:.0f}s"]
    done = subprocess.run(
        [*command, "--data-dir", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=MIN_DURATION_S + SETUP_TIMEOUT_S,
        check=False,
    )
    logs = "\n".join(f"{log.name}\n{log.read_text()[-1500:]}" for log in tmp_path.glob("*/logs/*.log"))
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{logs}"
    for expected in ("--- learning the reference ---", "--- SHIFTED", "RETRAIN", "input-drift", "accuracy-drop"):
        assert expected in done.stdout
    assert not [process for process in psutil.process_iter(["cmdline"]) if _mentions(process, tmp_path)]
    assert not list(tmp_path.glob("*/kafka")), "the broker's data were left behind"


def test_a_duration_too_short_to_learn_and_shift_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give 45s or more"):
        run_demo(20, data_dir=tmp_path)
    assert not list(tmp_path.iterdir())


def _mentions(process: psutil.Process, path: Path) -> bool:
    return any(str(path) in argument for argument in process.info["cmdline"] or ())
