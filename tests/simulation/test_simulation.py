"""A thousand seeds without a difference, the same seed the same every time, and an auditor that would notice."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import jsonschema
import pytest

from pipeline.engine.failpoints import POINTS
from pipeline.schemas import load_schema
from tests.audit.rows import SCHEMAS, read_rows
from tests.simulation.faults import ROUNDS
from tests.simulation.sabotage import SABOTAGES
from tests.simulation.simulation import Simulation, simulate

ROOT = Path(__file__).parents[2]
SEEDS = 1_000
ENOUGH = 150
"""Seeds after which every sabotage must have been found; most take fewer than twenty."""


@pytest.mark.timeout(900)
def test_a_thousand_seeds_show_no_difference() -> None:
    command = [sys.executable, "-m", "tests.simulation", "--seeds", str(SEEDS)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{SEEDS:,} seeds, 0 failed" in run.stdout


def test_a_seed_means_the_same_every_time() -> None:
    def trace(seed: int) -> list[str]:
        said: list[str] = []
        result = simulate(seed, said.append)
        return [*said, str(result)]

    for seed in range(5):
        assert trace(seed) == trace(seed)


def test_every_failpoint_is_passed() -> None:
    wanted = POINTS.keys() | set(ROUNDS)
    passed: Counter[str] = Counter()
    for seed in range(100):
        passed += simulate(seed).passes
        if passed.keys() >= wanted:
            return
    assert passed.keys() >= wanted


@pytest.mark.parametrize("name", SABOTAGES)
def test_the_auditor_notices(name: str) -> None:
    with SABOTAGES[name]():
        assert any(simulate(seed).differences for seed in range(ENOUGH))


def test_the_auditor_judges_rows_as_the_schemas_do() -> None:
    validators = {topic: jsonschema.Draft202012Validator(load_schema(schema)) for topic, schema in SCHEMAS.items()}
    judged = 0
    for seed in range(6):
        simulation = Simulation(seed)
        simulation.workload.start()
        simulation.world.run(lambda: False, 100.0)
        log = simulation.cluster.log()
        for topic, partition in log:
            if topic not in SCHEMAS:
                continue
            good, bad = read_rows(log, topic, partition)
            for row in good:
                assert validators[topic].is_valid(row.event), row
                judged += 1
            for place in bad:
                record = next(one for one in log[topic, partition] if one.offset == place.offset)
                if place.row is None and not record.headers and (record.value or b"{").startswith(b'{"'):
                    assert not validators[topic].is_valid(json.loads(record.value or b"")), record
                    judged += 1
    assert judged > 300
