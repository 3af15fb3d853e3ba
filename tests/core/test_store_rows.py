"""Rows of the join store as bytes."""

import numpy as np
import pytest

from pipeline.core.kernels.join_rows import EMPTY, NO_LABEL, PREDICTION, ROW, STATED
from pipeline.core.store_rows import StoreRows


def some_rows(count: int) -> StoreRows:
    """Every third has a label."""
    rows, stated = np.zeros(count, ROW), np.zeros(-(-count // 3), STATED)
    rows["key0"], rows["kind"], rows["label_kind"], rows["label"] = range(count), PREDICTION, NO_LABEL, EMPTY
    rows["label"][::3], rows["label_kind"][::3] = range(len(stated)), 1
    stated["value"] = np.arange(len(stated)) * 3
    return StoreRows(rows, stated)


@pytest.mark.parametrize("count", [0, 1, 2, 10])
def test_what_is_encoded_comes_back(count: int) -> None:
    part = some_rows(count)
    data = part.encode()
    assert len(data) == 16 + 64 * count + 32 * len(part.stated)
    again = StoreRows.decode(data)
    assert again.rows.tobytes() == part.rows.tobytes()
    assert again.stated.tobytes() == part.stated.tobytes()


def test_rows_of_the_release_that_kept_no_scores_are_read() -> None:
    part = some_rows(4)
    assert StoreRows.decode(b"\1" + part.encode()[1:]).rows.tobytes() == part.rows.tobytes()


@pytest.mark.parametrize("most", [1, 4, 7, 100])
def test_parts_keep_their_labels(most: int) -> None:
    values = []
    for part in some_rows(20).split(most):
        assert len(part) <= most
        labelled = part.rows[part.rows["label"] != EMPTY]
        assert labelled["key0"].tolist() == part.stated["value"][labelled["label"]].tolist()
        assert len(labelled) == len(part.stated)
        values += part.rows["key0"].tolist()
    assert values == list(range(20))


def test_what_is_not_rows_is_refused() -> None:
    data = some_rows(5).encode()
    with pytest.raises(ValueError, match="version 9"):
        StoreRows.decode(b"\x09" + data[1:])
    with pytest.raises(ValueError, match="cannot be 5 rows"):
        StoreRows.decode(data[:-1])
