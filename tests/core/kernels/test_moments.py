import math
from typing import Any

import numpy as np
import pytest

from pipeline.core.kernels.moments import count_kinds


@pytest.mark.parametrize("of", [lambda kernel: kernel, lambda kernel: kernel.py_func], ids=["jit", "py"])
@pytest.mark.parametrize("texts", [True, False])
def test_numbers_texts_and_extremes_by_cell(of: Any, texts: bool) -> None:  # noqa: FBT001 - a parameter
    numbers = np.array([1.0, math.nan, -2.0, math.nan, 8.0])
    codes = np.array([-1, 0, -1, -1, -1] if texts else [], np.int32)
    counts = np.zeros((3, 2), np.int64)
    extremes = np.full((3, 2), (np.inf, -np.inf))
    at = np.array([0, 1, 2, 3, 4, 4], np.int32)
    of(count_kinds)(numbers, codes, at, np.array([0, 0, 0, 0, 0, 1], np.int32), counts, extremes)
    assert counts.tolist() == [[3, int(texts)], [1, 0], [0, 0]]
    assert extremes.tolist() == [[-2.0, 8.0], [8.0, 8.0], [math.inf, -math.inf]]
