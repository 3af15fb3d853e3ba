"""Class and score in one integer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.scores import pack_scores, unpack_scores

scores = st.floats(0, 1) | st.sampled_from([0.0, -0.0, 1.0, np.nan, -np.nan, 1e-300, 1e-45, 0.3, 1 - 2**-30])


@given(rows=st.lists(st.tuples(st.integers(0, 2**31 - 1), scores), max_size=20))
@settings(deadline=None)
def test_what_is_packed_comes_back_as_a_float_of_32_bits(rows: list[tuple[int, float]]) -> None:
    code = np.array([code for code, _ in rows], np.int64)
    score = np.array([score for _, score in rows], np.float64)
    codes, found = unpack_scores(pack_scores(code, score))
    assert codes.tolist() == code.tolist()
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, score.astype(np.float32).astype(np.float64))
    assert not np.signbit(found[~np.isnan(found)]).any()


def test_a_row_without_a_score_is_its_class_code_alone() -> None:
    assert pack_scores(np.array([7, 2**31 - 1]), np.array([np.nan, -np.nan])).tolist() == [7, 2**31 - 1]
    codes, found = unpack_scores(np.array([7]))
    assert codes.tolist() == [7]
    assert np.isnan(found).all()


@pytest.mark.parametrize("score", [0.0, 1.0, 0.5, 0.1])
def test_equal_scores_are_packed_alike(score: float) -> None:
    both = pack_scores(np.zeros(2, np.int64), np.array([score, np.float64(np.float32(score))]))
    assert both[0] == both[1]
