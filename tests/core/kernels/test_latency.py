import math
from typing import Any

import numpy as np
import pytest

from pipeline.core.kernels.latency import FIRST_BUCKET, LAST_BUCKET, bucket_rows, count_buckets


@pytest.mark.parametrize("of", [lambda kernel: kernel, lambda kernel: kernel.py_func], ids=["jit", "py"])
def test_buckets_and_their_counts(of: Any) -> None:
    values = np.array([1.0, math.nan, -3.0, 0.0, 1e-9, 1e300, 1.0, 2.0])
    buckets = np.empty(len(values), np.int32)
    assert of(bucket_rows)(values, values.view(np.int64), buckets) == (7, FIRST_BUCKET, LAST_BUCKET)
    one = 1023 << 6
    assert buckets.tolist() == [one, -1, FIRST_BUCKET, FIRST_BUCKET, FIRST_BUCKET, LAST_BUCKET, one, one + 64]
    counts = np.zeros((2, LAST_BUCKET - FIRST_BUCKET + 1), np.int64)
    highest = np.full(2, -np.inf)
    at = np.arange(len(values), dtype=np.int32)
    of(count_buckets)(buckets, values, at, (at == 7).astype(np.int32), FIRST_BUCKET, counts, highest)
    assert counts[0, [0, one - FIRST_BUCKET, -1]].tolist() == [3, 2, 1]
    assert counts.sum(axis=1).tolist() == [6, 1]
    assert highest.tolist() == [1e300, 2.0]
