"""What the benchmark holds every engine against, beside a plain loop over the rows."""

from collections import defaultdict

import numpy as np

from bench.events import make_traffic
from bench.truth import Counts, true_windows

START_MS = 1_700_000_030_000  # not where a window begins
WINDOW_MS, HORIZON_MS = 60_000, 120_000


def test_the_truth_is_what_a_loop_over_the_rows_counts() -> None:
    traffic = make_traffic(5_000, 2, START_MS, 600_000)
    plain: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for row in range(len(traffic)):
        window = plain[int(traffic.timestamp_ms[row]) // WINDOW_MS * WINDOW_MS]
        window[0] += 1
        window[1] += int(traffic.prediction[row] == traffic.label[row])
    truth = true_windows(traffic, WINDOW_MS, HORIZON_MS)
    assert truth == {start: Counts(plain[start][0], plain[start][0], plain[start][1]) for start in truth}
    last_ms = min(int(traffic.timestamp_ms[-1]), int(np.max(traffic.label_ms)))
    assert set(truth) == {start for start in plain if start + 2 * WINDOW_MS + HORIZON_MS < last_ms}
    assert len(truth) > 5
