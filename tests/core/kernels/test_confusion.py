from collections import Counter
from typing import Any

import numpy as np
import pytest

from pipeline.core.kernels.confusion import count_outcomes


@pytest.mark.parametrize("of", [lambda kernel: kernel, lambda kernel: kernel.py_func], ids=["jit", "py"])
@pytest.mark.parametrize(("classes", "cells"), [(2, 1), (10, 3), (1000, 3000)])
def test_outcomes_are_counted_like_a_dictionary_does(of: Any, classes: int, cells: int) -> None:
    generator = np.random.default_rng(classes)
    rows, pairs = 400, 800
    predicted, label = generator.integers(0, classes, (2, rows))
    sign = generator.choice(np.array([1, -1]), rows)
    at = generator.integers(0, rows, pairs).astype(np.int32)
    cell = generator.integers(0, cells, pairs).astype(np.int32)
    keys, counts = of(count_outcomes)(predicted, label, sign, at, cell, classes)
    expected: Counter[tuple[int, int, int]] = Counter()
    for row, target in zip(at.tolist(), cell.tolist(), strict=True):
        expected[target, int(predicted[row]), int(label[row])] += int(sign[row])
    found = {
        (key // classes // classes, key // classes % classes, key % classes): count
        for key, count in zip(keys.tolist(), counts.tolist(), strict=True)
    }
    assert found == dict(expected)
