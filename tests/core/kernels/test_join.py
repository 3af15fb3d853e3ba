"""The join's kernels as plain Python: the compiler checks no indexes, and reads past an array's end without a word.

They call each other, so one ``.py_func`` alone would still run compiled callees: another interpreter runs them all.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
SLOW = "one_id_cost or batches_give or full_store or make_room or used_again"


@pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="this is the run without the compiler")
def test_the_join_passes_its_tests_without_the_compiler() -> None:
    files = ["core/test_join.py", "properties/test_join.py"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-vv", "-p", "no:cacheprovider", "-k", f"not ({SLOW})", *files],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "DRIFTLINE_TEST_EXAMPLES": "60"},
        cwd=TESTS,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-3_000:] + run.stderr[-1_000:]
    assert re.search(r"test_any_interleaving_gives_what_two_loops_give\S* PASSED", run.stdout)
